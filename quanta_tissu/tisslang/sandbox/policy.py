"""What a command may do: how it is kept in, what it may use, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

MIB = 1 << 20


class Level(StrEnum):
    """How a command is kept in; a level is given or refused, never replaced by a lower one.

    Attributes:
        NONE: Not at all: limits, a clean environment and an end for the whole tree, but every file and network.
        LANDLOCK: Landlock and seccomp in the command's own process; needs no namespaces: works in containers.
        BWRAP: bubblewrap: namespaces in which only the project and the system's programs exist, and seccomp.
        TXN: For the process the same as BWRAP; its files are a copy of the project (`transaction.py`).
    """

    NONE = "none"
    LANDLOCK = "landlock"
    BWRAP = "bwrap"
    TXN = "txn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a command may use.

    Attributes:
        cpu_seconds: Processor time of each process; `timeout` bounds the whole command.
        memory: Bytes of address space of each process, and of resident memory of all of them together.
        file_size: Bytes that a file may grow to.
        open_files: Open files of each process.
        processes: Processes and threads of the command at one time.
        output: Bytes kept of each stream: its beginning and its end, with a line in between that says how much is
            left out.
        flood: Bytes of both streams after which the command is ended.
        temporary: Bytes of the command's private /tmp and of its /dev/shm, where it has them (bwrap and txn).
        free_disk: Bytes that must stay free on the project's disk; a command that fills it further is ended.
    """

    cpu_seconds: int = 600
    memory: int = 4096 * MIB
    file_size: int = 1024 * MIB
    open_files: int = 1024
    processes: int = 256
    output: int = MIB
    flood: int = 256 * MIB
    temporary: int = 512 * MIB
    free_disk: int = 256 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a command may do.

    Attributes:
        level: How it is kept in.
        network: Whether it may open connections of the internet protocols. It then reaches the machine's own
            services, too.
        limits: How much it may use.
        environment: Names of variables that it gets from the engine's environment; all others stay outside.
        readable: Further files and folders that it may read and execute (a Python installation outside of /usr).
    """

    level: Level
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    environment: tuple[str, ...] = ()
    readable: tuple[Path, ...] = ()
