"""A step's own copy of the project: what it sees, what is taken over, what is refused, what is left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from quanta_tissu.errors import CommitRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox import commit as committing
from quanta_tissu.tisslang.sandbox import transaction as module
from quanta_tissu.tisslang.sandbox import tree
from quanta_tissu.tisslang.sandbox.commit_filter import Room, destination
from quanta_tissu.tisslang.sandbox.files import ProjectFiles
from quanta_tissu.tisslang.sandbox.manifest import State
from quanta_tissu.tisslang.sandbox.transaction import Transaction


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a")
    (folder / "README").write_text("readme")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/a.py")
    (folder / ".git" / "hooks").mkdir(parents=True)
    (folder / ".git" / "config").write_text("[core]\n")
    (folder / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def scratch(root):
    return root / ".tissu" / "runs" / "1" / "scratch"


@pytest.fixture
def step(root, scratch):
    with Transaction.begin(root, scratch) as transaction:
        yield transaction


def told(changes):
    return [(change.kind, change.path) for change in changes]


def refusal(step):
    with pytest.raises(CommitRefusedError) as caught:
        step.commit()
    return str(caught.value)


# The copy


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


# What is taken over


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


# What is refused


def test_every_reason_is_named_and_the_project_stays(step, root):
    (step.root / "README").write_text("new")
    (step.root / ".git" / "hooks" / "post-commit").write_text("evil")
    (step.root / ".git" / "config").write_text("evil")
    (step.root / "out").symlink_to("/etc/passwd")
    os.mkfifo(step.root / "pipe")
    said = refusal(step)
    for path in (".git/hooks/post-commit", ".git/config", "out", "pipe"):
        assert f'"{path}"' in said
    assert (root / "README").read_text() == "readme"
    step.discard()


def test_after_a_refusal_the_step_can_be_mended_and_committed(step, root):
    (step.root / "README").write_text("new")
    os.mkfifo(step.root / "pipe")
    refusal(step)
    (step.root / "pipe").unlink()
    step.commit()
    assert (root / "README").read_text() == "new"


def test_many_reasons_are_counted(step):
    for number in range(30):
        (step.root / ".git" / "hooks" / f"hook{number}").write_text("evil")
    assert "and 10 more" in refusal(step)


def test_too_many_changes_are_refused(root, scratch):
    with Transaction.begin(root, scratch, room=Room(count=10, size=100)) as step:
        (step.root / "big").write_bytes(b"x" * 101)
        assert "101 bytes, and at most 100" in refusal(step)
        (step.root / "big").unlink()
        for number in range(11):
            (step.root / str(number)).touch()
        assert "11 files, folders and links, and at most 10" in refusal(step)


def test_a_name_that_is_no_text_is_refused(step):
    with open(os.fsencode(step.root) + b"/\xff", "wb"):
        pass
    assert '"\\udcff" has a name that is not text' in refusal(step)


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


# What killed processes leave


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


# Where links lead


@pytest.mark.parametrize(
    ("links", "leads"),
    [
        ({"l": "a"}, ("a",)),
        ({"l": "d/../a"}, ("a",)),
        ({"l": "../a"}, None),
        ({"l": "/etc"}, None),
        ({"l": "missing/../../a"}, None),
        ({"l": "m", "m": "n", "n": "d/x"}, ("d", "x")),
        ({"l": "m", "m": "l"}, None),
        ({"l": "up/x", "up": ".."}, None),
        ({"l": "deep/../x", "deep": "d/e/f"}, ("d", "e", "x")),
        ({"d/l": "../../x"}, None),
        ({"d/l": "../x"}, ("x",)),
        ({"l": "./"}, ()),
    ],
)
def test_where_a_link_leads_is_found_as_the_kernel_finds_it(links, leads, tmp_path):
    states = {path: State(f"symlink:{target}", 0) for path, target in links.items()}
    path = next(iter(links))
    assert destination(path, states) == leads
