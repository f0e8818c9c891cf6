"""Levels and limits."""

from __future__ import annotations

import dataclasses

import pytest

from quanta_tissu.tisslang.sandbox.policy import Level, Limits, Policy


def test_levels_are_called_as_scripts_and_options_call_them():
    assert [level.value for level in Level] == ["none", "landlock", "bwrap", "txn"]


def test_a_policy_grants_nothing_that_it_does_not_say():
    policy = Policy(level=Level.BWRAP)
    assert (policy.network, policy.environment, policy.readable, policy.limits) == (False, (), (), Limits())


def test_a_policy_has_a_level_and_cannot_be_changed():
    with pytest.raises(TypeError):
        Policy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy(level=Level.BWRAP).level = Level.NONE


def test_there_is_a_limit_for_everything():
    assert all(0 < value < 1 << 40 for value in dataclasses.asdict(Limits()).values())
