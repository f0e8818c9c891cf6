from __future__ import annotations

import pytest

from quanta_tissu.tisslm.wording import counted, in_bytes


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (2000, "2,000 steps")]
)
def test_one_is_singular(number, text):
    assert counted(number, "step") == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_115_394, "1.1 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_sizes_never_round_to_nothing(number, text):
    assert in_bytes(number) == text
