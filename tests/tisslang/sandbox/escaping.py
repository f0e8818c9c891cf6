"""Where attempts to escape are made: a project beside somebody else's folder, and what must be so afterwards."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from quanta_tissu.errors import FileMissingError, FileRefusedError
from quanta_tissu.tisslang.sandbox import beneath
from quanta_tissu.tisslang.sandbox.files import ProjectFiles

SECRET = b"the secret of somebody else"
RACE_SECONDS = 0.25
EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)

ATTEMPTS = {}


def attempt(function):
    """Make a function an attempt; its name says what it tries."""
    ATTEMPTS[function.__name__] = function
    return function


class Area:
    """A project, somebody else's folder beside it, and what is known of that."""

    def __init__(self, folder: Path, resolver: beneath.Resolver) -> None:
        self.root = folder / "project"
        self.outside = folder / "outside"
        (self.root / "src").mkdir(parents=True)
        (self.root / "src" / "a").write_bytes(b"inside")
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "secret").write_bytes(SECRET)
        (self.outside / "folder" / "secret").write_bytes(SECRET)
        self.folder = folder
        self.resolver = resolver
        self.files = ProjectFiles(self.root, resolver=resolver)
        self.before = self.picture()

    def picture(self):
        found = {}
        for path in (self.outside, *sorted(self.outside.rglob("*"))):
            now = path.lstat()
            content = path.read_bytes() if path.is_file() else sorted(os.listdir(path))
            found[str(path)] = (now.st_ino, now.st_mode, now.st_mtime_ns, content)
        return found

    def run(self, name):
        """Make an attempt, and look at what it has done."""
        ATTEMPTS[name](self)
        self.check()

    def check(self):
        assert self.picture() == self.before
        assert set(os.listdir(self.folder)) <= {"project", "outside", "moved"}
        self.files.close()

    def refuses_all(self, path, *, but=()):
        """No command does anything with a path (but those that are named)."""
        for name, act in self.commands().items():
            if name not in but:
                with pytest.raises((FileRefusedError, FileMissingError)):
                    act(path)
        for name in ("kind", "digest"):
            if name not in but:
                with suppress(FileRefusedError, FileMissingError):
                    assert getattr(self.files, name)(path) is None

    def commands(self):
        return {
            "read": self.read,
            "write": lambda path: self.files.write(path, b"evil"),
            "append": lambda path: self.files.append(path, b"evil"),
            "make_directory": self.files.make_directory,
            "delete": self.files.delete,
        }

    def read(self, path):
        content = self.files.read(path)
        assert SECRET not in content
        return content

    def tries_all(self, path):
        """Every command is tried, whatever becomes of it."""
        done = 0
        for act in (*self.commands().values(), self.files.kind, self.files.digest):
            with suppress(FileRefusedError, FileMissingError):
                act(path)
                done += 1
        return done


@contextmanager
def attacker(*acts):
    """A process that does these things again and again, as fast as it can."""
    pid = os.fork()
    if not pid:
        while True:
            for act in acts:
                with suppress(OSError):
                    act()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def exchange(one, other):
    """Let two names change places at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    return lambda: libc.renameat2(-100, names[0], -100, names[1], EXCHANGE)


def for_a_while():
    end = time.monotonic() + RACE_SECONDS
    while time.monotonic() < end:
        yield
