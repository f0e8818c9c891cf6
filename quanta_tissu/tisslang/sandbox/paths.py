"""Paths as scripts write them, and which of them nobody may write to.

A path is text relative to the project: `src/words.py`. It only goes down: an absolute path or a `..` is refused
even where it would end inside, because a reviewer should see from a plan which file is meant.

What is protected is what makes others run code or forget what happened: the hooks and the configuration of git,
which run at the next `git commit` of a person, and `.tissu`, where the journals of runs are. A protected name is
compared as a file system might compare it: without case, without what some ignore (`.GIT`, `.git.`, `git~1`),
wherever in the path it stands, so that nested repositories are covered, too. The names compared are those where a
path really ends, after every link.
"""

from __future__ import annotations

import unicodedata

from quanta_tissu.errors import FileRefusedError

LONGEST_NAME = 255
"""Bytes of one name in a path, as in every common file system of Linux."""

LONGEST_PATH = 4095
"""Bytes of a path, as the kernel takes it (PATH_MAX with its end)."""

JOURNALS = ".tissu"
"""The folder of the project in which runs keep their journals; it is neither read nor written by scripts."""

_GIT = ("hooks", "config", "config.worktree", "commondir")
DEFAULT_PROTECTED: tuple[str, ...] = (
    JOURNALS,
    *(f".git/{name}" for name in _GIT),
    *(f".git/{inner}/**/{name}" for inner in ("modules", "worktrees") for name in _GIT),
)
"""What no script may write: each name and everything below it, at any depth; `**` is any number of folders."""

# Code points that HFS+ leaves out when it compares names; git refuses them in `.git` for the same reason.
_IGNORED = {*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0x00AD}


def parts(path: str) -> tuple[str, ...]:
    """The names in a path, without `.` and doubled slashes; none for the project itself.

    Raises:
        FileRefusedError: It is empty, absolute, goes up, is too long, or no file system could hold it.
    """
    if not path:
        raise FileRefusedError("a path is empty", hint="name a file of the project, src/words.py for example")
    if "\0" in path:
        raise FileRefusedError(f"the path {shown(path)} has a NUL byte in it", hint="no file can have such a name")
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise FileRefusedError(
            f"the path {shown(path)} is not text that UTF-8 can write", hint="rename the file, if it exists"
        ) from None
    if path.startswith("/"):
        raise FileRefusedError(
            f"the path {shown(path)} is absolute",
            hint="write it as it is seen from the project, src/words.py for example",
        )
    names = tuple(name for name in path.split("/") if name not in {"", "."})
    if ".." in names:
        raise FileRefusedError(
            f"the path {shown(path)} goes up with `..`",
            hint="write it as it is seen from the project; outside it nothing is touched",
        )
    if len(encoded) > LONGEST_PATH or any(len(name.encode()) > LONGEST_NAME for name in names):
        raise FileRefusedError(
            f"the path {shown(path)} is too long: {len(encoded)} bytes",
            hint=f"a name may have {LONGEST_NAME} bytes, a path {LONGEST_PATH}",
        )
    return names


def shown(path: str) -> str:
    """A path for a message: quoted, printable, cut in the middle where it is long."""
    text = path if len(path) <= 120 else f"{path[:80]}…{path[-30:]}"
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + '"'


class Protection:
    """Which real paths may not be written.

    Args:
        patterns: Names joined with `/`; each protects what it names, and everything below.
    """

    def __init__(self, patterns: tuple[str, ...] = DEFAULT_PROTECTED) -> None:
        self._patterns = tuple(
            (pattern, tuple(_plain(name) for name in pattern.split("/"))) for pattern in patterns
        )

    def covering(self, names: tuple[str, ...]) -> str | None:
        """The pattern that protects a path (or something above it), if one does."""
        plain = tuple(_plain(name) for name in names)
        for pattern, wanted in self._patterns:
            if any(_begins_with(plain[start:], wanted) for start in range(len(plain))):
                return pattern
        return None

    def behind(self, names: tuple[str, ...]) -> str | None:
        """The pattern of something that would lie below this path, if there is one.

        Such a path may become a folder. It may not be taken away or become anything else: whoever replaces `.git`
        by a link or a file has replaced its hooks.
        """
        plain = tuple(_plain(name) for name in names)
        for pattern, wanted in self._patterns:
            fixed = wanted[: wanted.index("**")] if "**" in wanted else wanted[:-1]
            for length in range(1, len(fixed) + 1):
                if plain[-length:] == fixed[:length]:
                    return pattern
        return None


def _begins_with(names: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if not wanted:
        return True
    if wanted[0] == "**":
        return any(_begins_with(names[skipped:], wanted[1:]) for skipped in range(len(names)))
    return bool(names) and names[0] == wanted[0] and _begins_with(names[1:], wanted[1:])


def _plain(name: str) -> str:
    """A name as the most careless file system would compare it."""
    if name == "**":
        return name
    kept = "".join(c for c in name if ord(c) not in _IGNORED)
    folded = unicodedata.normalize("NFKC", kept).casefold().split(":", 1)[0].rstrip(". ")
    return ".git" if folded == "git~1" else folded
