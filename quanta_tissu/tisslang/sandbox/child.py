"""The helper process of one command: it sets the walls up, starts the command inside, and ends all of it.

It runs as `python -I -S`, gets its orders as JSON through one descriptor and says what came of them through
another: nothing of the engine's memory, descriptors or environment is in it. Orders come from the engine alone, so
they are trusted. What it says, a line of JSON each:

    {"session": 4711}                    where the command is to be found
    {"ready": true}                      the sandbox stands, and the command begins
    {"error": "..."}                     it does not; nothing was run
    {"exit": 3, "ended_by": null}        the command is over, and none of its processes is left
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from typing import Any

from quanta_tissu.tisslang.sandbox import (
    bubblewrap,
    identity,
    landlock,
    layout,
    process_tree,
    seccomp,
    system_calls,
)
from quanta_tissu.tisslang.sandbox.policy import Level, Limits

READY = 9
"""The descriptor through which a command's own process says that it begins."""

_POLL = 0.02
_PROCESS_FILES = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/kernel/ngroups_max")
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Do what the orders say; the last two arguments are the descriptors."""
    orders_from, report_to = int(sys.argv[-2]), int(sys.argv[-1])
    with open(orders_from, "rb") as file:
        orders = json.loads(file.read())
    os.set_inheritable(report_to, False)
    helper = _Helper(orders, report_to)
    try:
        helper.run()
    except BaseException as error:
        process_tree.end_all()
        helper.say(error=f"{type(error).__name__}: {error}")
        os._exit(1)


class _Helper:
    """Runs one command.

    Args:
        orders: What to run, and how.
        report_to: Where it is said what came of it.
    """

    def __init__(self, orders: dict[str, Any], report_to: int) -> None:
        self._orders = orders
        self._report_to = report_to
        self._level = Level(orders["level"])
        self._limits = Limits(**orders["limits"])
        self._root: str = orders["root"]
        self._ended_by: str | None = None

    def say(self, **fields: Any) -> None:
        """Tell the engine."""
        with contextlib.suppress(OSError):
            os.write(self._report_to, json.dumps(fields).encode() + b"\n")

    def run(self) -> None:
        """Run the command to its end, and all that it has started."""
        signal.signal(signal.SIGTERM, self._end)
        system_calls.process_control(system_calls.SUBREAPER, 1)
        readable = list(self._orders["readable"])
        if os.geteuid() == 0 and self._level is not Level.NONE:
            who = identity.identity_for(self._root)
            identity.drop_bounding_set()
            identity.become(who, self._root, readable)
        system_calls.process_control(_PARENT_DEATH, signal.SIGTERM)  # after the user was changed, which clears it
        if os.getppid() != self._orders["engine"]:
            raise OSError("the engine is gone")
        places = layout.open_places(self._root) if self._level is Level.BWRAP else {}
        begins, tells = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(begins)
            self._become_command(tells, readable)
        os.close(tells)
        self.say(session=worker)
        for number in (0, 1, 2):  # the command's, not the helper's: their end is its end
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        said = b""
        while piece := os.read(begins, 4096):
            said += piece
        os.close(begins)
        if said != b"r":
            process_tree.end_all()
            self.say(error=said.decode(errors="replace").removeprefix("r"))
            return
        self.say(ready=True)
        status = self._watch(worker)
        if not process_tree.end_all():
            raise OSError("processes of the command could not be ended")
        if os.getppid() != self._orders["engine"]:  # it was killed: nobody else will remove this
            shutil.rmtree(self._orders["temporary"], ignore_errors=True)
        code = os.waitstatus_to_exitcode(status)
        if changed := layout.put_back(places):
            names = ", ".join(os.path.relpath(path, self._root) for path in changed)
            self.say(error=f"the command made or replaced {names}, which decides what others run; it was undone")
            return
        self.say(exit=128 - code if code < 0 else code, ended_by=self._ended_by)

    def _end(self, *_: object) -> None:
        self._ended_by = self._ended_by or "asked"

    def _watch(self, worker: int) -> int:
        """Wait for the command, and end it if it uses more than it may; its wait status."""
        while True:
            with contextlib.suppress(ChildProcessError):
                process, status = os.waitpid(worker, os.WNOHANG)
                if process:
                    return status
            if self._ended_by is None:
                self._ended_by = self._excess()
            if self._ended_by is not None:
                process_tree.end_all()
                return 128 + signal.SIGKILL << 8
            time.sleep(_POLL)

    def _excess(self) -> str | None:
        """What there is too much of."""
        running = process_tree.descendants(os.getpid())
        threads, memory = process_tree.usage(running)
        if threads > self._limits.processes + 8:  # those of bubblewrap, and some that are just ending
            return "processes"
        if memory > self._limits.memory and process_tree.exact_memory(running) > self._limits.memory:
            return "memory"
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize < self._limits.free_disk:
            return "disk"
        return None

    # --- the command's own process -------------------------------------------------------------------------------

    def _become_command(self, tells: int, readable: list[str]) -> None:
        """Turn this process into the command; never returns."""
        if tells != READY:  # first of all: descriptors that are opened later must not be this one
            os.dup2(tells, READY)
            os.close(tells)
        if self._report_to != READY:
            os.close(self._report_to)
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            system_calls.process_control(_PARENT_DEATH, signal.SIGKILL)
            os.chdir(self._root)
            environment: dict[str, str] = self._orders["environment"]
            command: str = self._orders["command"]
            if self._level in (Level.BWRAP, Level.TXN):
                self._limit(everything=False)
                self._bubblewrap(command, environment, readable)
            self._limit(everything=True)
            system_calls.process_control(system_calls.NO_NEW_PRIVILEGES, 1)
            if self._level is Level.LANDLOCK:
                landlock.restrict(self._rules(readable), network=self._orders["network"])
                system_calls.load_filter(seccomp.filter_program(network=self._orders["network"]))
            os.set_inheritable(READY, False)
            os.write(READY, b"r")
            os.execve(layout.SHELL, ["sh", "-c", command], environment)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(READY, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(126)

    def _limit(self, *, everything: bool) -> None:
        """Limits of the system; those that would hinder bubblewrap itself are set inside of it."""
        limits = self._limits
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: limits.cpu_seconds,
            resource.RLIMIT_FSIZE: limits.file_size,
            resource.RLIMIT_NOFILE: limits.open_files,
            resource.RLIMIT_AS: limits.memory,
        }
        if everything:
            # The kernel counts all of a user's processes, so those that are there come on top; `_watch` counts the
            # command's own.
            wanted[resource.RLIMIT_NPROC] = limits.processes + process_tree.threads_of(os.getuid())
        for kind, value in wanted.items():
            _, most = resource.getrlimit(kind)
            allowed = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(kind, (allowed, allowed))

    def _rules(self, readable: list[str]) -> list[tuple[str, int]]:
        """What Landlock lets the command do, path by path."""
        rules = [(path, landlock.USE) for path in (*layout.SYSTEM, *layout.MERGED, *layout.SETTINGS, *readable)]
        if self._orders["network"]:
            rules += [(path, landlock.USE) for path in layout.NETWORK_SETTINGS]
        rules += [(path, landlock.DEVICE) for path in layout.DEVICES]
        rules += [(path, landlock.USE) for path in _PROCESS_FILES]
        rules += [(path, landlock.CHANGE | landlock.USE) for path in (self._root, self._orders["temporary"])]
        return rules

    def _bubblewrap(self, command: str, environment: dict[str, str], readable: list[str]) -> None:
        """Become bubblewrap, which starts the command in namespaces of its own."""
        options, files = bubblewrap.arguments(
            root=self._root,
            seen_as=self._root,
            readable=readable,
            network=self._orders["network"],
            limits=self._limits,
            environment=environment,
        )
        kept: list[int] = []
        for path, text in files.items():
            kept.append(_filled(text.encode()))
            options = ["--perms", "0644", "--ro-bind-data", str(kept[-1]), path, *options]  # before / is read-only
        kept.append(
            _filled(seccomp.filter_program(network=self._orders["network"], unix=not self._orders["network"]))
        )
        options += ["--seccomp", str(kept[-1])]
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        # Through a descriptor, because anybody on the machine can read the arguments of a process.
        arguments = _filled(b"".join(os.fsencode(one) + b"\0" for one in options))
        os.set_inheritable(arguments, True)
        inside = [layout.SHELL, "-c", bubblewrap.START, "sh", str(self._limits.processes), command]
        os.execve(self._orders["bwrap"], ["bwrap", "--args", str(arguments), "--", *inside], {"PATH": layout.PATH})


def _filled(content: bytes) -> int:
    """A descriptor from which a content is read."""
    descriptor = os.memfd_create("tissu", 0)
    while content:
        content = content[os.write(descriptor, content) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
