"""A step's work: what is taken over into the project, and when nothing is."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox.files import ProjectFiles
from quanta_tissu.tisslang.sandbox.transaction import Transaction


def told(changes):
    return [(change.kind, change.path) for change in changes]


def test_nothing_is_taken_over_before_the_commit_and_all_of_it_then(step, root):
    with ProjectFiles(step.root) as files:
        files.write("README", b"new")
        files.make_directory("out/deep")
        files.write("out/deep/b", b"b")
        files.delete("src/a.py")
    (step.root / "run.sh").chmod(0o700)
    (step.root / "link").unlink()
    (step.root / "link").symlink_to("out")
    assert (root / "README").read_text() == "readme"
    expected = [
        ("M", "README"),
        ("M", "link"),
        ("A", "out"),
        ("A", "out/deep"),
        ("A", "out/deep/b"),
        ("M", "run.sh"),
        ("D", "src/a.py"),
    ]
    assert told(step.changes()) == expected
    assert told(step.commit()) == expected
    assert (root / "README").read_text() == "new"
    assert (root / "out" / "deep" / "b").read_text() == "b"
    assert not (root / "src" / "a.py").exists()
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o700
    assert os.readlink(root / "link") == "out"


def test_a_change_says_what_was_and_what_is(step):
    (step.root / "README").write_text("new")
    (step.root / "run.sh").chmod(0o600)
    (step.root / "made").mkdir()
    (step.root / "link").unlink()
    by_path = {change.path: change for change in step.changes()}
    readme, script, made, link = (by_path[path] for path in ("README", "run.sh", "made", "link"))
    with ProjectFiles(step.root) as files:
        assert readme.after == files.digest("README") != readme.before
    assert script.before == script.after
    assert (script.mode_before, script.mode_after) == (0o755, 0o600)
    assert (made.before, made.after) == (None, "directory")
    assert (link.before, link.after) == ("symlink:src/a.py", None)


def test_a_change_is_found_whatever_is_done_to_the_times(step):
    before = (step.root / "README").stat()
    (step.root / "README").write_text("README")
    os.utime(step.root / "README", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert told(step.changes()) == [("M", "README")]


def test_touching_a_file_is_no_change(step):
    (step.root / "README").touch()
    assert step.changes() == step.commit() == ()


def test_files_and_folders_change_places(step, root):
    (step.root / "README").unlink()
    (step.root / "README").mkdir()
    (step.root / "README" / "x").write_text("x")
    (step.root / "src" / "a.py").unlink()
    (step.root / "src").rmdir()
    (step.root / "src").symlink_to("README")
    step.commit()
    assert (root / "src" / "x").read_text() == "x"


def test_links_and_folders_change_places(root, scratch):
    (root / "also").symlink_to("src")
    with Transaction.begin(root, scratch) as step:
        (step.root / "also").unlink()
        (step.root / "also").mkdir()
        (step.root / "also" / "b.py").write_text("b")
        step.commit()
    assert (root / "also" / "b.py").read_text() == "b"
    assert sorted(os.listdir(root / "src")) == ["a.py"]


def test_what_was_not_changed_is_not_touched(step, root):
    before = (root / "src" / "a.py").stat()
    (step.root / "README").write_text("new")
    step.commit()
    after = (root / "src" / "a.py").stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def test_the_new_file_has_the_time_at_which_the_step_wrote_it(step, root):
    (step.root / "README").write_text("new")
    os.utime(step.root / "README", ns=(1, 1_700_000_000_000_000_001))
    step.commit()
    assert (root / "README").stat().st_mtime_ns == 1_700_000_000_000_000_001


def test_writing_to_the_copy_afterwards_reaches_nothing(step, root):
    with open(step.root / "README", "w") as file:
        file.write("new")
        file.flush()
        step.commit()
        file.write(" and more")
    assert (root / "README").read_text() == "new"


@pytest.mark.parametrize("owner", [os.geteuid(), 65534] if os.geteuid() == 0 else [os.geteuid()])
def test_a_file_keeps_its_owner_and_a_new_one_belongs_to_who_runs_the_engine(root, scratch, owner):
    os.chown(root / "run.sh", owner, -1)
    with Transaction.begin(root, scratch) as step:
        assert (step.root / "run.sh").stat().st_uid == owner
        (step.root / "run.sh").write_text("new")
        (step.root / "added").write_text("new")
        os.chown(step.root / "added", owner, -1)
        step.commit()
    assert (root / "run.sh").stat().st_uid == owner
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o755
    assert (root / "added").stat().st_uid == os.geteuid()
    with ProjectFiles(root) as files:
        files.write("run.sh", b"newer")
    assert (root / "run.sh").stat().st_uid == owner


def test_many_changes_are_taken_over(step, root):
    for number in range(150):
        (step.root / f"file{number}").write_text(str(number))
    step.commit()
    assert [(root / f"file{number}").read_text() for number in range(150)] == [
        str(number) for number in range(150)
    ]


def test_git_works_on_the_copy_and_its_commit_is_taken_over(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()

    def git(folder, *arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        return subprocess.run(
            ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout

    git(root, "init", "-q")
    with Transaction.begin(root, root / ".tissu" / "s") as step:
        (step.root / "a").write_text("a")
        git(step.root, "add", "a")
        git(step.root, "commit", "-q", "-m", "Add a")
        step.commit()
    assert git(root, "log", "--format=%s").strip() == "Add a"
    assert git(root, "status", "--porcelain", "--", "a").strip() == ""


def test_on_another_disk_contents_are_copied_across(root, tmp_path, monkeypatch):
    real = os.rename

    def rename(source, target, **folders):
        if source.isdecimal():
            raise OSError(18, "Invalid cross-device link")
        return real(source, target, **folders)

    with Transaction.begin(root, tmp_path / "elsewhere") as step:
        (step.root / "README").write_text("new")
        (step.root / "run.sh").chmod(0o711)
        (step.root / "new link").symlink_to("README")
        monkeypatch.setattr(os, "rename", rename)
        step.commit()
    assert (root / "README").read_text() == "new"
    assert (root / "new link").read_text() == "new"
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o711
    assert not [name for name in os.listdir(root) if name.endswith(".new")]


def test_nothing_is_left_in_the_scratch_folder(root, scratch):
    with Transaction.begin(root, scratch) as step:
        (step.root / "README").write_text("new")
        step.commit()
    Transaction.begin(root, scratch).discard()
    assert list(scratch.iterdir()) == []


def test_discarding_leaves_the_project_alone_and_may_be_done_twice(root, scratch):
    step = Transaction.begin(root, scratch)
    (step.root / "README").write_text("new")
    step.discard()
    step.discard()
    assert (root / "README").read_text() == "readme"
    for act in (step.commit, step.changes):
        with pytest.raises(SandboxError, match="is over"):
            act()


def test_a_copy_with_folders_thousands_deep_and_closed_is_removed(root, scratch):
    step = Transaction.begin(root, scratch)
    here = os.open(step.root, os.O_RDONLY)
    for _ in range(2_500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.fchmod(here, 0)
    os.close(here)
    with pytest.raises(SandboxError, match="more than 200 deep"):
        step.commit()
    step.discard()
    assert list(scratch.iterdir()) == []
