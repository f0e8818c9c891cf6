"""Places of a project that a command must leave as they are, and that no wall keeps from it.

What was there before is compared with what is there afterwards, and put back. A command is not kept from changing
it meanwhile: whoever uses such a place while it runs finds what it made.

Used by the helper process, so it imports little.
"""

from __future__ import annotations

import os
import stat

LARGEST = 16 << 20
"""Bytes of all places together that are kept in memory while a command runs."""

# What is at a place: None (nothing), or its kind and what belongs to it:
#   ("itself", device, number)              a folder that must be the same one, whatever is in it
#   ("folder", mode, {name: Content})
#   ("file", mode, number of names, bytes)  another name would be a way to write to it later
#   ("link", where)
#   ("closed", number, size, times)         a file that belongs to others and is not for everybody to read
#   ("other", type)
Content = tuple[object, ...] | None

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY = 1024  # bytes that a name and what belongs to it are taken for


class TooLargeError(Exception):
    """Places are larger than what is kept."""


def content(root: str, place: str, reader: int) -> Content:
    """What is at a place, found without following a link.

    Args:
        root: The project's folder.
        place: A path in it.
        reader: The user whose files are read, also those that nobody else may read.

    Raises:
        OSError: It cannot be looked at.
        TooLargeError: It is larger than what is kept.
    """
    *folders, name = place.split("/")
    above = os.open(root, _FOLDER)
    try:
        for folder in folders:
            try:
                below = os.open(folder, _FOLDER, dir_fd=above)
            except (FileNotFoundError, NotADirectoryError):  # the second is what a link is, too
                return None
            os.close(above)
            above = below
        return _content(above, name, reader, [LARGEST])
    finally:
        os.close(above)


def itself(root: str, place: str, reader: int) -> Content:
    """Which folder is at a place; or what else there is."""
    try:
        status = os.lstat(f"{root}/{place}")
    except FileNotFoundError:
        return None
    return _identity(status) if stat.S_ISDIR(status.st_mode) else content(root, place, reader)


class Guard:
    """Looks after places while a command runs.

    Args:
        root: The project's folder.
        kept: Each place, a path in the project, with what must be there; a folder before what is in it.
    """

    def __init__(self, root: str, kept: dict[str, Content]) -> None:
        self._root = root
        self._kept = kept
        self._held: dict[str, int] = {}  # to be found again where a command has moved them
        for place, what in kept.items():
            if _is_itself(what) and itself(root, place, os.geteuid()) == what:
                self._held[place] = os.open(f"{root}/{place}", _FOLDER)

    def put_back(self) -> list[str]:
        """Make everything what it was, and say which places were not. What was there instead gets another name.

        Raises:
            OSError: It cannot be done.
        """
        changed = []
        for place, what in self._kept.items():
            if self._now(place) == what:
                continue
            changed.append(place)
            for _ in range(10):  # the helper of another command may be doing the same
                try:
                    self._replace(place, what)
                    break
                except (FileExistsError, FileNotFoundError):
                    if self._now(place) == what:
                        break
            else:
                raise OSError(f"{place} was changed, and could not be put back")
        return changed

    def _now(self, place: str) -> Content:
        find = itself if _is_itself(self._kept[place]) else content
        try:
            return find(self._root, place, os.geteuid())
        except TooLargeError:
            return ("other", "larger than before")

    def _replace(self, place: str, what: Content) -> None:
        path = f"{self._root}/{place}"
        if os.path.lexists(path):
            number = 1
            while os.path.lexists(aside := f"{path}.undone-{number}"):
                number += 1
            os.rename(path, aside)
        if what is None:
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not _is_itself(what):
            _make(path, what)
        elif not self._is_brought_back(place):
            os.mkdir(path, 0o700)  # it is gone; what is kept of its content follows

    def _is_brought_back(self, place: str) -> bool:
        held = self._held.get(place)
        if held is None or os.fstat(held).st_nlink == 0:
            return False
        try:
            os.rename(os.readlink(f"/proc/self/fd/{held}"), f"{self._root}/{place}")
        except OSError:  # it is in another file system, or nowhere
            return False
        return True


def _is_itself(what: Content) -> bool:
    return what is not None and what[0] == "itself"


def _identity(status: os.stat_result) -> Content:
    return ("itself", status.st_dev, status.st_ino)


def _content(above: int, name: str, reader: int, room: list[int]) -> Content:
    try:
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return None
    room[0] -= _ENTRY
    kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
    if kind == stat.S_IFLNK:
        return ("link", os.readlink(name, dir_fd=above))
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return ("other", kind)
    closed = ("closed", status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if status.st_uid != reader and not mode & stat.S_IROTH:
        return closed
    try:
        place = os.open(name, _FILE if kind == stat.S_IFREG else _FOLDER, dir_fd=above)
    except PermissionError:
        return closed
    try:
        if kind == stat.S_IFDIR:
            return ("folder", mode, {one: _content(place, one, reader, room) for one in sorted(os.listdir(place))})
        room[0] -= status.st_size
        if room[0] < 0:
            raise TooLargeError(name)
        return ("file", mode, status.st_nlink, _read(place, status.st_size))
    finally:
        os.close(place)


def _read(descriptor: int, size: int) -> bytes:
    pieces = b""
    while len(pieces) <= size and (piece := os.read(descriptor, size + 1 - len(pieces))):
        pieces += piece
    return pieces


def _make(path: str, what: Content) -> None:
    """Make something anew.

    Raises:
        OSError: It cannot be made, or is of a kind that cannot.
    """
    match what:
        case ("folder", int(mode), dict(inner)):
            os.mkdir(path, 0o700)
            for name, one in inner.items():
                _make(f"{path}/{name}", one)
            os.chmod(path, mode)
        case ("file", int(mode), _, bytes(text)):
            descriptor = os.open(path, _NEW, 0o600)
            try:
                while text:
                    text = text[os.write(descriptor, text) :]
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
        case ("link", str(where)):
            os.symlink(where, path)
        case _:
            raise OSError(f"{path} was changed, and only its owner could put it back")
