"""A shop."""


def total(prices):
    """What all of them cost together."""
    return sum(prices)


def with_tax(prices, rate):
    """What all of them cost together, with tax."""
    return total(prices) * (1 + rate)
