"""What this machine offers to keep commands in; everything is tried, nothing concluded from names and versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import threading
from dataclasses import dataclass
from functools import lru_cache

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import beneath, landlock, layout, seccomp
from quanta_tissu.tisslang.sandbox.policy import Level

_NOBODY = 65534
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that a machine offers, or not.

    Attributes:
        name: What it is.
        works: Whether it does what it is needed for.
        detail: A version, or why it does not work.
    """

    name: str
    works: bool
    detail: str


def offered() -> tuple[Offer, ...]:
    """What this machine offers; found out once."""
    with _lock:
        return _offered()


@lru_cache(maxsize=1)
def _offered() -> tuple[Offer, ...]:
    return (_openat2(), _landlock(), _seccomp(), _bwrap())


def works(level: Level) -> Offer | None:
    """What is missing for a level; None: nothing."""
    names = {Level.NONE: (), Level.LANDLOCK: ("landlock", "seccomp")}.get(level, ("seccomp", "bubblewrap"))
    return next((one for one in offered() if one.name in names and not one.works), None)


def best_level() -> Level:
    """The best level that works here.

    Raises:
        SandboxError: None does; commands then run only if `none` is asked for.
    """
    for level in (Level.BWRAP, Level.LANDLOCK):
        if works(level) is None:
            return level
    raise SandboxError(
        "this machine offers no sandbox for commands",
        hint="apt-get install bubblewrap; tissu doctor says what is missing; --sandbox none does without",
    )


def require(level: Level) -> None:
    """Make sure that a level works here.

    Raises:
        SandboxError: It does not; a lower one is not taken in its place.
    """
    missing = works(level)
    if missing is not None:
        raise SandboxError(
            f"the sandbox `{level.value}` was asked for, and does not work here: {missing.name}: {missing.detail}",
            hint="apt-get install bubblewrap; tissu doctor shows what works; a lower level must be asked for",
        )


def _openat2() -> Offer:
    found = isinstance(beneath.resolver(), beneath.Kernel)
    return Offer("openat2", found, "Linux 5.6" if found else "a slower walk that follows no links takes its place")


def _landlock() -> Offer:
    version = landlock.abi()
    if version == 0:
        return Offer("landlock", False, "the kernel has none, or it is switched off")
    if version < landlock.NEEDED_ABI:
        return Offer("landlock", False, f"version {version}; {landlock.NEEDED_ABI} keeps signals in (Linux 6.12)")
    return Offer("landlock", True, f"version {version}")


def _seccomp() -> Offer:
    if platform.machine() not in seccomp.MACHINES:
        return Offer("seccomp", False, f"there is no filter for {platform.machine()}")
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            found = any(line.startswith("Seccomp:") for line in file)
    except OSError:
        found = False
    return Offer("seccomp", found, platform.machine() if found else "the kernel has none")


def _bwrap() -> Offer:
    program = shutil.which("bwrap", path=layout.PATH)
    if program is None:
        return Offer("bubblewrap", False, "bwrap is not installed: apt-get install bubblewrap")
    root = os.geteuid() == 0
    options = ["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--die-with-parent"]
    for path in (*layout.SYSTEM, *(one for one in layout.MERGED if os.path.isdir(one))):
        options += ["--ro-bind", path, path]
    try:
        tried = subprocess.run(
            [program, *options, "--proc", "/proc", "--dev", "/dev", "--", "/bin/sh", "-c", "exit 7"],
            capture_output=True,
            timeout=20,
            check=False,
            user=_NOBODY if root else None,
            group=_NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        version = subprocess.run([program, "--version"], capture_output=True, timeout=20, check=False, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Offer("bubblewrap", False, f"it cannot be run: {error}")
    if tried.returncode != 7:
        why = tried.stderr.decode(errors="replace").strip().splitlines()
        return Offer("bubblewrap", False, why[-1] if why else f"it ends with {tried.returncode}")
    return Offer("bubblewrap", True, version.stdout.strip())
