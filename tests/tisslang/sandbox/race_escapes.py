"""Attempts that change the project while it is used, as fast as a process can."""

from __future__ import annotations

import os
from contextlib import suppress

from escaping import attacker, attempt, exchange, for_a_while

from quanta_tissu.errors import FileMissingError, FileRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox import atomic


@attempt
def a_folder_that_becomes_a_link_while_it_is_used(area):
    (area.root / "swap").mkdir()
    (area.root / "swap" / "secret").write_bytes(b"inside")
    (area.root / "link").symlink_to("../outside")
    done = 0
    with attacker(exchange(area.root / "swap", area.root / "link")):
        for _ in for_a_while():
            done += (
                area.tries_all("swap/secret") + area.tries_all("swap/folder/secret") + area.tries_all("swap/new")
            )
    assert done > 0


@attempt
def a_file_that_becomes_a_link_while_it_is_used(area):
    (area.root / "swap").write_bytes(b"inside")
    (area.root / "link").symlink_to("../outside/secret")
    done = 0
    with attacker(exchange(area.root / "swap", area.root / "link")):
        for _ in for_a_while():
            for act in (area.read, area.files.digest, lambda path: area.files.append(path, b"x")):
                with suppress(FileRefusedError, FileMissingError):
                    act("swap")
                    done += 1
    assert done > 0


@attempt
def a_folder_that_is_moved_while_a_link_in_it_goes_up(area):
    (area.root / "a" / "b" / "c").mkdir(parents=True)
    (area.root / "a" / "b" / "c" / "up").symlink_to("../../../..")
    (area.root / "a" / "b" / "c" / "inside").symlink_to("../../../src")
    deep, moved = area.root / "a" / "b" / "c", area.root / "c"
    with attacker(lambda: deep.rename(moved), lambda: moved.rename(deep)):
        for _ in for_a_while():
            for path in (
                "a/b/c/up/outside/secret",
                "c/up/outside/secret",
                "a/b/c/inside/a",
                "c/inside/outside/secret",
            ):
                area.tries_all(path)


@attempt
def a_folder_that_is_moved_out_while_it_is_used(area):
    # Whoever can move folders out of the project can write there himself; but what is found through its links
    # stays shut.
    (area.root / "deep").mkdir()
    (area.root / "deep" / "link").symlink_to("../outside/secret")
    inside, out = area.root / "deep", area.folder / "moved"
    with attacker(lambda: inside.rename(out), lambda: out.rename(inside)):
        for _ in for_a_while():
            with suppress(FileRefusedError, FileMissingError):
                area.read("deep/link")
            with suppress(FileRefusedError, FileMissingError):
                area.files.write("deep/link", b"evil")


@attempt
def a_folder_that_becomes_the_hooks_while_it_is_used(area):
    (area.root / ".git" / "hooks").mkdir(parents=True)
    (area.root / "link").symlink_to(".git/hooks")
    (area.root / "swap").mkdir()
    with attacker(exchange(area.root / "swap", area.root / "link")):
        for _ in for_a_while():
            with suppress(FileRefusedError, FileMissingError):
                area.files.write("swap/pre-commit", b"evil")
    assert os.listdir(area.root / ".git" / "hooks") == []


@attempt
def a_project_that_is_replaced_while_it_is_open(area):
    area.root.rename(area.folder / "moved")
    area.root.symlink_to("outside")
    area.files.write("secret", b"inside")
    assert (area.folder / "moved" / "secret").read_bytes() == b"inside"
    area.files.delete("secret")
    area.tries_all("folder/secret")


@attempt
def a_new_file_that_is_stolen_before_it_is_renamed(area):
    def steal():
        for name in os.listdir(area.root):
            if name.endswith(".new"):
                os.unlink(area.root / name)
                os.symlink(area.outside / "secret", area.root / name)

    unnamed = atomic._unnamed
    atomic._unnamed = lambda folder: None  # the way that takes longer
    try:
        with attacker(steal):
            for _ in for_a_while():
                with suppress(FileRefusedError, FileMissingError, SandboxError):
                    area.files.write("file", b"inside" * 1000)
                with suppress(FileRefusedError, FileMissingError):
                    area.read("file")
                with suppress(FileRefusedError, FileMissingError):
                    area.files.delete("file")
    finally:
        atomic._unnamed = unnamed


@attempt
def a_snapshot_of_a_tree_that_moves(area):
    (area.root / "swap").mkdir()
    (area.root / "swap" / "file").write_bytes(b"inside")
    (area.root / "link").symlink_to("../outside")
    with attacker(exchange(area.root / "swap", area.root / "link")):
        for _ in for_a_while():
            for path, digest in area.files.snapshot().items():
                assert "secret" not in path or digest.startswith("symlink:")
