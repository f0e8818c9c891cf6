"""The copy of the project on which a step works."""

from __future__ import annotations

import os
import stat

import pytest

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import tree
from quanta_tissu.tisslang.sandbox.commit_filter import Room
from quanta_tissu.tisslang.sandbox.transaction import Transaction


def test_the_copy_holds_what_the_project_holds_but_the_journals(step, root):
    names = {path.relative_to(step.root).as_posix() for path in step.root.rglob("*")}
    expected = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert names == {name for name in expected if not name.startswith(".tissu")}
    assert (step.root / "src" / "a.py").read_text() == "a"
    assert os.readlink(step.root / "link") == "src/a.py"


def test_the_copy_has_modes_and_times_so_that_make_and_tests_see_no_difference(root, scratch):
    os.utime(root / "README", ns=(1, 1_600_000_000_123_456_789))
    os.utime(root / "src", ns=(1, 1_500_000_000_123_456_789))
    (root / "src").chmod(0o750)
    with Transaction.begin(root, scratch) as step:
        assert (step.root / "README").stat().st_mtime_ns == 1_600_000_000_123_456_789
        assert (step.root / "src").stat().st_mtime_ns == 1_500_000_000_123_456_789
        assert stat.S_IMODE((step.root / "src").stat().st_mode) == 0o750
        assert stat.S_IMODE((step.root / "run.sh").stat().st_mode) == 0o755
        assert step.changes() == ()


def test_no_file_of_the_copy_is_one_of_the_project(root, scratch, tmp_path):
    os.link(root / "README", root / "same")
    with Transaction.begin(root, scratch) as step:
        inodes = {
            (p.stat().st_dev, p.stat().st_ino) for p in root.rglob("*") if p.is_file() and ".tissu" not in p.parts
        }
        copied = [p.stat() for p in step.root.rglob("*") if p.is_file() and not p.is_symlink()]
        assert not inodes & {(found.st_dev, found.st_ino) for found in copied}
        assert all(found.st_nlink == 1 for found in copied)
        (step.root / "same").write_text("changed")
        assert (root / "README").read_text() == (step.root / "README").read_text() == "readme"


def test_a_program_that_runs_as_its_owner_is_none_in_the_copy(root, scratch):
    (root / "run.sh").chmod(0o4755)
    with Transaction.begin(root, scratch) as step:
        assert stat.S_IMODE((step.root / "run.sh").stat().st_mode) == 0o755
        assert step.changes() == ()


def test_pipes_and_sockets_are_not_in_the_copy_and_stay_in_the_project(root, scratch):
    os.mkfifo(root / "pipe")
    with Transaction.begin(root, scratch) as step:
        assert not (step.root / "pipe").exists()
        (step.root / "README").write_text("new")
        step.commit()
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("room", "message"),
    [(Room(count=5), "9 files, folders and links, and at most 5"), (Room(size=20), "34 bytes, and at most 20")],
)
def test_a_project_that_is_too_large_is_refused_with_its_size(root, scratch, room, message):
    with pytest.raises(SandboxError, match=message):
        Transaction.begin(root, scratch, room=room)
    assert not scratch.exists()


def test_a_copy_is_not_kept_where_it_would_be_copied(root):
    with pytest.raises(SandboxError, match="would be copied, too"):
        Transaction.begin(root, root / "build")


def test_a_project_that_is_not_there(tmp_path):
    with pytest.raises(SandboxError, match="cannot be opened"):
        Transaction.begin(tmp_path / "missing", tmp_path / "scratch")


def test_a_full_disk_leaves_no_copy(root, scratch, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quanta_tissu.tisslang.sandbox.manifest.copy_content", full)
    with pytest.raises(SandboxError, match="disk is full"):
        Transaction.begin(root, scratch)
    assert list(scratch.iterdir()) == []


def test_a_file_that_is_always_written_is_refused(root, scratch, monkeypatch):
    real = tree.copy_content

    def written(source, target):
        (root / "README").write_text(f"{os.urandom(8)}")
        return real(source, target)

    monkeypatch.setattr("quanta_tissu.tisslang.sandbox.manifest.copy_content", written)
    with pytest.raises(SandboxError, match='"README" is being written all the time'):
        Transaction.begin(root, scratch)
    assert list(scratch.iterdir()) == []


def test_what_a_folder_holds_that_its_owner_must_not_change_is_changed_nevertheless(root, scratch):
    (root / "src").chmod(0o555)
    with Transaction.begin(root, scratch) as step:
        (step.root / "src").chmod(0o755)
        (step.root / "src" / "b.py").write_text("b")
        (step.root / "src").chmod(0o555)
        assert [(change.kind, change.path) for change in step.commit()] == [("A", "src/b.py")]
    assert stat.S_IMODE((root / "src").stat().st_mode) == 0o555
    assert (root / "src" / "b.py").read_text() == "b"
