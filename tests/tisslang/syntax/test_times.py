import pytest

from quanta_tissu.tisslang.syntax.times import parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1ms", 0.001), ("2s", 2), ("1.5m", 90), ("1h", 3600), ("1d", 86400), ("1h30m", 5400), (" 1h 30m ", 5400)],
)
def test_times_are_seconds(text, seconds):
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "5x", "-5m", "5m x"])
def test_other_texts_are_none(text):
    with pytest.raises(ValueError, match="no time"):
        parse_time(text)
