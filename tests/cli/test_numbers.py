"""Numbers on the command line."""

from __future__ import annotations

import click
import pytest

from quanta_tissu.cli.numbers import SECONDS, FiniteRange


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x", ""])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(click.BadParameter):
        FiniteRange().convert(text, None, None)


@pytest.mark.parametrize("text", ["0", "-1", "2e11", "nan"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(click.BadParameter):
        SECONDS.convert(text, None, None)


def test_others_are_numbers():
    assert FiniteRange(0, 1).convert("0.5", None, None) == 0.5
    assert SECONDS.convert("3600", None, None) == 3600.0
