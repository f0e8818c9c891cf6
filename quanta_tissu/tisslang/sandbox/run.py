"""Runs a command of the shell in a sandbox, and ends all of it.

The engine starts a helper (`child.py`) for each command, which sets the walls up and watches; this module talks to
the helper and collects what the command writes. A command's result is only what its own exit says: whatever goes
wrong around it is a `SandboxError`.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import identity, layout, process_tree
from quanta_tissu.tisslang.sandbox.orders import Orders, orders_for, user_of
from quanta_tissu.tisslang.sandbox.policy import Policy
from quanta_tissu.tisslang.sandbox.probe import require
from quanta_tissu.tisslang.sandbox.watching import watched

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], None]
EndedBy = Literal["timeout", "cancelled", "output", "memory", "processes", "disk"]

_PACKAGE = str(Path(__file__).parents[3])
# Behind the standard library: nothing that lies beside the package can take the place of a module of it.
_START = f"import sys; sys.path.append({_PACKAGE!r}); from quanta_tissu.tisslang.sandbox.child import main; main()"
_EXCESS: dict[str, EndedBy] = {"memory": "memory", "processes": "processes", "disk": "disk"}
_POLL = 0.01
_PATIENCE = 30.0  # seconds that the helper has to end everything before it is ended itself


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a command.

    Attributes:
        exit_code: What it ended with; 128 + n, if signal n ended it.
        stdout: What it wrote; of too much, the beginning and the end.
        stderr: What it wrote to its standard error, in the same way.
        seconds: How long it took.
        ended_by: What it was ended for from outside; None: it ended by itself.
        truncated: Whether something of its output is left out.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    ended_by: EndedBy | None
    truncated: bool


def run(
    command: str,
    *,
    root: Path,
    policy: Policy,
    timeout: float | None,
    variables: Mapping[str, str] | None = None,
    on_output: OnOutput | None = None,
    cancelled: threading.Event | None = None,
) -> Finished:
    """Run a command. May be called from several threads at once.

    Args:
        command: Text for `sh -c`.
        root: The project's folder, in which it runs.
        policy: How it is kept in, and how much it may use.
        timeout: Seconds after which it is ended; None: none.
        variables: Variables of its environment, besides those of the policy.
        on_output: Gets what it writes as it comes.
        cancelled: When it is set, the command is ended.

    Raises:
        SandboxError: It could not be run in such a sandbox, or the sandbox died; nothing is known of the command.
    """
    require(policy.level)
    project = layout.project_root(root)
    if "\0" in command:
        raise SandboxError("a command cannot have a character 0 in it")
    user = user_of(project, policy.level)
    temporary = _private_folder(user)
    try:
        with watched(project, policy.level, _reader(user)) as kept:
            orders = orders_for(command, project, policy, variables or {}, temporary, kept)
            return _Command(orders, policy, timeout, on_output, cancelled).run()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reader(user: identity.Identity | None) -> int:
    """Whose files a command can read, as their owners are on the disk."""
    if user is None:
        return os.geteuid()
    number, _, owners = user
    return number if owners is None else owners[0]


def _private_folder(user: identity.Identity | None) -> str:
    """A folder for temporary files that only the command's user can use; gone when the command is over."""
    folder = tempfile.mkdtemp(prefix=f"tissu-command-{os.getpid()}-")
    os.mkdir(f"{folder}/home", 0o700)
    if user is not None:
        for path in (folder, f"{folder}/home"):
            os.chown(path, user[0], user[1])
    return folder


class _Command:
    """A command that runs."""

    def __init__(
        self,
        orders: Orders,
        policy: Policy,
        timeout: float | None,
        on_output: OnOutput | None,
        cancelled: threading.Event | None,
    ) -> None:
        self._orders = orders
        self._limits = policy.limits
        self._timeout = timeout
        self._on_output = on_output
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._written = 0
        self._outputs = {"stdout": _Output(policy.limits.output), "stderr": _Output(policy.limits.output)}
        self._failed: BaseException | None = None

    def run(self) -> Finished:
        """Run it to its end."""
        began = time.monotonic()
        helper, said = self._start()
        outputs = [os.fstat(pipe.fileno()).st_ino for pipe in (helper.stdout, helper.stderr) if pipe is not None]
        readers = [
            threading.Thread(target=self._read, args=(stream, pipe), daemon=True)
            for stream, pipe in (("stdout", helper.stdout), ("stderr", helper.stderr))
        ]
        report: list[bytes] = []
        listener = threading.Thread(target=_listen, args=(said, report), daemon=True)
        for thread in (*readers, listener):
            thread.start()
        try:
            ended_by = self._watch(helper, listener, began)
        except BaseException:
            self._end(helper)
            raise
        finally:
            helper.wait()
            listener.join()
            if helper.returncode < 0:  # it was killed, and could end nothing
                session = _said(b"".join(report)).get("session")
                process_tree.end_orphans(outputs, None if session is None else int(session))
            for thread in readers:
                thread.join()
        if self._failed is not None:
            raise self._failed
        return self._finished(b"".join(report), helper.returncode, ended_by, time.monotonic() - began)

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start the helper, and give it its orders."""
        orders_from, orders_to = os.pipe()
        said_from, said_to = os.pipe()
        with open(said_from, "rb") as said, open(orders_to, "wb") as told:
            try:
                helper = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _START, str(orders_from), str(said_to)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(orders_from, said_to),
                    cwd="/",
                    env={"PATH": layout.PATH, "LANG": "C.UTF-8"},
                    start_new_session=True,
                )
            except OSError as error:
                raise SandboxError(f"the helper of the sandbox could not be started: {error.strerror}") from None
            finally:
                os.close(orders_from)
                os.close(said_to)
            with contextlib.suppress(BrokenPipeError):  # it died: that is seen when it is waited for
                told.write(marshal.dumps(dict(self._orders)))
                told.flush()
            return helper, os.dup(said.fileno())

    def _read(self, stream: Stream, pipe: IO[bytes]) -> None:
        with pipe:
            while piece := os.read(pipe.fileno(), 1 << 16):
                with self._lock:
                    self._written += len(piece)
                self._outputs[stream].add(piece)
                if self._on_output is not None and self._failed is None:
                    try:
                        self._on_output(stream, piece)
                    except BaseException as error:
                        self._failed = error

    def _watch(self, helper: subprocess.Popen[bytes], listener: threading.Thread, began: float) -> EndedBy | None:
        """Wait for the end; what it was ended for."""
        ended_by: EndedBy | None = None
        while listener.is_alive() and helper.poll() is None:  # what the helper says ends with the helper
            if ended_by is None:
                if self._timeout is not None and time.monotonic() - began >= self._timeout:
                    ended_by = "timeout"
                elif self._cancelled is not None and self._cancelled.is_set():
                    ended_by = "cancelled"
                elif self._written > self._limits.flood:
                    ended_by = "output"
                elif self._failed is not None:
                    ended_by = "cancelled"
                if ended_by is not None:
                    self._end(helper)
            listener.join(_POLL)
        return ended_by

    def _end(self, helper: subprocess.Popen[bytes]) -> None:
        """Have the helper end everything; if it does not, its own end does."""
        helper.send_signal(signal.SIGTERM)
        try:
            helper.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            helper.kill()

    def _finished(self, report: bytes, status: int, ended_by: EndedBy | None, seconds: float) -> Finished:
        said = _said(report)
        stdout, stderr = self._outputs["stdout"], self._outputs["stderr"]
        if ended_by is not None and not said and status == -signal.SIGTERM:  # it had not yet begun to listen
            return Finished(128 + signal.SIGKILL, b"", b"", seconds, ended_by, False)
        if "exit" not in said or "error" in said:
            why = said.get("error") or stderr.content().decode(errors="replace").strip()
            raise SandboxError(
                f"the sandbox ({self._orders['level']}) failed: {why or 'its helper died'}",
                hint="tissu doctor says what this machine offers; nothing is known of the command",
            )
        exit_code, _, reason = said["exit"].partition(" ")
        if ended_by is None:
            ended_by = _EXCESS.get(reason)
        truncated = stdout.truncated or stderr.truncated
        return Finished(int(exit_code), stdout.content(), stderr.content(), seconds, ended_by, truncated)


class _Output:
    """What a command writes: of too much, the beginning and the end."""

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, piece: bytes) -> None:
        """Take what comes next."""
        room = self._half - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        if (excess := len(self._tail) - self._half) > 0:
            del self._tail[:excess]
            self._left_out += excess

    @property
    def truncated(self) -> bool:
        """Whether something is left out."""
        return self._left_out > 0

    def content(self) -> bytes:
        """What is kept, with a line in between that says how much is left out."""
        gap = f"\n… {self._left_out:,} bytes are left out …\n".encode() if self._left_out else b""
        return bytes(self._head) + gap + bytes(self._tail)


def _said(report: bytes) -> dict[str, str]:
    """What the helper has said: the first word of each line, and the rest of it."""
    lines = (line.partition(" ") for line in report.decode(errors="replace").splitlines())
    return {word: rest for word, _, rest in lines}


def _listen(descriptor: int, report: list[bytes]) -> None:
    """Collect what the helper says."""
    with open(descriptor, "rb") as file:
        report.append(file.read())
