"""Which texts are paths, and which paths are protected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import FileRefusedError
from quanta_tissu.tisslang.sandbox.paths import LONGEST_PATH, Protection, parts, shown


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a", ("a",)),
        ("a/b.txt", ("a", "b.txt")),
        ("./a//b/./", ("a", "b")),
        (".", ()),
        ("...", ("...",)),
        ("a..b", ("a..b",)),
        ("x" * 255, ("x" * 255,)),
    ],
)
def test_a_path_is_its_names(path, names):
    assert parts(path) == names


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "a path is empty"),
        ("/etc", 'the path "/etc" is absolute'),
        ("a/../b", "goes up with `..`"),
        ("..", "goes up"),
        ("a\0", "NUL byte"),
        ("\udc80", "not text that UTF-8 can write"),
        ("x" * 256, "too long: 256 bytes"),
        ("é" * 128, "too long: 256 bytes"),
        ("a/" * 2048, "too long: 4096 bytes"),
    ],
)
def test_what_is_no_path_is_refused_with_the_reason_and_a_remedy(path, message):
    with pytest.raises(FileRefusedError, match=message) as caught:
        parts(path)
    assert caught.value.hint


@given(st.text())
def test_a_path_has_names_that_go_down_or_is_refused(path):
    assert shown(path).isprintable()
    try:
        names = parts(path)
    except FileRefusedError:
        return
    assert all(name not in {"", ".", ".."} and "/" not in name and "\0" not in name for name in names)
    assert len("/".join(names).encode()) <= LONGEST_PATH
    assert not names or parts("/".join(names)) == names


def test_a_path_in_a_message_is_short_and_printable():
    assert shown("a\n\x1b[31mb") == '"a\\n\\x1b[31mb"'
    assert len(shown("x" * 10_000)) < 120


@pytest.mark.parametrize(
    "path",
    [
        ".tissu",
        ".tissu/runs/1/journal.jsonl",
        "sub/.tissu/x",
        ".git/hooks",
        ".git/hooks/pre-commit",
        "a/b/.git/config",
        ".GIT/Config",
        ".git./hooks ",
        "git~1/config",
        ".ｇit/config",
        ".git/modules/a/config",
        ".git/modules/a/modules/b/hooks/x",
        ".git/worktrees/w/config.worktree",
        ".git/commondir",
    ],
)
def test_protected(path):
    assert Protection().covering(tuple(path.split("/")))


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".git/HEAD",
        ".git/refs/heads/config",
        ".git/refs/heads/hooks/x",
        ".git/objects/ab/cdef",
        ".github/workflows/ci.yml",
        "hooks/x",
        "config",
        "tissu/.tissue",
        ".gitconfig",
    ],
)
def test_not_protected(path):
    assert Protection().covering(tuple(path.split("/"))) is None


@pytest.mark.parametrize("path", [".git", "a/.GIT", ".git/modules", ".git/worktrees"])
def test_what_leads_to_something_protected(path):
    assert Protection().behind(tuple(path.split("/")))


@pytest.mark.parametrize("path", ["a", "a/b", ".gitignore", ".git/HEAD", ".git/modules/a", "modules"])
def test_what_does_not_lead_to_something_protected(path):
    assert Protection().behind(tuple(path.split("/"))) is None


def test_patterns_of_ones_own():
    protection = Protection(("secret", "deploy/**/key.pem"))
    assert protection.covering(("a", "secret", "b")) == "secret"
    assert protection.covering(("deploy", "x", "y", "key.pem")) == "deploy/**/key.pem"
    assert protection.covering(("deploy", "key.pem")) == "deploy/**/key.pem"
    assert protection.covering((".tissu",)) is None
    assert protection.behind(("deploy",)) == "deploy/**/key.pem"
