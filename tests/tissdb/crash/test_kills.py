"""Processes that are killed lose nothing that was acknowledged."""

from __future__ import annotations

import pytest

from tests.tissdb.crash.kills import storm


@pytest.mark.slow
def test_a_storm_of_kills(tmp_path):
    """A thousand and more: `python tests/tissdb/crash/kills.py --kills 1000`."""
    assert storm(tmp_path, kills=25, least=20) == []
