"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from quanta_tissu.tisslang.report.numbers import (
    amount_text,
    count_text,
    limit_text,
    moment_text,
    seconds_text,
    size_text,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0001, "< 1 ms"), (0.0123, "12 ms"), (0.9996, "1.0 s"), (1.24, "1.2 s"), (9.96, "10 s"),
        (59.4, "59 s"), (59.6, "1 min"), (184, "3 min 4 s"), (3600, "1 h"), (3599.7, "1 h"), (9000, "2 h 30 min"),
        (86400, "1 d"), (100000, "1 d 3 h"),
    ],
)  # fmt: skip
def test_times(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (12_345, "12 kB"),
        (999_900, "1.0 MB"),
        (5 * 10**12, "5000 GB"),
    ],
)
def test_sizes(count, text):
    assert size_text(count) == text


def test_amounts_counts_limits_and_moments():
    assert [amount_text(one) for one in (3, 3.0, 12345, 0.00314159, 1234.5)] == [
        "3",
        "3",
        "12,345",
        "0.003142",
        "1,234",
    ]
    assert (count_text(1, "file"), count_text(2, "file"), count_text(2, "entry", "entries")) == (
        "1 file", "2 files", "2 entries",
    )  # fmt: skip
    assert limit_text("EXECUTION_TIME", 300) == "5 min"
    assert limit_text("TOKEN_COUNT", 2000) == "2,000 tokens"
    assert limit_text("COST", 0.5) == "0.5"
    assert limit_text("COST", None) == "?"
    east = timezone(timedelta(hours=2))
    assert moment_text(datetime(2026, 11, 22, 1, 30, tzinfo=east)) == "2026-11-21 23:30:00 UTC"
    assert moment_text(None) == ""
