"""All processes of a command: how many, how much memory, and how to end every one of them.

A process becomes a "subreaper" to own its descendants: one whose parent dies is handed to it instead of to the
system's first process, so that daemons (double fork, setsid) stay in the tree.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # as `typing` has it; the helper imports neither that nor `signal`, which take their time
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

_PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(process: int) -> list[int]:
    """Children of a process, their children, and so on; of a tree at work, a moment's guess."""
    found: list[int] = []
    waiting = [process]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def usage(processes: list[int]) -> tuple[int, int]:
    """Threads of these processes, and bytes of memory that they have together.

    Pages that several processes share count once for each of them; `exact_memory` counts them once.
    """
    threads = memory = 0
    for process in processes:
        fields = _status(process)
        if fields and fields[0] != b"Z":  # what nobody has waited for yet uses nothing
            threads += int(fields[17])
            memory += int(fields[21]) * _PAGE
    return threads, memory


def threads_of(user: int) -> int:
    """Threads of all processes of a user, as far as they can be seen."""
    found: list[int] = []
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdecimal() and entry.stat().st_uid == user:
                found.append(int(entry.name))
        except OSError:
            pass  # it has just ended
    return usage(found)[0]


def exact_memory(processes: list[int]) -> int:
    """Bytes of memory that these processes have together, a page shared by n of them as 1/n in each."""
    return sum(_proportional(process) for process in processes)


def end_all(patience: float = 10.0) -> bool:
    """End every descendant of this process, which is a subreaper, and wait for them.

    All are stopped before any is killed, again and again until no new one turns up, so that what forks as fast as
    it can does not outrun this.

    Args:
        patience: Seconds until this gives up.

    Returns:
        Whether none is left.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        stopped: set[int] = set()
        while fresh := set(descendants(os.getpid())) - stopped:
            for process in fresh:
                _send(process, signal.SIGSTOP)
            stopped |= fresh
        for process in stopped:
            _send(process, signal.SIGKILL)
        if not _reap():
            return True
        time.sleep(0.001)
    return False


def end_orphans(pipes: list[int], session: int | None, patience: float = 10.0) -> None:
    """End what a helper that was killed has left: who may write into its pipes, and who is in its session.

    Args:
        pipes: Their numbers (st_ino).
        session: The session of the command; None: it is not known.
        patience: Seconds until this gives up.
    """
    names = {f"pipe:[{number}]" for number in pipes}
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = [
            one for one in _running() if (session is not None and _session(one) == session) or _writes(one, names)
        ]
        if not found:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                _send(process, number)
        time.sleep(0.001)


def _running() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _session(process: int) -> int | None:
    fields = _status(process)
    return int(fields[3]) if fields and fields[0] != b"Z" else None


def _writes(process: int, names: set[str]) -> bool:
    """Whether a process holds the end of one of these pipes into which is written."""
    try:
        numbers = os.listdir(f"/proc/{process}/fd")
    except OSError:  # it has just ended, or is somebody else's
        return False
    for number in numbers:
        link = f"/proc/{process}/fd/{number}"
        try:
            if os.readlink(link) in names and os.lstat(link).st_mode & 0o200:
                return True
        except OSError:
            pass  # it has just been closed
    return False


def _status(process: int) -> list[bytes]:
    """Fields of /proc/…/stat from the third on: the second, in parentheses, may hold anything (proc(5))."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _reap() -> bool:
    """Wait for children that are dead; whether any is left."""
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if process == 0:
            return True


def _children(process: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it ended meanwhile: its children are with the subreaper now
    return found


def _proportional(process: int) -> int:
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return usage([process])[1]


def _send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except (ProcessLookupError, PermissionError):
        pass
