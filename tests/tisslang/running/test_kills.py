from __future__ import annotations

import pytest

from tests.tisslang.running.kill_at_every_record import campaign


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_boundary_of_its_journal_ends_as_if_it_had_not_been():
    kills, wrong = campaign(every=3, sandbox="bwrap")
    assert kills > 40
    assert wrong == []


@pytest.mark.slow
def test_so_does_one_that_is_killed_twice():
    kills, wrong = campaign(every=7, sandbox="bwrap", twice=True)
    assert kills > 20
    assert wrong == []
