"""Files that commands write: whole or not at all, and never over something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quanta_tissu.cli.writing import write_text
from quanta_tissu.errors import DataError


def mine(beginning: bytes) -> bool:
    return beginning.startswith(b"mine")


def test_a_new_file_has_the_permissions_of_new_files(tmp_path):
    write_text(tmp_path / "a", "é\n", ours=mine)
    (tmp_path / "b").touch()
    assert (tmp_path / "a").read_bytes() == "é\n".encode()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_one_that_is_ours_is_replaced_and_keeps_permissions_and_links(tmp_path):
    (tmp_path / "a").write_text("mine, old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    write_text(tmp_path / "link", "mine, new", ours=mine)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_text() == "mine, new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a", "link"]


def test_an_empty_file_may_be_filled(tmp_path):
    (tmp_path / "a").touch()
    write_text(tmp_path / "a", "mine", ours=mine)
    assert (tmp_path / "a").read_text() == "mine"


def test_what_is_something_else_stays(tmp_path):
    (tmp_path / "a").write_text("precious")
    with pytest.raises(DataError, match="a exists and is something else") as caught:
        write_text(tmp_path / "a", "mine", ours=mine)
    assert "name another file" in caught.value.hint
    assert (tmp_path / "a").read_text() == "precious"


def test_a_file_that_was_named_to_be_changed_is(tmp_path):
    (tmp_path / "a").write_text("precious")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize(("name", "help"), [("none/a", "`ls` shows"), ("file/a", "is a file")])
def test_what_cannot_be_written_says_what_to_do(tmp_path, name, help):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written") as caught:
        write_text(tmp_path / name, "x")
    assert help in caught.value.hint


def test_a_full_disk():
    with pytest.raises(DataError, match="No space left") as caught:
        write_text(Path("/dev/full"), "x")
    assert "make room" in caught.value.hint


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError):
        write_text(tmp_path / "a", "new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"
