"""Copying contents, and removing trees."""

from __future__ import annotations

import fcntl
import hashlib
import os

import pytest

from quanta_tissu.tisslang.sandbox import tree


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "source").write_bytes(b"content" * 500_000)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT)
    yield tmp_path, source, target
    os.close(source)
    os.close(target)


def test_a_copy_has_the_content_and_its_digest(pair):
    folder, source, target = pair
    digest = tree.copy_content(source, target)
    assert (folder / "target").read_bytes() == b"content" * 500_000
    assert digest == f"sha256:{hashlib.sha256(b'content' * 500_000).hexdigest()}"


def test_where_blocks_are_shared_nothing_is_written(pair, monkeypatch):
    folder, source, target = pair

    def shares(descriptor, request, argument):
        """What FICLONE does on a file system that can: the content is there without a write."""
        assert (descriptor, request, argument) == (target, 0x40049409, source)
        (folder / "target").write_bytes((folder / "source").read_bytes())
        return 0

    monkeypatch.setattr(fcntl, "ioctl", shares)
    monkeypatch.setattr(os, "write", lambda *arguments: pytest.fail("was written"))
    digest = tree.copy_content(source, target)
    assert (folder / "target").read_bytes() == b"content" * 500_000
    assert digest == f"sha256:{hashlib.sha256(b'content' * 500_000).hexdigest()}"


def test_a_tree_is_removed_and_what_its_links_lead_to_stays(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"")
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree" / "a" / "removed").mkdir()
    (tmp_path / "tree" / "a").chmod(0o500)
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        tree.remove(held, "tree")
        tree.remove(held, "tree")
        tree.remove(held, "missing")
    finally:
        os.close(held)
    assert os.listdir(tmp_path) == ["outside"]
    assert (tmp_path / "outside" / "file").exists()


def test_a_link_is_not_removed_as_if_it_were_a_tree(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to("outside")
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        tree.remove(held, "link")
    finally:
        os.close(held)
    assert sorted(os.listdir(tmp_path)) == ["link", "outside"]
