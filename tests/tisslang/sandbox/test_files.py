"""What file commands do, by both ways of finding a folder; what they must never do is in test_file_escapes.py."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from contextlib import suppress

import pytest

from quanta_tissu.errors import FileMissingError, FileRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox import atomic, beneath
from quanta_tissu.tisslang.sandbox.files import ProjectFiles


@pytest.fixture(params=[beneath.Kernel, beneath.Walk])
def resolver(request):
    return request.param()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def files(root, resolver):
    with ProjectFiles(root, largest=1000, resolver=resolver) as opened:
        yield opened


def test_this_machine_has_openat2_so_that_the_kernels_way_is_tested():
    assert isinstance(beneath.resolver(), beneath.Kernel)


def test_what_is_written_is_read(files, root):
    files.write("a.txt", b"hello\x00\xff")
    assert files.read("a.txt") == b"hello\x00\xff"
    assert (root / "a.txt").read_bytes() == b"hello\x00\xff"


def test_a_new_file_has_the_mode_that_the_umask_leaves(files, root):
    before = os.umask(0o027)
    try:
        files.write("a.txt", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o755, 0o600])
def test_a_replaced_file_keeps_its_mode(files, root, mode):
    (root / "run.sh").write_bytes(b"old")
    (root / "run.sh").chmod(mode)
    files.write("run.sh", b"new")
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == mode
    assert files.read("run.sh") == b"new"


def test_setuid_does_not_outlive_a_new_content(files, root):
    (root / "a").write_bytes(b"old")
    (root / "a").chmod(0o4755)
    files.write("a", b"new")
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o755


def test_a_hard_link_elsewhere_keeps_the_old_content(files, root, tmp_path):
    (tmp_path / "outside").write_bytes(b"old")
    os.link(tmp_path / "outside", root / "a")
    files.write("a", b"new")
    files.append("a", b"er")
    assert (tmp_path / "outside").read_bytes() == b"old"
    assert files.read("a") == b"newer"


def test_appending_makes_the_file_and_then_adds(files):
    files.append("log", b"one\n")
    files.append("log", b"two\n")
    assert files.read("log") == b"one\ntwo\n"


def test_threads_that_append_lose_nothing(files):
    def add(letter):
        for _ in range(10):
            files.append("log", letter)

    threads = [threading.Thread(target=add, args=(bytes([65 + n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(files.read("log")) == sorted(b"ABCD" * 10)


def test_folders_are_made_with_those_above_and_stay(files, root):
    files.make_directory("a/b/c/")
    files.write("a/b/c/x", b"1")
    files.make_directory("a/b/c")
    assert (root / "a/b/c/x").read_bytes() == b"1"


def test_a_folder_is_not_made_where_a_file_is(files):
    files.write("a", b"")
    with pytest.raises(FileRefusedError, match="in the way"):
        files.make_directory("a")


def test_files_and_empty_folders_are_deleted(files, root):
    files.make_directory("a")
    files.write("a/x", b"")
    with pytest.raises(FileRefusedError, match="something in it"):
        files.delete("a")
    files.delete("a/x")
    files.delete("a/")
    assert list(root.iterdir()) == []


def test_deleting_a_link_leaves_what_it_leads_to(files, root):
    files.write("a", b"1")
    (root / "link").symlink_to("a")
    files.delete("link")
    assert files.read("a") == b"1"
    assert not (root / "link").is_symlink()


def test_kinds(files, root):
    files.write("file", b"")
    files.make_directory("folder")
    os.mkfifo(root / "pipe")
    assert files.kind("file") == "file"
    assert files.kind("folder") == files.kind(".") == "directory"
    assert files.kind("pipe") == "other"
    assert files.kind("missing") is None
    assert files.kind("missing/too") is None


def test_digests(files):
    files.write("a", b"hello")
    assert files.digest("a") == f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    assert files.digest("missing") is None
    files.make_directory("folder")
    with pytest.raises(FileRefusedError, match="is a folder"):
        files.digest("folder")


@pytest.mark.parametrize("path", ["missing", "missing/a", "folder/missing"])
def test_a_missing_file_is_said_to_be_missing(files, path):
    files.make_directory("folder")
    for act in (files.read, files.delete):
        with pytest.raises(FileMissingError, match="is not there"):
            act(path)


def test_a_file_is_not_written_into_a_folder_that_is_missing(files, root):
    with pytest.raises(FileMissingError, match="is not there"):
        files.write("missing/a", b"x")
    assert list(root.iterdir()) == []


def test_sizes_are_bounded_in_both_directions(files, root):
    (root / "big").write_bytes(b"x" * 1001)
    with pytest.raises(FileRefusedError, match="1,001 bytes or more"):
        files.read("big")
    with pytest.raises(FileRefusedError, match="at most 1,000"):
        files.write("a", b"x" * 1001)
    files.write("a", b"x" * 1000)
    with pytest.raises(FileRefusedError, match="1,001 bytes"):
        files.append("a", b"y")
    assert files.read("a") == b"x" * 1000
    assert files.digest("big") is not None


def test_a_file_that_says_it_is_empty_and_is_not_is_bounded_too(resolver):
    with (
        ProjectFiles("/proc/self", largest=10, resolver=resolver) as files,
        pytest.raises(FileRefusedError, match="11 b"),
    ):
        files.read("status")


def test_what_a_path_says_of_its_kind_is_taken_at_its_word(files):
    with pytest.raises(FileRefusedError, match="names a folder"):
        files.write("a/", b"")
    with pytest.raises(FileRefusedError, match="is a folder"):
        files.write(".", b"")
    files.write(".//b", b"1")
    assert files.read("./b") == b"1"


def test_a_path_through_a_file_is_explained(files):
    files.write("a", b"")
    with pytest.raises(FileMissingError, match="as if it were a folder"):
        files.write("a/b", b"")
    assert files.kind("a/b") is None


def test_links_inside_are_followed_by_the_kernel_and_refused_by_the_walk(files, root, resolver):
    files.make_directory("deep/er")
    files.write("deep/target", b"1")
    (root / "link").symlink_to("deep/er/../target")
    (root / "folder").symlink_to("deep")
    if isinstance(resolver, beneath.Walk):
        for path in ("link", "folder/target"):
            with pytest.raises(FileRefusedError, match="link that is not followed"):
                files.read(path)
        return
    assert files.read("link") == files.read("folder/target") == b"1"
    files.write("link", b"2")
    assert (root / "link").is_symlink()
    assert files.read("deep/target") == b"2"


def test_a_link_to_nowhere_is_not_written_through(files, root):
    (root / "link").symlink_to("missing")
    with pytest.raises((FileMissingError, FileRefusedError)):
        files.write("link", b"x")
    assert os.listdir(root) == ["link"]


def test_snapshots_tell_what_changed(files, root):
    files.make_directory("src")
    files.write("src/a", b"1")
    files.write("b", b"2")
    (root / "link").symlink_to("b")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_bytes(b"")
    (root / ".tissu").mkdir()
    (root / ".tissu" / "x").write_bytes(b"")
    os.mkfifo(root / "pipe")
    first = files.snapshot()
    assert set(first) == {"src/a", "b", "link"}
    assert first["src/a"] == files.digest("src/a")
    assert first["link"] == "symlink:b"
    files.write("b", b"3")
    files.delete("src/a")
    second = files.snapshot()
    assert set(second) == {"b", "link"}
    assert second["b"] != first["b"]


def test_snapshots_read_again_what_changed_under_the_same_size_and_times(files, root):
    (root / "a").write_bytes(b"1")
    old = (1_600_000_000_000_000_000,) * 2
    os.utime(root / "a", ns=old)
    first = files.snapshot()
    (root / "a").write_bytes(b"2")
    os.utime(root / "a", ns=old)
    assert files.snapshot()["a"] != first["a"]


def test_snapshots_do_not_read_what_has_not_changed(files, root, monkeypatch):
    from quanta_tissu.tisslang.sandbox import files as module

    (root / "a").write_bytes(b"1")
    monkeypatch.setattr(module, "_FRESH_NS", -(10**9))
    first = files.snapshot()
    monkeypatch.setattr(module, "hashed", lambda file: pytest.fail("was read again"))
    assert files.snapshot() == first


def test_snapshots_show_names_that_are_no_text(files, root):
    with open(os.fsencode(root) + b"/\xff", "wb"):
        pass
    assert set(files.snapshot()) == {"\\xff"}


def test_folders_nested_too_deeply_are_refused(files, root):
    folder = root
    for _ in range(250):
        folder = folder / "d"
        folder.mkdir()
    with pytest.raises(SandboxError, match="more than 200 deep"):
        files.snapshot()


def test_without_anonymous_files_a_hidden_name_is_used_and_goes(files, root, monkeypatch):
    monkeypatch.setattr(atomic, "_unnamed", lambda folder: None)
    files.write("a", b"1")
    files.write("a", b"2")
    assert files.read("a") == b"2"
    assert os.listdir(root) == ["a"]


@pytest.mark.parametrize("anonymous", [True, False])
@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(files, root, monkeypatch, failing, anonymous):
    files.write("a", b"old")
    if not anonymous:
        monkeypatch.setattr(atomic, "_unnamed", lambda folder: None)

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, full)
        with pytest.raises(SandboxError, match="disk is full"):
            files.write("a", b"new")
    assert files.read("a") == b"old"
    assert os.listdir(root) == ["a"]


def test_a_project_that_is_not_there(tmp_path):
    with pytest.raises(SandboxError, match="cannot be opened"):
        ProjectFiles(tmp_path / "missing")


def test_after_closing_nothing_is_touched(files):
    files.close()
    files.close()
    with pytest.raises(SandboxError, match="was closed"):
        files.read("a")


def test_no_descriptor_stays_open(files, root):
    files.write("a", b"1")
    (root / "out").symlink_to("/etc/passwd")
    (root / "pipe").mkdir()

    def everything():
        for act in (
            files.read,
            files.kind,
            files.digest,
            files.delete,
            files.make_directory,
            lambda p: files.write(p, b""),
        ):
            for path in ("a", "out", "missing/x", "pipe", "..", "a/b"):
                with suppress(SandboxError):
                    act(path)
        files.snapshot()

    everything()
    before = len(os.listdir("/proc/self/fd"))
    everything()
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_openat2_is_missing_the_walk_takes_over(monkeypatch):
    def absent(root, path, flags):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(beneath, "openat2", absent)
    beneath.resolver.cache_clear()
    try:
        assert isinstance(beneath.resolver(), beneath.Walk)
    finally:
        beneath.resolver.cache_clear()


def test_where_the_file_system_knows_no_anonymous_files_one_with_a_name_is_used(files, root, monkeypatch):
    real = os.open

    def refusing(path, flags, *arguments, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return real(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)
    files.write("a", b"1")
    assert files.read("a") == b"1"
    assert os.listdir(root) == ["a"]


def test_an_error_of_the_disk_is_no_refusal(files, root, monkeypatch):
    def failing(path, flags, *arguments, **named):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic, "_unnamed", lambda folder: failing("", 0))
    with pytest.raises(SandboxError, match="Input/output error") as caught:
        files.write("a", b"1")
    assert not isinstance(caught.value, FileRefusedError)


def test_what_a_killed_process_leaves_beside_a_file_is_removed_and_nothing_else_is(files, root, monkeypatch):
    """Before it gets the name of the file, its new content has one of its own."""

    def end(*names, **folders):
        raise KeyboardInterrupt

    files.write("a", b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", end)
        patched.setattr(os, "unlink", lambda *names, **folders: None)
        with pytest.raises(KeyboardInterrupt):
            files.write("a", b"new")
    [left] = [path for path in root.iterdir() if path.name != "a"]
    others = {".a.new", ".a.0123456789abcdeg.new", "a.0123456789abcdef.new"}
    for name in others:
        (root / name).touch()
    for name in ("b", "no/folder", "../outside"):
        files.sweep(name)
    assert left.exists()
    files.sweep("a")
    assert {path.name for path in root.iterdir()} == others | {"a"}
    assert files.read("a") == b"old"
