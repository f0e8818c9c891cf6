"""What the commands about runs share."""

from __future__ import annotations

import pytest

from quanta_tissu.cli.runs.shared import duration, moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.3, "12 s"),
        (61, "1 min 1 s"),
        (3599.9, "1 h 0 min"),
        (7300, "2 h 1 min"),
    ],
)
def test_times_that_something_took(seconds, text):
    assert duration(seconds) == text


def test_no_moment():
    assert moment(None) == ""
