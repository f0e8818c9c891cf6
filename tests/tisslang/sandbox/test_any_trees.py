"""Whatever a step makes of whatever project: all of it is taken over, or nothing is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import CommitRefusedError
from quanta_tissu.tisslang.sandbox import tree
from quanta_tissu.tisslang.sandbox.commit import _Doing
from quanta_tissu.tisslang.sandbox.transaction import Transaction

NAMES = st.sampled_from(["a", "b", "a.b", "é", "x y", "-f", ".hidden"])
FILES = st.tuples(st.just("file"), st.binary(max_size=3), st.sampled_from([0o644, 0o755, 0o444, 0o600]))
LINKS = st.tuples(st.just("link"), st.sampled_from(["missing", "gone/x", "."]))
FOLDERS = st.sampled_from([0o755, 0o700, 0o555])
TREES = st.recursive(
    st.dictionaries(NAMES, st.one_of(FILES, LINKS), max_size=3),
    lambda inner: st.dictionaries(
        NAMES, st.one_of(FILES, LINKS, st.tuples(st.just("folder"), inner, FOLDERS)), max_size=4
    ),
    max_leaves=12,
)


def build(folder, content):
    for name, (kind, what, *mode) in content.items():
        path = folder / name
        if kind == "link":
            path.symlink_to(what)
        elif kind == "file":
            path.write_bytes(what)
            path.chmod(mode[0])
        else:
            path.mkdir()
            build(path, what)
            path.chmod(mode[0])


def clear(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        for name in os.listdir(folder):
            if (folder / name).is_dir() and not (folder / name).is_symlink():
                tree.remove(descriptor, name)
            else:
                (folder / name).unlink()
    finally:
        os.close(descriptor)


def content_of(folder):
    found = {}
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode & 0o777
        if path.is_symlink():
            found[path.name] = ("link", os.readlink(path))
        elif path.is_file():
            found[path.name] = ("file", path.read_bytes(), mode)
        else:
            found[path.name] = ("folder", content_of(path), mode)
    return found


@pytest.fixture
def folder():
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)
        clear(Path(made))


@pytest.mark.slow
def test_all_of_it_is_taken_over_or_nothing(folder):
    root, scratch = folder / "project", folder / "scratch"

    @given(before=TREES, after=TREES, failing=st.one_of(st.none(), st.integers(0, 6)))
    @settings(max_examples=120)
    def holds(before, after, failing):
        root.mkdir(exist_ok=True)
        clear(root)
        build(root, before)
        with Transaction.begin(root, scratch) as step, pytest.MonkeyPatch.context() as patched:
            assert content_of(step.root) == content_of(root) == normal(before)
            clear(step.root)
            build(step.root, after)
            if failing is not None:
                fail_at(patched, failing)
            try:
                changes = step.commit()
            except CommitRefusedError:
                if failing is None:
                    raise
                assert content_of(root) == normal(before)
            else:
                assert content_of(root) == normal(after)
                assert (changes == ()) == (normal(before) == normal(after))
        assert os.listdir(scratch) == []

    holds()


def fail_at(patched, number):
    """Let the disk be full after so many files were put in place."""
    real = _Doing.put
    put = []

    def failing(self, item):
        if not self.lenient and item.after is not None and not item.after.is_directory:
            put.append(item)
            if len(put) > number:
                raise OSError(28, "No space left on device")
        real(self, item)

    patched.setattr(_Doing, "put", failing)


def normal(content):
    """A tree as it is read back: sorted, as links are."""
    return {
        name: (kind, normal(what), *rest) if kind == "folder" else (kind, what, *rest)
        for name, (kind, what, *rest) in sorted(content.items())
    }
