"""Attempts of a step to have more taken over from its copy than it may."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress

import pytest
from escaping import attacker, attempt, exchange, for_a_while

from quanta_tissu.errors import CommitRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox.transaction import Transaction


def begun(area):
    return Transaction.begin(area.root, area.root / ".tissu" / "scratch")


@attempt
def a_step_that_takes_over_a_link_outside(area):
    for target in (
        "../outside/secret",
        str(area.outside / "secret"),
        "missing/../../outside",
        "../../tree/../new",
    ):
        with begun(area) as step, pytest.raises(CommitRefusedError, match="leads outside"):
            (step.root / "link").symlink_to(target)
            step.commit()
    assert sorted(os.listdir(area.root)) == [".tissu", "src"]


@attempt
def a_step_that_makes_an_old_link_lead_outside(area):
    (area.root / "src" / "deep").mkdir()
    (area.root / "way").symlink_to("src/deep")
    (area.root / "link").symlink_to("way/../../src/a")
    with begun(area) as step, pytest.raises(CommitRefusedError, match='"link" is a link that leads outside'):
        (step.root / "way").unlink()
        (step.root / "way").mkdir()
        step.commit()


@attempt
def a_step_that_takes_over_a_hard_link_to_a_secret(area):
    with begun(area) as step:
        os.link(area.outside / "secret", step.root / "mine")
        with pytest.raises(CommitRefusedError, match="hard link"):
            step.commit()
    assert not (area.root / "mine").exists()


@attempt
def a_step_that_writes_hooks(area):
    (area.root / ".git" / "hooks").mkdir(parents=True)
    for path in (
        ".git/hooks/pre-commit",
        ".git/config",
        ".GIT/config",
        "lib/.git/hooks/x",
        ".tissu/x",
        "lib/.tissu/x",
        "x/.git",
    ):
        with begun(area) as step, pytest.raises(CommitRefusedError, match="is protected"):
            (step.root / path).parent.mkdir(parents=True, exist_ok=True)
            (step.root / path).write_bytes(b"evil")
            step.commit()


@attempt
def a_step_that_moves_the_hooks_away_or_links_to_them(area):
    (area.root / ".git" / "hooks").mkdir(parents=True)
    with begun(area) as step, pytest.raises(CommitRefusedError, match="is protected"):
        shutil.rmtree(step.root / ".git")
        step.commit()
    with begun(area) as step, pytest.raises(CommitRefusedError, match="is protected"):
        (step.root / ".git").rename(step.root / "git")
        (step.root / ".git").symlink_to("git")
        step.commit()
    with begun(area) as step, pytest.raises(CommitRefusedError, match="something protected"):
        (step.root / "link").symlink_to(".git/hooks")
        step.commit()


@attempt
def a_step_that_makes_programs_run_as_their_owner(area):
    for mode in (0o4755, 0o2755, 0o6755):
        with begun(area) as step, pytest.raises(CommitRefusedError, match="setuid"):
            (step.root / "program").write_bytes(b"evil")
            (step.root / "program").chmod(mode)
            step.commit()


@attempt
def a_step_that_makes_devices_and_pipes(area):
    with begun(area) as step:
        os.mkfifo(step.root / "pipe")
        if os.geteuid() == 0:
            with suppress(PermissionError):  # a container may have taken even root's right to
                os.mknod(step.root / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with pytest.raises(CommitRefusedError, match="a device, a pipe or a socket"):
            step.commit()


@attempt
def a_step_that_moves_its_copy_away(area):
    with begun(area) as step:
        (step.root / "src" / "a").write_bytes(b"changed")
        step.root.rename(step.root.with_name("moved"))
        step.root.symlink_to(area.outside)
        assert [change.path for change in step.changes()] == ["src/a"]
        step.commit()
    assert sorted(os.listdir(area.root)) == [".tissu", "src"]
    assert (area.root / "src" / "a").read_bytes() == b"changed"


@attempt
def a_project_whose_folders_become_links_before_the_commit(area):
    with begun(area) as step:
        (step.root / "src" / "a").write_bytes(b"evil")
        (step.root / "src" / "secret").write_bytes(b"evil")
        (step.root / "src" / "folder").mkdir()
        (area.root / "src").rename(area.root / "old")
        (area.root / "src").symlink_to("../outside")
        with pytest.raises(CommitRefusedError, match="meanwhile"):
            step.commit()


@attempt
def a_project_whose_folders_become_links_during_commits(area):
    (area.root / "link").symlink_to("../outside")
    number = 0
    for _ in for_a_while():
        with begun(area) as step:
            number += 1
            for name in ("secret", "a", "new"):
                (step.root / "src" / name).write_bytes(f"{number}".encode())
            with attacker(exchange(area.root / "src", area.root / "link")), suppress(SandboxError):
                step.commit()
        if (area.root / "src").is_symlink():
            exchange(area.root / "src", area.root / "link")()


@attempt
def a_step_that_removes_what_it_could_not_see(area):
    closed = area.root / "closed"
    closed.mkdir()
    (closed / "file").write_bytes(b"inside")
    os.mkfifo(closed / "pipe")
    closed.chmod(0)
    with begun(area) as step:
        (step.root / "closed").chmod(0o700)
        shutil.rmtree(step.root / "closed")
        with pytest.raises(CommitRefusedError):
            step.commit()
    closed.chmod(0o700)
    assert sorted(os.listdir(closed)) == ["file", "pipe"]


@attempt
def a_step_that_hides_what_it_wrote(area):
    with begun(area) as step:
        (step.root / "hidden").write_bytes(b"evil")
        (step.root / "hidden").chmod(0)
        (step.root / "folder").mkdir()
        (step.root / "folder" / "file").write_bytes(b"evil")
        (step.root / "folder").chmod(0)
        if os.geteuid() == 0:
            assert [change.path for change in step.commit()] == ["folder", "folder/file", "hidden"]
        else:
            with pytest.raises(CommitRefusedError, match='"hidden" may not be read'):
                step.commit()
