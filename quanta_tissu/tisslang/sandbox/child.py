"""The helper process of one command: it sets the walls up, starts the command inside, and ends all of it.

It runs as `python -I -S`, gets its orders (`orders.py`, as `marshal` writes them) through one descriptor and
says what came of them through another: nothing of the engine's memory, descriptors or environment is in it. Orders
come from the engine alone, so they are trusted. What it says is text, a line each:

    session 4711        where the command is to be found
    ready               the sandbox stands, and the command begins
    error ...           it does not, or something else went wrong: nothing is known of the command
    exit 3 memory       the command is over, none of its processes is left, and what it was ended for, if it was

It is started for each command, so what it imports is what a command costs: only modules that are written in C, and
`os` and `ctypes`. Whatever the engine can find out, it finds out before.
"""

from __future__ import annotations

import marshal
import os
import resource
import stat
import sys
import time

from quanta_tissu.tisslang.sandbox import guard, identity, landlock, process_tree, system_calls

TYPE_CHECKING = False  # as `typing` has it, which is not imported
if TYPE_CHECKING:
    import signal

    from quanta_tissu.tisslang.sandbox.orders import Bubblewrap, Orders
else:
    import _signal as signal  # `signal` itself imports enum, which costs more than all else here

READY = 9
"""The descriptor through which a command's own process says that it begins."""

_POLL = 0.02
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG
_HEARD = (signal.SIGCHLD, signal.SIGTERM)


def main() -> None:
    """Do what the orders say; the last two arguments are the descriptors."""
    orders_from, report_to = int(sys.argv[-2]), int(sys.argv[-1])
    with open(orders_from, "rb") as file:
        orders = marshal.loads(file.read())
    os.set_inheritable(report_to, False)
    helper = _Helper(orders, report_to)
    try:
        helper.run()
    except BaseException as error:
        process_tree.end_all()
        _remove(orders["temporary"])
        helper.say("error", f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)  # there is nothing to tidy up, and Python would take its time for it


class _Helper:
    """Runs one command.

    Args:
        orders: What to run, and how.
        report_to: Where it is said what came of it.
    """

    def __init__(self, orders: Orders, report_to: int) -> None:
        self._orders = orders
        self._report_to = report_to
        self._limits = orders["limits"]
        self._root = orders["root"]
        self._ended_by = ""

    def say(self, word: str, rest: object = "") -> None:
        """Tell the engine."""
        line = " ".join(f"{word} {rest}".splitlines())
        try:
            os.write(self._report_to, line.encode(errors="replace") + b"\n")
        except OSError:
            pass  # it is gone; that is seen elsewhere

    def run(self) -> None:
        """Run the command to its end, and all that it has started."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # they are waited for
        system_calls.process_control(system_calls.SUBREAPER, 1)
        if (who := self._orders["identity"]) is not None:
            identity.drop_bounding_set()
            identity.become(who, self._root, self._orders["readable"])
        system_calls.process_control(_PARENT_DEATH, signal.SIGTERM)  # after the user was changed, which clears it
        if os.getppid() != self._orders["engine"]:
            raise OSError("the engine is gone")
        kept = guard.Guard(self._root, self._orders["kept"])
        begins, tells = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(begins)
            self._become_command(tells)
        os.close(tells)
        self.say("session", worker)
        for number in (0, 1, 2):  # the command's, not the helper's: their end is its end
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        said = b""
        while piece := os.read(begins, 4096):
            said += piece
        os.close(begins)
        if said != b"r":
            process_tree.end_all()
            self.say("error", said.decode(errors="replace").removeprefix("r"))
            return
        self.say("ready")
        status = self._watch(worker)
        if not process_tree.end_all():
            raise OSError("processes of the command could not be ended")
        changed = kept.put_back()  # before what it may have moved into its private folder is gone
        _remove(self._orders["temporary"])  # the engine may have been killed
        if changed:
            what = (
                f"the command made or replaced {', '.join(changed)}, which decides what others run; it was undone"
            )
            self.say("error", what)
            return
        code = os.waitstatus_to_exitcode(status)
        self.say("exit", f"{128 - code if code < 0 else code} {self._ended_by}")

    def _watch(self, worker: int) -> int:
        """Wait for the command, and end it if it uses more than it may; its wait status."""
        looks_at = 0.0
        while True:
            try:
                process, status = os.waitpid(worker, os.WNOHANG)
                if process:
                    return status
            except ChildProcessError:
                pass  # never, as long as nobody else waits for it
            if not self._ended_by and time.monotonic() >= looks_at:  # its dead children wake this, too
                self._ended_by = self._excess()
                looks_at = time.monotonic() + _POLL
            if self._ended_by:
                process_tree.end_all()
                return int(128 + signal.SIGKILL << 8)
            heard = signal.sigtimedwait(_HEARD, _POLL)
            if heard is not None and heard.si_signo == signal.SIGTERM:
                self._ended_by = "asked"

    def _excess(self) -> str:
        """What there is too much of; empty: nothing."""
        running = process_tree.descendants(os.getpid())
        threads, memory = process_tree.usage(running)
        if threads > self._limits["processes"] + 8:  # those of bubblewrap, and some that are just ending
            return "processes"
        if memory > self._limits["memory"] and process_tree.exact_memory(running) > self._limits["memory"]:
            return "memory"
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize < self._limits["free_disk"]:
            return "disk"
        return ""

    # --- the command's own process -------------------------------------------------------------------------------

    def _become_command(self, tells: int) -> None:
        """Turn this process into the command; never returns."""
        if tells != READY:  # first of all: descriptors that are opened later must not be this one
            os.dup2(tells, READY)
            os.close(tells)
        if self._report_to != READY:
            os.close(self._report_to)
        try:
            orders = self._orders
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and its children would, too
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            system_calls.process_control(_PARENT_DEATH, signal.SIGKILL)
            os.chdir(self._root)
            if (bubblewrap := orders["bubblewrap"]) is not None:
                self._limit(everything=False)
                self._bubblewrap(bubblewrap)
            self._limit(everything=True)
            system_calls.process_control(system_calls.NO_NEW_PRIVILEGES, 1)
            if (rules := orders["rules"]) is not None:
                landlock.restrict(rules, network=orders["network"])
            if orders["filter"]:
                system_calls.load_filter(orders["filter"])
            os.set_inheritable(READY, False)
            os.write(READY, b"r")
            os.execve(orders["shell"], ["sh", "-c", orders["command"]], orders["environment"])
        except BaseException as error:
            try:
                os.write(READY, f"{type(error).__name__}: {error}".encode())
            except OSError:
                pass  # the helper is gone, and this goes, too
        finally:
            os._exit(126)

    def _limit(self, *, everything: bool) -> None:
        """Limits of the system; those that would hinder bubblewrap itself are set inside of it."""
        limits = self._limits
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: limits["cpu_seconds"],
            resource.RLIMIT_FSIZE: limits["file_size"],
            resource.RLIMIT_NOFILE: limits["open_files"],
            resource.RLIMIT_AS: limits["memory"],
        }
        if everything:
            # The kernel counts all of a user's processes, so those that are there come on top; `_watch` counts the
            # command's own.
            wanted[resource.RLIMIT_NPROC] = limits["processes"] + process_tree.threads_of(os.getuid())
        for kind, value in wanted.items():
            _, most = resource.getrlimit(kind)
            allowed = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(kind, (allowed, allowed))

    def _bubblewrap(self, how: Bubblewrap) -> None:
        """Become bubblewrap, which starts the command in namespaces of its own."""
        options = how["options"]
        kept: list[int] = []
        for path, content in how["files"].items():
            kept.append(_filled(content))
            options = ["--perms", "0644", "--ro-bind-data", str(kept[-1]), path, *options]  # before / is read-only
        kept.append(_filled(self._orders["filter"]))
        options = [*options, "--seccomp", str(kept[-1])]
        # Through a descriptor, because anybody on the machine can read the arguments of a process.
        kept.append(_filled(b"".join(os.fsencode(one) + b"\0" for one in options)))
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        arguments = ["bwrap", "--args", str(kept[-1]), "--", *how["inside"]]
        os.execve(how["program"], arguments, {"PATH": "/usr/bin:/bin"})


def _filled(content: bytes) -> int:
    """A descriptor from which a content is read."""
    descriptor = os.memfd_create("tissu", 0)
    while content:
        content = content[os.write(descriptor, content) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _remove(folder: str) -> None:
    """Remove a folder with everything in it, as far as that goes; no module can be imported for it any more."""
    for _, folders, files, place in os.fwalk(folder, topdown=False):
        for name in (*folders, *files):
            try:
                is_folder = stat.S_ISDIR(os.lstat(name, dir_fd=place).st_mode)
                (os.rmdir if is_folder else os.unlink)(name, dir_fd=place)
            except OSError:
                pass  # what is in it could not be removed
    try:
        os.rmdir(folder)
    except OSError:
        pass
