"""A commit that is killed, or meets a full disk, before any of its system calls has done all or nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed_commit.py")


@pytest.fixture(params=["this user", "nobody"] if os.geteuid() == 0 else ["this user"])
def commits(request):
    """Runs commits that are killed; in a folder that an ordinary user may have, who cannot do what root can."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # what survives a kill is the same, and sooner
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        if request.param == "nobody":
            os.chown(folder, 65534, 65534)

        def run(scenario, stride):
            command = [sys.executable, PROGRAM, Path(folder, "work"), scenario, str(stride), request.param]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]

        yield run


def check(lines):
    """All or nothing, told truly and as often as one asks, and nothing left of it once it was noted."""
    for line in lines:
        assert line["is"] in {"old", "new"}, line
        assert (line["is"] == "new") == any(line["committed"]) == any(line["again"]), line
        assert line["is"] == "old" or line["changes"] == [21], line
        assert set(line["left"]) <= {"done.json", "lock"}, line
        assert line["scratch"] == [], line


def check_kills(lines):
    check(lines)
    assert len(lines) > 2
    assert lines[-1]["lived"]
    assert not any(line["lived"] for line in lines[:-1])
    # There is one moment from which on everything will be done.
    states = [line["is"] for line in lines]
    assert states == sorted(states, reverse=True)
    assert {"old", "new"} == set(states[:-1])


def test_a_killed_commit_has_done_all_or_nothing(commits):
    check_kills(commits("kill", 4))


@pytest.mark.slow
def test_a_commit_killed_before_every_single_system_call_has_done_all_or_nothing(commits):
    lines = commits("kill", 1)
    check_kills(lines)
    assert len(lines) > 100


@pytest.mark.slow
def test_a_commit_on_a_disk_that_is_full_has_done_all_or_nothing_and_says_so(commits):
    lines = commits("full", 1)
    check(lines)
    assert len(lines) > 100
    assert all(line["explained"] for line in lines)
    assert all(line["is"] == "new" for line in lines if line["returned"])
    assert lines[-1]["returned"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["kill, kill", "full, kill"])
def test_a_recovery_that_is_killed_is_recovered_by_the_next(commits, scenario):
    lines = commits(scenario, 11)
    check(lines)
    assert {line["is"] for line in lines} == {"old", "new"}
