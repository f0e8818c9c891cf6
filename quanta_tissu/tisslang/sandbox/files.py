"""The files of a project, as READ, WRITE, APPEND, MKDIR and DELETE see them: inside, whole, and nothing else.

Every operation finds the folder that holds the file from the held descriptor of the project (`beneath.py`), and
then works with a plain name in that folder, which is never followed if it is a link. So there is no moment between
check and use in which another process could put something else there: not a link, not another folder, not another
project.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Literal

from quanta_tissu.errors import FileMissingError, FileRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox import atomic, beneath
from quanta_tissu.tisslang.sandbox.paths import DEFAULT_PROTECTED, JOURNALS, Protection, parts, shown
from quanta_tissu.tisslang.sandbox.tree import hashed, open_regular, walk

LARGEST = 64 * 2**20
"""Bytes that a file may have to be read or written as a whole."""

# Clocks of file systems tick every few milliseconds: what changed this recently could change again unseen.
_FRESH_NS = 2 * 10**9
_LINKS_FOLLOWED = 8
_JOURNALS = Protection((JOURNALS,))

_WORDS = {
    errno.EXDEV: (
        "leads outside the project",
        "a link on the way points out of it; write where it is meant to be",
    ),
    errno.ELOOP: ("goes through a link that is not followed", "name the file itself, without the link"),
    errno.EACCES: ("may not be touched by this user", "check the permissions"),
    errno.EPERM: ("may not be touched by this user", "check the permissions"),
    errno.EROFS: ("is on a disk that is mounted read-only", "choose another place"),
    errno.ENAMETOOLONG: ("has a name that is too long for this disk", "shorten it"),
    errno.EISDIR: ("is a folder", "name a file"),
    errno.EINVAL: ("is no regular file any more", "try again when nothing else changes the project"),
    errno.ENOTEMPTY: ("is a folder with something in it", "delete what is in it first"),
    errno.EEXIST: ("is in the way: something of another kind has this name", "choose another name"),
    errno.EBUSY: ("is in use by the system", "choose another name"),
    errno.ETXTBSY: ("is a program that is running", "wait until it has ended"),
    errno.EAGAIN: ("is being moved about all the time", "try again when nothing else changes the project"),
}


@dataclass(frozen=True, slots=True)
class _Place:
    """A name in a held folder, which is where a path really leads.

    Attributes:
        folder: The folder's descriptor.
        name: The name in it; `.` for the project itself.
        names: All names that lead here from the project.
        found: What is there (of a link: the link), or None.
    """

    folder: int
    name: str
    names: tuple[str, ...]
    found: os.stat_result | None


class ProjectFiles:
    """Reads and writes below one folder; safe to use from several threads.

    Args:
        root: The project.
        largest: Bytes that a file may have to be read or written.
        protected: What may not be written; see `paths.py`.
        resolver: How folders are found; the best way on this machine if None.

    Raises:
        SandboxError: The project cannot be opened.
    """

    def __init__(
        self,
        root: Path,
        *,
        largest: int = LARGEST,
        protected: tuple[str, ...] = DEFAULT_PROTECTED,
        resolver: beneath.Resolver | None = None,
    ) -> None:
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SandboxError(
                f"the project {root} cannot be opened ({error.strerror})", hint="name a folder that can be read"
            ) from error
        self._largest = largest
        self._protection = Protection(protected)
        self._resolver = resolver or beneath.resolver()
        self._writing = threading.Lock()  # APPEND reads before it writes
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileMissingError: It is not there.
            FileRefusedError: It is outside, no regular file, too large, or may not be read.
        """
        with self._place(path) as place, self._opened(path, place) as file:
            return self._content(path, file)

    def digest(self, path: str) -> str | None:
        """The digest of a file's content ("sha256:…"), or None if there is none; other errors as for `read`."""
        try:
            with self._place(path) as place, self._opened(path, place) as file:
                return hashed(file)
        except FileMissingError:
            return None

    def kind(self, path: str) -> Literal["file", "directory", "other"] | None:
        """What is at a path, after links; None if nothing is.

        Raises:
            FileRefusedError: The path leads outside, which is all that is said about it.
        """
        try:
            with self._place(path) as place:
                if place.found is None:
                    return None
                mode = place.found.st_mode
                return "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"
        except FileMissingError:
            return None

    def write(self, path: str, data: bytes) -> None:
        """Make a file, or replace all of it at once; the mode of what was there stays.

        A link inside the project is followed, and the file that it leads to is replaced.

        Raises:
            FileMissingError: The folder is not there.
            FileRefusedError: It is outside, protected, no regular file, too large, or may not be written.
            SandboxError: The disk is full or fails; the file is as it was.
        """
        with self._writing, self._place(path) as place:
            self._replace(path, place, data)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file, or make it; all at once, and refused, as `write`."""
        with self._writing, self._place(path) as place:
            old = b""
            if place.found is not None:
                with self._opened(path, place) as file:
                    old = self._content(path, file)
            self._replace(path, place, old + data)

    def sweep(self, path: str) -> None:
        """Remove what a killed process has left beside a file that it was writing; nobody may be writing it now.

        What stands in the way of that stands in the way of writing, too, which says so.
        """
        with suppress(FileMissingError, FileRefusedError, OSError), self._writing, self._place(path) as place:
            atomic.sweep(place.folder, place.name)

    def make_directory(self, path: str) -> None:
        """Make a folder and those above it; one that is there stays.

        Raises:
            FileRefusedError: It is outside, protected, or something else is in the way.
        """
        names = parts(path)
        with self._writing:
            for length in range(1, len(names) + 1):
                with self._place("/".join(names[:length]), said=path) as place:
                    if place.found is None:
                        self._refuse_protected(path, place)
                        with _explaining(path):
                            os.mkdir(place.name, dir_fd=place.folder)
                            atomic.synchronise(place.folder)
                    elif not stat.S_ISDIR(place.found.st_mode):
                        raise _refused(path, errno.EEXIST)

    def delete(self, path: str) -> None:
        """Remove a file, a link (not what it leads to), or a folder that is empty.

        Raises:
            FileMissingError: It is not there.
            FileRefusedError: It is outside, protected, a device or the like, or a folder with something in it.
        """
        with self._writing, self._place(path, follow=False) as place:
            if not place.names:
                raise FileRefusedError(f"{shown(path)} is the project itself", hint="name something in it")
            if place.found is None:
                raise _missing(path)
            self._refuse_protected(path, place, replaced=True)
            mode = place.found.st_mode
            with _explaining(path):
                if stat.S_ISDIR(mode):
                    os.rmdir(place.name, dir_fd=place.folder)
                elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                    os.unlink(place.name, dir_fd=place.folder)
                else:
                    raise _not_regular(path, mode)
                atomic.synchronise(place.folder)

    def snapshot(self) -> dict[str, str]:
        r"""What the project holds: the digest of every file by its path, `symlink:` and its target for a link.

        `.tissu` and `.git` are left out, at any depth; so are folders, devices and the like. A file that may not
        be read has "unreadable". Bytes of a name that are no UTF-8 are written as `\xNN`. A file is read again
        only if its size or one of its times has changed since the last snapshot, or did so a moment before it.

        Raises:
            SandboxError: Folders are nested too deeply.
        """
        taken: dict[str, str] = {}
        started = time.time_ns()
        known, self._digests = self._digests, {}
        for entry in walk(self._root, leave_out=frozenset({JOURNALS, ".git"})):
            path = _printable(entry.path)
            now = entry.stat
            try:
                if stat.S_ISLNK(now.st_mode):
                    taken[path] = f"symlink:{_printable(os.readlink(entry.name, dir_fd=entry.folder))}"
                elif stat.S_ISREG(now.st_mode):
                    mark = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
                    if path in known and known[path][0] == mark:
                        digest = known[path][1]
                    else:
                        with open(open_regular(entry.folder, entry.name), "rb") as file:
                            digest = hashed(file)
                    if started - now.st_ctime_ns > _FRESH_NS:
                        self._digests[path] = (mark, digest)
                    taken[path] = digest
            except PermissionError:
                taken[path] = "unreadable"
            except OSError:
                continue  # gone since its folder was listed, or something else by now
        return taken

    def close(self) -> None:
        """Let go of the project."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def __enter__(self) -> ProjectFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _place(self, path: str, *, follow: bool = True, said: str | None = None) -> Iterator[_Place]:
        """Hold the folder in which a path really ends."""
        said = path if said is None else said
        if self._root < 0:
            raise SandboxError(f"{shown(said)} is asked for after the project was closed", hint="open it again")
        names = parts(path)
        with _explaining(said):
            place = self._found(names, follow)
        try:
            if _JOURNALS.covering(place.names):
                raise FileRefusedError(
                    f"{shown(said)} is in {JOURNALS}, where the journals of runs are",
                    hint="read them with `tissu report`",
                )
            yield place
        finally:
            os.close(place.folder)

    def _found(self, names: tuple[str, ...], follow: bool) -> _Place:
        for _ in range(_LINKS_FOLLOWED):
            if not names:
                return _Place(os.open(".", beneath.HOLD, dir_fd=self._root), ".", (), os.fstat(self._root))
            folder = self._resolver.folder(self._root, names[:-1])
            try:
                found = os.stat(names[-1], dir_fd=folder.descriptor, follow_symlinks=False)
            except FileNotFoundError:
                found = None
            except BaseException:
                os.close(folder.descriptor)
                raise
            if found is None or not follow or not stat.S_ISLNK(found.st_mode):
                return _Place(folder.descriptor, names[-1], (*folder.names, names[-1]), found)
            os.close(folder.descriptor)
            # A link: go on with the names of where it leads. They are looked up again from the root, so that it
            # does not matter if they lead elsewhere by then.
            names = self._resolver.target(self._root, names)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _opened(self, path: str, place: _Place) -> BufferedReader:
        if place.found is None:
            raise _missing(path)
        if not stat.S_ISREG(place.found.st_mode):
            raise _not_regular(path, place.found.st_mode)
        with _explaining(path):
            return open(open_regular(place.folder, place.name), "rb")

    def _content(self, path: str, file: BufferedReader) -> bytes:
        with _explaining(path):
            size = os.fstat(file.fileno()).st_size
            if size <= self._largest:
                # One more than allowed, because a file can grow while it is read.
                data = file.read(self._largest + 1)
                size = len(data)
        if size > self._largest:
            raise self._too_large(path, size)
        return data

    def _replace(self, path: str, place: _Place, data: bytes) -> None:
        if path.endswith(("/", "/.")):
            raise FileRefusedError(f"{shown(path)} names a folder, because of its end", hint="name a file")
        if place.found is not None and not stat.S_ISREG(place.found.st_mode):
            raise _not_regular(path, place.found.st_mode)
        self._refuse_protected(path, place, replaced=True)
        if len(data) > self._largest:
            raise self._too_large(path, len(data))
        with _explaining(path):
            if place.found is not None and not _writable(place):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            atomic.replace(place.folder, place.name, data, place.found)

    def _refuse_protected(self, path: str, place: _Place, *, replaced: bool = False) -> None:
        pattern = self._protection.covering(place.names)
        if pattern is None and replaced:
            pattern = self._protection.behind(place.names)
        if pattern is not None:
            raise FileRefusedError(
                f"{shown(path)} is protected ({pattern}): written by a script, it could make others run code",
                hint="change it by hand, if it must be changed",
            )

    def _too_large(self, path: str, size: int) -> FileRefusedError:
        return FileRefusedError(
            f"{shown(path)} has {size:,} bytes or more, and at most {self._largest:,} are read or written at once",
            hint="let a command work on it (RUN), or split it",
        )


def _writable(place: _Place) -> bool:
    """Whether the file itself may be written: replacing asks the folder only, but read-only should stay so."""
    ids = os.access in os.supports_effective_ids
    return os.access(place.name, os.W_OK, dir_fd=place.folder, effective_ids=ids, follow_symlinks=False)


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    """Say in words what the operating system says by number."""
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(path) from error
    except NotADirectoryError as error:
        raise FileMissingError(
            f"{shown(path)} goes through a file as if it were a folder", hint="check the path"
        ) from error
    except OSError as error:
        if error.errno in _WORDS:
            raise _refused(path, error.errno) from error
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise SandboxError(
            f"{shown(path)} cannot be read or written: {'the disk is full' if full else error.strerror}",
            hint="free some space" if full else "check the disk; the file is as it was",
        ) from error


def _refused(path: str, number: int | None) -> FileRefusedError:
    what, hint = _WORDS[number or 0]
    return FileRefusedError(f"{shown(path)} {what}", hint=hint)


def _missing(path: str) -> FileMissingError:
    return FileMissingError(
        f"{shown(path)} is not there: the file, a folder on the way to it, or what a link leads to",
        hint="check the path; folders are made with MKDIR",
    )


def _not_regular(path: str, mode: int) -> FileRefusedError:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
        stat.S_IFLNK: "a link",
    }
    return FileRefusedError(
        f"{shown(path)} is {kinds.get(stat.S_IFMT(mode), 'no file')}", hint="name a regular file"
    )


def _printable(path: str) -> str:
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
