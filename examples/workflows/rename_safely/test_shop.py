import unittest

from shop import total, with_tax


class Shop(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)

    def test_with_tax(self):
        self.assertEqual(with_tax([10], 0.5), 15)
