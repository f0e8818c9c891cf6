"""Attempts with paths, links, what is no file, and what is protected."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from escaping import SECRET, attempt

from quanta_tissu.errors import FileMissingError, FileRefusedError
from quanta_tissu.tisslang.sandbox.files import ProjectFiles

# Paths as text


@attempt
def a_parent(area):
    area.refuses_all("../outside/secret")


@attempt
def a_parent_in_the_middle(area):
    area.refuses_all("src/../../outside/secret")
    area.refuses_all("src/..//.././outside/secret")


@attempt
def a_parent_that_would_end_inside(area):
    area.refuses_all("../project/src/a")


@attempt
def only_parents(area):
    area.refuses_all("..")
    area.refuses_all("../..")


@attempt
def an_absolute_path(area):
    area.refuses_all(str(area.outside / "secret"))
    area.refuses_all(f"//{area.outside}/secret")


@attempt
def an_absolute_path_of_the_project_itself(area):
    area.refuses_all(str(area.root / "src" / "a"))


@attempt
def an_empty_path(area):
    area.refuses_all("")


@attempt
def a_nul_byte_that_would_end_the_path(area):
    area.refuses_all("src/a\0.txt")
    area.refuses_all("\0")


@attempt
def a_name_and_a_path_that_are_too_long(area):
    area.refuses_all("x" * 256)
    area.refuses_all("d/" * 2048 + "x")
    area.refuses_all("é" * 128)


@attempt
def text_that_is_no_utf8(area):
    area.refuses_all("\udcff\udcfe")


@attempt
def the_project_itself(area):
    for path in (".", "./", ".//."):
        area.refuses_all(path, but=("make_directory", "kind"))
    assert area.root.is_dir()


# Links that are there


@attempt
def a_link_to_a_file_outside(area):
    (area.root / "link").symlink_to("../outside/secret")
    area.refuses_all("link", but=("delete",))


@attempt
def an_absolute_link_to_a_file_outside(area):
    (area.root / "link").symlink_to(area.outside / "secret")
    area.refuses_all("link", but=("delete",))


@attempt
def an_absolute_link_to_a_file_of_the_project(area):
    (area.root / "link").symlink_to(area.root / "src" / "a")
    area.refuses_all("link", but=("delete",))


@attempt
def a_link_to_a_folder_outside(area):
    (area.root / "link").symlink_to("../outside")
    for path in ("link/secret", "link/folder/secret", "link/new", "link/folder"):
        area.refuses_all(path)


@attempt
def links_that_lead_to_links(area):
    (area.root / "one").symlink_to("src/two")
    (area.root / "src" / "two").symlink_to("../three")
    (area.root / "three").symlink_to("../outside/secret")
    for path in ("one", "src/two", "three"):
        area.refuses_all(path, but=("delete",))
        area.files.delete(path)


@attempt
def a_link_that_goes_up_behind_a_link(area):
    (area.root / "src" / "deep").mkdir()
    (area.root / "deep").symlink_to("src/deep")
    (area.root / "link").symlink_to("deep/../../../outside/secret")
    area.refuses_all("link", but=("delete",))


@attempt
def a_link_to_nowhere_outside_that_a_write_would_fill(area):
    (area.root / "link").symlink_to("../outside/new")
    area.refuses_all("link", but=("delete",))


@attempt
def a_loop_of_links(area):
    (area.root / "one").symlink_to("two")
    (area.root / "two").symlink_to("one")
    area.refuses_all("one", but=("delete",))


@attempt
def deleting_through_a_link(area):
    (area.root / "link").symlink_to("../outside/secret")
    (area.root / "folder").symlink_to("../outside")
    area.files.delete("link")
    area.files.delete("folder/")
    assert sorted(os.listdir(area.root)) == ["src"]


@attempt
def a_link_into_proc(area):
    (area.root / "self").symlink_to("/proc/self/root")
    (area.root / "cwd").symlink_to("/proc/self/cwd")
    area.refuses_all(f"self{area.outside}/secret")
    area.refuses_all("cwd/x")


@attempt
def magic_links_of_a_project_in_proc(area):
    held = os.open(area.outside, os.O_RDONLY)
    try:
        with ProjectFiles(Path("/proc/self"), resolver=area.resolver) as files:
            for path in (f"root{area.outside}/secret", f"fd/{held}/secret", "cwd/x", "exe"):
                with pytest.raises((FileRefusedError, FileMissingError)):
                    files.read(path)
    finally:
        os.close(held)


@attempt
def a_hard_link_to_a_file_outside(area):
    (area.outside / "shared").write_bytes(b"old")
    os.link(area.outside / "shared", area.root / "link")
    area.before = area.picture()
    area.files.write("link", b"evil")
    area.files.append("link", b"evil")
    area.files.delete("link")


@attempt
def names_that_look_like_parents(area):
    for path in ("...", "..\\outside", "~", "~root", "$HOME", "%2e%2e", "．．", "..\u200b"):
        area.files.write(path, b"inside")
        assert (area.root / path).read_bytes() == b"inside"


# What is no file


@attempt
def devices(area):
    with ProjectFiles(Path("/dev"), resolver=area.resolver) as files:
        for act in (
            files.read,
            files.digest,
            files.delete,
            lambda p: files.write(p, b""),
            lambda p: files.append(p, b""),
        ):
            for path in ("null", "zero"):
                with pytest.raises(FileRefusedError, match="is a device"):
                    act(path)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@attempt
def a_pipe_that_would_never_answer(area):
    os.mkfifo(area.root / "pipe")
    area.refuses_all("pipe", but=("kind",))
    assert area.files.kind("pipe") == "other"
    assert "pipe" not in area.files.snapshot()


@attempt
def a_socket(area):
    import socket

    here = os.getcwd()
    os.chdir(area.root)  # the path of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
    finally:
        os.chdir(here)
    area.refuses_all("socket", but=("kind",))


@attempt
def a_file_that_is_larger_than_memory(area):
    with open(area.root / "huge", "wb") as file:
        os.truncate(file.fileno(), 2**42)
    with pytest.raises(FileRefusedError, match="4,398,046,511,104 bytes"):
        area.files.read("huge")
    with pytest.raises(FileRefusedError, match="4,398,046,511,104 bytes"):
        area.files.append("huge", b"x")


@attempt
def a_snapshot_that_follows_links(area):
    (area.root / "link").symlink_to("../outside")
    (area.root / "file").symlink_to("../outside/secret")
    taken = area.files.snapshot()
    assert set(taken) == {"src/a", "link", "file"}
    assert taken["file"] == "symlink:../outside/secret"


# What is protected


GIT = (".git/hooks/pre-commit", ".git/config", ".git/hooks", ".git/config.worktree", ".git/commondir")


@attempt
def hooks_and_configuration_of_git(area):
    (area.root / ".git").mkdir()
    for path in GIT:
        area.refuses_all(path, but=("read", "kind", "digest"))
    assert os.listdir(area.root / ".git") == []


@attempt
def hooks_of_git_under_other_spellings(area):
    (area.root / ".git" / "hooks").mkdir(parents=True)
    spellings = (
        "./.git//hooks/./x",
        ".GIT/hooks/x",
        ".git/HOOKS/x",
        ".g\u200bit/hooks/x",
        "git~1/hooks/x",
        ".git./hooks/x",
    )
    for path in (*spellings, ".git /hooks/x", ".git::$INDEX_ALLOCATION/hooks/x"):
        (area.root / path).parent.mkdir(parents=True, exist_ok=True)
        for act in ("write", "append", "make_directory"):
            with pytest.raises(FileRefusedError, match="is protected"):
                area.commands()[act](path)


@attempt
def hooks_of_git_through_links_inside(area):
    (area.root / ".git" / "hooks").mkdir(parents=True)
    (area.root / ".git" / "config").write_bytes(b"old")
    (area.root / "folder").symlink_to(".git/hooks")
    (area.root / "git").symlink_to(".git")
    (area.root / "file").symlink_to(".git/config")
    for path in ("folder/pre-commit", "git/hooks/pre-commit", "git/config", "file"):
        with pytest.raises(FileRefusedError):
            area.files.write(path, b"evil")
        with pytest.raises(FileRefusedError):
            area.files.append(path, b"evil")
    assert (area.root / ".git" / "config").read_bytes() == b"old"
    assert os.listdir(area.root / ".git" / "hooks") == []


@attempt
def hooks_of_a_repository_in_the_project(area):
    (area.root / "vendor" / "lib" / ".git").mkdir(parents=True)
    for path in GIT:
        area.refuses_all(f"vendor/lib/{path}", but=("read", "kind", "digest"))


@attempt
def hooks_of_submodules_and_worktrees(area):
    for path in (
        "modules/lib/hooks/x",
        "modules/a/b/config",
        "worktrees/w/config.worktree",
        "modules/lib/commondir",
    ):
        (area.root / ".git" / path).parent.mkdir(parents=True, exist_ok=True)
        area.refuses_all(f".git/{path}", but=("read", "kind", "digest"))


@attempt
def another_repository_in_place_of_the_projects(area):
    area.refuses_all(".git", but=("make_directory", "kind"))
    area.files.make_directory(".git")
    area.refuses_all(".git", but=("make_directory", "kind"))
    with pytest.raises(FileRefusedError, match="is protected"):
        area.files.delete(".git")


@attempt
def removing_the_hooks(area):
    (area.root / ".git" / "hooks").mkdir(parents=True)
    (area.root / ".git" / "hooks" / "pre-commit").write_bytes(b"checks")
    for path in (".git/hooks/pre-commit", ".git/hooks"):
        with pytest.raises(FileRefusedError, match="is protected"):
            area.files.delete(path)


@attempt
def the_journal(area):
    (area.root / ".tissu" / "runs").mkdir(parents=True)
    (area.root / ".tissu" / "runs" / "journal.jsonl").write_bytes(SECRET)
    (area.root / "link").symlink_to(".tissu/runs")
    for path in (
        ".tissu/runs/journal.jsonl",
        ".tissu",
        ".tissu/new",
        "link/journal.jsonl",
        ".TISSU/x",
        "src/.tissu/x",
    ):
        area.refuses_all(path)
    assert ".tissu/runs/journal.jsonl" not in area.files.snapshot()
