"""Commits that meet changes of others, or failures, and what killed ones leave."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from quanta_tissu.errors import CommitRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox import commit as committing
from quanta_tissu.tisslang.sandbox import transaction as module
from quanta_tissu.tisslang.sandbox.transaction import Transaction


def told(changes):
    return [(change.kind, change.path) for change in changes]


def refusal(step):
    with pytest.raises(CommitRefusedError) as caught:
        step.commit()
    return str(caught.value)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda root: (root / "README").write_text("theirs"),
        lambda root: (root / "README").chmod(0o600),
        lambda root: (root / "README").unlink(),
        lambda root: (root / "added").write_text("theirs"),
        lambda root: os.mkfifo(root / "added"),
        lambda root: (root / "src" / "theirs").write_text("theirs"),
        lambda root: os.mkfifo(root / "src" / "pipe"),
        lambda root: ((root / "src" / "a.py").unlink(), (root / "src").rmdir(), (root / "src").symlink_to(".git")),
    ],
)
def test_what_was_changed_in_the_project_meanwhile_is_not_overwritten(step, root, meanwhile):
    (step.root / "README").write_text("ours")
    (step.root / "added").write_text("ours")
    (step.root / "src" / "a.py").unlink()
    (step.root / "src").rmdir()
    meanwhile(root)
    before = sorted((path, path.lstat().st_mtime_ns) for path in root.rglob("*") if ".tissu" not in path.parts)
    said = refusal(step)
    assert "meanwhile" in said or "has not seen" in said
    assert before == sorted(
        (path, path.lstat().st_mtime_ns) for path in root.rglob("*") if ".tissu" not in path.parts
    )


def test_other_changes_in_the_project_do_not_matter(step, root):
    (step.root / "README").write_text("ours")
    (root / "src" / "a.py").write_text("theirs")
    step.commit()
    assert (root / "README").read_text() == "ours"
    assert (root / "src" / "a.py").read_text() == "theirs"


def test_two_steps_that_change_the_same_file_are_not_both_taken_over(root, scratch):
    with Transaction.begin(root, scratch) as one, Transaction.begin(root, scratch) as two:
        (one.root / "README").write_text("one")
        (two.root / "README").write_text("two")
        (two.root / "other").write_text("two")
        one.commit()
        assert '"README" was changed in the project meanwhile' in refusal(two)
    assert (root / "README").read_text() == "one"
    assert not (root / "other").exists()


def test_steps_that_change_different_files_are_all_taken_over_at_the_same_time(root, scratch):
    steps = [Transaction.begin(root, scratch) for _ in range(6)]
    for number, step in enumerate(steps):
        (step.root / "src" / f"file{number}").write_text(str(number))
    threads = [threading.Thread(target=step.commit) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(root / "src" / f"file{number}").read_text() for number in range(6)] == list("012345")
    assert list(scratch.iterdir()) == []


def test_a_change_in_the_last_moment_undoes_the_commit_and_stays(step, root, monkeypatch):
    (step.root / "README").write_text("ours")
    (step.root / "added").write_text("ours")
    (step.root / "run.sh").write_text("ours")
    real = committing._Doing.put

    def put(self, item):
        if item.path == "run.sh":
            (root / "run.sh").write_text("theirs")
        real(self, item)

    monkeypatch.setattr(committing._Doing, "put", put)
    assert '"run.sh" was changed in the project meanwhile' in refusal(step)
    assert (root / "README").read_text() == "readme"
    assert not (root / "added").exists()
    assert (root / "run.sh").read_text() == "theirs"


@pytest.mark.parametrize("at", ["rename", "fsync"])
def test_a_disk_that_fails_before_anything_was_done_leaves_the_step_to_be_committed_again(
    step, root, monkeypatch, at
):
    (step.root / "README").write_text("ours")
    real = getattr(os, at)
    calls = []

    def failing(*arguments, **named):
        calls.append(arguments)
        if at == "fsync" or "intent.json" in arguments:
            raise OSError(28, "No space left on device")
        return real(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, at, failing)
        with pytest.raises(SandboxError, match="disk is full"):
            step.commit()
    assert calls
    assert (root / "README").read_text() == "readme"
    step.commit()
    assert (root / "README").read_text() == "ours"


def test_an_interrupted_commit_is_undone(step, root, monkeypatch):
    (step.root / "README").write_text("ours")
    (step.root / "added").write_text("ours")
    real = committing._Doing.put

    def put(self, item):
        if item.path == "added" and not self.lenient:
            raise KeyboardInterrupt
        real(self, item)

    monkeypatch.setattr(committing._Doing, "put", put)
    with pytest.raises(KeyboardInterrupt):
        step.commit()
    assert (root / "README").read_text() == "readme"
    assert not (root / "added").exists()


def test_a_commit_that_can_neither_be_done_nor_undone_is_finished_later(root, scratch, monkeypatch):
    step = Transaction.begin(root, scratch, label="step")
    (step.root / "README").write_text("ours")

    def failing(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(module, "carry_out", failing)
        with pytest.raises(SandboxError, match="neither be finished nor undone"):
            step.commit()
    step.discard()
    settled = Transaction.abandoned(scratch)
    assert [one.committed for one in settled] == [False]
    assert (root / "README").read_text() == "readme"


def test_a_transaction_that_lives_is_not_abandoned(step, scratch):
    assert Transaction.abandoned(scratch) == ()
    assert step.root.is_dir()


def test_a_copy_of_a_killed_process_is_removed(root, scratch):
    program = (
        "import os, sys\nfrom pathlib import Path\n"
        "from quanta_tissu.tisslang.sandbox.transaction import Transaction\n"
        "step = Transaction.begin(Path(sys.argv[1]), Path(sys.argv[2]), label='a')\n"
        "(step.root / 'README').write_text('new')\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, root, scratch], check=False)
    (settled,) = Transaction.abandoned(scratch)
    assert (settled.label, settled.committed, settled.changes) == ("a", False, ())
    assert list(scratch.iterdir()) == []
    assert (root / "README").read_text() == "readme"


def test_without_a_scratch_folder_nothing_was_abandoned(tmp_path):
    assert Transaction.abandoned(tmp_path / "missing") == ()


def test_a_commit_with_a_label_is_told_of_until_it_is_forgotten(root, scratch):
    step = Transaction.begin(root, scratch, label="step[1]")
    (step.root / "README").write_text("new")
    changes = step.commit()
    for _ in range(2):
        (settled,) = Transaction.abandoned(scratch)
        assert (settled.label, settled.committed, settled.changes) == ("step[1]", True, changes)
    step.forget()
    assert Transaction.abandoned(scratch) == ()
    assert list(scratch.iterdir()) == []


def kill_in_commit(root, scratch, monkeypatch):
    """What a kill after the intent was written leaves, without a process to kill."""
    step = Transaction.begin(root, scratch, label="step")
    (step.root / "README").write_text("ours")
    (step.root / "added").write_text("ours")
    with monkeypatch.context() as patched:
        patched.setattr(module, "_do", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            step.commit()
    os.close(step._lock)


def test_a_killed_commit_is_finished_where_the_project_has_moved_to(root, scratch, monkeypatch, tmp_path):
    kill_in_commit(root, scratch, monkeypatch)
    moved = tmp_path / "moved"
    root.rename(moved)
    (settled,) = Transaction.abandoned(moved / scratch.relative_to(root))
    assert settled.committed
    assert told(settled.changes) == [("M", "README"), ("A", "added")]
    assert (moved / "README").read_text() == "ours"


def test_a_killed_commit_is_undone_where_somebody_has_changed_the_project(root, scratch, monkeypatch):
    kill_in_commit(root, scratch, monkeypatch)
    (root / "added").write_text("theirs")
    (settled,) = Transaction.abandoned(scratch)
    assert not settled.committed
    assert (root / "README").read_text() == "readme"
    assert (root / "added").read_text() == "theirs"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("text", ["{}", "[", '{"version": 99}', '{"version": 1, "root": "x"}'])
def test_an_intent_that_nobody_wrote_is_refused(root, scratch, monkeypatch, text):
    kill_in_commit(root, scratch, monkeypatch)
    (intent,) = scratch.glob("*/intent.json")
    intent.write_text(text)
    with pytest.raises(SandboxError, match="is not what a killed run left"):
        Transaction.abandoned(scratch)


def test_folders_without_a_lock_are_of_a_process_killed_early(scratch):
    (scratch / "txn-0" / "tree").mkdir(parents=True)
    assert Transaction.abandoned(scratch) == ()
    assert list(scratch.iterdir()) == []
