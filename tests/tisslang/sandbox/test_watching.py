"""What is protected is as it was when a command is over, also where several run at once."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import guard
from quanta_tissu.tisslang.sandbox.policy import Level, Limits, Policy
from quanta_tissu.tisslang.sandbox.run import run
from quanta_tissu.tisslang.sandbox.watching import watched

ME = os.geteuid()


@pytest.fixture
def project(tmp_path):
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / ".git" / "config").write_text("[core]\n")
    (tmp_path / ".git" / "hooks" / "pre-push").write_text("#!/bin/sh\n")
    (tmp_path / ".tissu" / "runs" / "1").mkdir(parents=True)
    (tmp_path / ".tissu" / "runs" / "1" / "journal.jsonl").write_text("{}\n")
    return tmp_path


def put_back(project, change):
    """Which places are put back after a change."""
    with watched(str(project), Level.LANDLOCK, ME) as kept:
        watching = guard.Guard(str(project), kept)
        change()
        return watching.put_back()


def test_what_nobody_has_changed_is_left(project):
    assert put_back(project, lambda: (project / "new").touch()) == []


def test_a_file_with_its_permissions(project):
    hook = project / ".git" / "hooks" / "pre-push"
    assert put_back(project, lambda: hook.chmod(0o755)) == [".git/hooks"]
    assert hook.stat().st_mode & 0o777 != 0o755
    assert (project / ".git" / "hooks.undone-1" / "pre-push").stat().st_mode & 0o777 == 0o755


def test_a_link(project):
    (project / ".git" / "commondir").symlink_to("elsewhere")
    assert put_back(project, (project / ".git" / "commondir").unlink) == [".git/commondir"]
    assert os.readlink(project / ".git" / "commondir") == "elsewhere"


def test_a_folder_that_was_moved_is_moved_back_with_all_that_is_in_it(project):
    (project / ".git" / "index").write_text("index")
    assert put_back(project, lambda: (project / ".git").rename(project / "mine")) == [".git"]
    assert (project / ".git" / "index").read_text() == "index"


def test_what_cannot_be_made_again_is_an_error(project):
    os.mkfifo(project / ".git" / "config.worktree")
    with pytest.raises(OSError, match="could put it back"):
        put_back(project, (project / ".git" / "config.worktree").unlink)


def test_too_much_to_be_kept_is_refused(project):
    with open(project / ".git" / "hooks" / "large", "wb") as file:
        file.truncate(guard.LARGEST + 1)
    with (
        pytest.raises(SandboxError, match="too large to be kept"),
        watched(str(project), Level.LANDLOCK, ME),
    ):
        pass


def test_commands_that_run_at_the_same_time_get_the_same(project):
    with watched(str(project), Level.LANDLOCK, ME) as first:
        (project / ".git" / "config").write_text("evil")
        with watched(str(project), Level.LANDLOCK, ME) as second:
            assert second is first
    with watched(str(project), Level.LANDLOCK, ME) as third:
        assert third[".git/config"] != first[".git/config"]


def test_a_journal_on_which_somebody_works_may_grow(project):
    run_folder = project / ".tissu" / "runs" / "1"
    (run_folder / "lock").write_text("me")
    with open(run_folder / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with watched(str(project), Level.LANDLOCK, ME):
            (run_folder / "journal.jsonl").write_text("{}\n{}\n")
    with (
        pytest.raises(SandboxError, match=r"has changed \.tissu/runs/1/journal\.jsonl: nobody"),
        watched(str(project), Level.LANDLOCK, ME),
    ):
        (run_folder / "journal.jsonl").write_text("{}\n")


@pytest.mark.usefixtures("every_level")
def test_what_one_command_did_is_never_taken_for_what_was_there_before_another(project):
    policy = Policy(level=Level.LANDLOCK, limits=Limits(free_disk=0))
    came = []

    def change(begun):
        with pytest.raises(SandboxError, match="it was undone"):
            run("echo evil > .git/config; echo; sleep 1", root=project, policy=policy, timeout=60, on_output=begun)

    def work():
        try:
            undone = "until grep -q core .git/config; do sleep 0.1; done"
            run(undone, root=project, policy=policy, timeout=60)
        except SandboxError as error:
            came.append(str(error))

    changed = threading.Event()
    first = threading.Thread(target=change, args=(lambda *_: changed.set(),))
    first.start()
    assert changed.wait(60)
    work()
    first.join()
    assert (project / ".git" / "config").read_text() == "[core]\n"
    assert came == []
