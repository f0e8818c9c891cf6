"""What this machine offers is tried, and what is missing is an error."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import landlock, layout, probe, seccomp
from quanta_tissu.tisslang.sandbox.policy import Level


@pytest.fixture
def anew():
    """What was found out before is forgotten, before and after."""
    probe._offered.cache_clear()
    yield
    probe._offered.cache_clear()


def found(name):
    return next(one for one in probe.offered() if one.name == name)


def bwrap(folder, script):
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_every_feature_is_named_with_a_detail(unavailable):
    offers = probe.offered()
    assert [one.name for one in offers] == ["openat2", "landlock", "seccomp", "bubblewrap"]
    assert all(one.detail for one in offers)
    assert probe.offered() is offers
    if not all(one.works for one in offers):
        unavailable(f"a sandbox is missing here: {[one for one in offers if not one.works]}")


def test_the_best_level_is_bubblewrap_else_landlock_else_none_that_is_not_asked_for(anew, monkeypatch, tmp_path):
    assert probe.best_level() is Level.BWRAP
    monkeypatch.setattr(layout, "PATH", str(tmp_path))
    probe._offered.cache_clear()
    assert probe.best_level() is Level.LANDLOCK
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    probe._offered.cache_clear()
    with pytest.raises(SandboxError, match="no sandbox") as caught:
        probe.best_level()
    assert "apt-get install bubblewrap" in caught.value.hint
    probe.require(Level.NONE)


def test_an_old_landlock_is_refused(anew, monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: landlock.NEEDED_ABI - 1)
    assert "version 5" in found("landlock").detail
    with pytest.raises(SandboxError, match="`landlock` was asked for, and does not work here"):
        probe.require(Level.LANDLOCK)


def test_a_processor_without_a_filter_has_no_level_that_needs_one(anew, monkeypatch):
    monkeypatch.setattr(seccomp, "MACHINES", {})
    for level in (Level.LANDLOCK, Level.BWRAP, Level.TXN):
        with pytest.raises(SandboxError, match="there is no filter for"):
            probe.require(level)


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (
            "echo 'bwrap: No permissions to create new namespace' >&2; exit 1",
            "No permissions to create new namespace",
        ),
        ("exit 0", "it ends with 0"),
    ],
)
def test_a_bubblewrap_that_does_not_work_says_why(anew, monkeypatch, request, script, detail):
    folder = Path(tempfile.mkdtemp())  # not below pytest's own, which nobody but its user may pass
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o755)
    bwrap(folder, script)
    monkeypatch.setattr(layout, "PATH", str(folder))
    assert not found("bubblewrap").works
    assert detail in found("bubblewrap").detail
    with pytest.raises(SandboxError, match="does not work here: bubblewrap"):
        probe.require(Level.TXN)


def test_one_that_cannot_be_run_at_all_says_so(anew, monkeypatch, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "bwrap").write_bytes(b"\x7fELF nothing")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setattr(layout, "PATH", str(tmp_path))
    assert "cannot be run" in found("bubblewrap").detail
