"""Replacing a directory: whatever happens, a complete one can be read."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest

from quanta_tissu import atomic_directory
from quanta_tissu.atomic_directory import DirectoryKind, locate, replacing
from quanta_tissu.errors import CheckpointError

FILES = ("a", "b", "manifest.json")


CHECKPOINT = DirectoryKind("checkpoint", CheckpointError, lambda path: (path / "manifest.json").exists())


def put(directory, content):
    with replacing(directory, CHECKPOINT) as new:
        for name in FILES:
            (new / name).write_text(content)


def get(directory):
    """The content of a directory, which must be the same in all files."""
    found = locate(directory, CHECKPOINT)
    (content,) = {(found / name).read_text() for name in FILES}
    return content


def siblings(directory):
    return sorted(path.name for path in directory.parent.iterdir())


def test_a_directory_is_created_with_its_parents_and_replaced(tmp_path):
    best = tmp_path / "runs" / "baby" / "best"
    put(best, "old")
    assert get(best) == "old"
    put(best, "new")
    assert get(best) == "new"
    assert siblings(best) == ["best"]


def test_an_empty_directory_may_be_filled(tmp_path):
    (tmp_path / "best").mkdir()
    put(tmp_path / "best", "new")
    assert get(tmp_path / "best") == "new"


def test_an_exception_leaves_the_old_directory_and_no_trace(tmp_path):
    best = tmp_path / "best"
    put(best, "old")

    def interrupted():
        with replacing(best, CHECKPOINT) as new:
            (new / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert get(best) == "old"
    assert siblings(best) == ["best"]


def test_a_directory_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="is not a checkpoint; it will not be replaced"):
        put(tmp_path / "thesis", "new")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    assert siblings(tmp_path / "thesis") == ["thesis"]


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "best").write_text("")
    with pytest.raises(CheckpointError, match="best is a file"):
        put(tmp_path / "best", "new")


def test_what_does_not_exist_cannot_be_located(tmp_path):
    put(tmp_path / "best", "x")
    with pytest.raises(CheckpointError, match="bset does not exist") as caught:
        locate(tmp_path / "bset", CHECKPOINT)
    assert caught.value.hint == f"did you mean {tmp_path / 'best'}?"
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file is a file, not a checkpoint directory"):
        locate(tmp_path / "file", CHECKPOINT)


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EIO, "Input/output error")],
)
def test_a_failing_disk_is_a_clear_error_and_nothing_is_lost(tmp_path, monkeypatch, code, message):
    best = tmp_path / "best"
    put(best, "old")

    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match=message) as caught:
        put(best, "new")
    assert "what was saved before is untouched" in caught.value.message
    assert get(best) == "old"
    assert siblings(best) == ["best"]


def test_a_failing_last_rename_brings_the_old_directory_back(tmp_path, monkeypatch):
    best = tmp_path / "best"
    put(best, "old")
    rename = type(best).rename

    def fail(path, target):
        if ".partial-" in path.name:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(type(best), "rename", fail)
    with pytest.raises(CheckpointError, match="Operation not permitted"):
        put(best, "new")
    assert get(best) == "old"
    assert siblings(best) == ["best"]


def test_a_file_size_limit_met_for_real_is_a_clear_error(tmp_path):
    """The kernel itself refuses to write: a child process may only write files of 100 bytes."""
    best = tmp_path / "best"
    put(best, "old")
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            put(best, "new" * 1000)
        except CheckpointError as error:
            os._exit(0 if "could not be written (File too large)" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert get(best) == "old"
    assert siblings(best) == ["best"]


def test_a_full_file_system_met_for_real_is_a_clear_error(tmp_path):
    """On a file system of 64 KiB, where the machine lets a user mount one."""
    script = """
        import subprocess, sys
        from pathlib import Path
        from quanta_tissu.atomic_directory import DirectoryKind, replacing
        from quanta_tissu.errors import CheckpointError
        anything = DirectoryKind("checkpoint", CheckpointError, lambda path: True)
        mount = Path(sys.argv[1])
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount]).returncode:
            sys.exit(77)
        def put(content):
            with replacing(mount / "best", anything) as new:
                (new / "weights").write_bytes(content)
        put(b"old" * 1000)
        try:
            put(b"new" * 100_000)
        except CheckpointError as error:
            assert "the disk is full" in str(error), error
            assert (mount / "best" / "weights").read_bytes() == b"old" * 1000
            assert [path.name for path in mount.iterdir()] == ["best"]
        else:
            sys.exit("no error")
    """
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", textwrap.dedent(script)]
    try:
        result = subprocess.run([*command, tmp_path], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no `unshare` on this machine")
    if result.returncode == 77 or "unshare" in result.stderr:
        pytest.skip(f"this machine lets no user mount a file system: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr


KILL_POINTS = ("mkdir", "open", "fsync", "rename", "rmdir", "unlink")


def test_a_process_killed_before_any_step_leaves_a_complete_directory(tmp_path):
    """A child dies, as if by SIGKILL, before its n-th change of the file system, for every n."""
    best = tmp_path / "best"
    put(best, "0")
    outcomes = set()
    for step in range(1, 1000):
        child = os.fork()
        if child == 0:
            die_before(step)
            put(best, str(step))
            os._exit(42)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        previous, now = get_and_repair(best, step)
        outcomes.add(now == str(step))
        assert now in (previous, str(step))
        if code == 42:
            break
    assert code == 42
    assert step > 15  # there were that many moments to die at
    assert outcomes == {False, True}
    assert siblings(best) == ["best"]


def get_and_repair(best, step):
    """What can be read after the child's death; then the state that the next child finds is a plain "old" one."""
    now = get(best)
    put(best, f"old {step}")
    return f"old {step - 1}" if step > 1 else "0", now


def die_before(step):
    """Make this process exit without any cleanup before its `step`-th system call that changes files."""
    count = 0

    def counted(call):
        def run(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                os._exit(9)
            return call(*args, **kwargs)

        return run

    for name in KILL_POINTS:
        setattr(os, name, counted(getattr(os, name)))


def test_leftovers_of_dead_processes_are_cleared_and_those_of_living_ones_stay(tmp_path):
    best = tmp_path / "best"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid(), os.getppid()):
        (tmp_path / f".best.partial-{pid}").mkdir()
        (tmp_path / f".best.partial-{pid}" / "a").write_text("half")
    (tmp_path / ".best.partial-notes").mkdir()
    put(best, "new")
    assert siblings(best) == [".best.partial-" + str(os.getppid()), ".best.partial-notes", "best"]


def test_a_replacement_killed_between_the_renames_is_finished_by_the_next(tmp_path):
    best = tmp_path / "best"
    put(best, "old")
    best.rename(tmp_path / ".best.previous")
    assert get(best) == "old"  # read from where it was moved
    put(best, "new")
    assert get(best) == "new"
    assert siblings(best) == ["best"]


def test_processes_of_other_users_count_as_alive(monkeypatch):
    def refuse(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert atomic_directory._alive(1)
