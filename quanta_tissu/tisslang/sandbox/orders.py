"""What a helper is told: all that can be found out before it starts, so that it has little to load and to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import TypedDict

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import bubblewrap, identity, landlock, layout, seccomp
from quanta_tissu.tisslang.sandbox.guard import Content
from quanta_tissu.tisslang.sandbox.policy import Level, Policy

_PROCESS_FILES = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/kernel/ngroups_max")


class Bubblewrap(TypedDict):
    """How the helper becomes bubblewrap.

    Attributes:
        program: Its path.
        options: Its options, without those that name descriptors.
        files: Path and content of files that are put inside.
        inside: The arguments of what runs there first.
    """

    program: str
    options: list[str]
    files: dict[str, bytes]
    inside: list[str]


class Orders(TypedDict):
    """What a helper is told; of types that `marshal` knows.

    Attributes:
        level: How the command is kept in.
        shell: Its path.
        command: Text for it.
        root: The project's folder.
        readable: Further paths that it may read.
        network: Whether it may open connections.
        limits: The fields of `Limits`.
        environment: All of its variables.
        temporary: Its private folder.
        engine: The number of the process that asks.
        identity: Whom the helper becomes; None: it stays who it is.
        rules: What Landlock grants, path by path; None: the level has no Landlock.
        filter: The filter of system calls; empty: none.
        bubblewrap: How it becomes bubblewrap; None: the level has none.
        kept: Places with what is put back when the command has changed them.
    """

    level: str
    shell: str
    command: str
    root: str
    readable: list[str]
    network: bool
    limits: dict[str, int]
    environment: dict[str, str]
    temporary: str
    engine: int
    identity: identity.Identity | None
    rules: list[tuple[str, int]] | None
    filter: bytes
    bubblewrap: Bubblewrap | None
    kept: dict[str, Content]


def orders_for(
    command: str,
    project: str,
    policy: Policy,
    variables: Mapping[str, str],
    temporary: str,
    kept: dict[str, Content],
) -> Orders:
    """What the helper of a command is told.

    Args:
        command: Text for the shell.
        project: The real path of the project's folder.
        policy: How it is kept in.
        variables: Variables besides those of the policy.
        temporary: Its private folder.
        kept: What is put back when the command has changed it (`watching.watched`).

    Raises:
        SandboxError: A variable cannot be one, or what shall be readable cannot be.
    """
    level = policy.level
    inside = level in (Level.BWRAP, Level.TXN)
    environment = _environment(project, policy, variables, temporary)
    readable = layout.readable_paths(policy.readable)
    return {
        "level": level.value,
        "shell": layout.SHELL,
        "command": command,
        "root": project,
        "readable": readable,
        "network": policy.network,
        "limits": asdict(policy.limits),
        "environment": environment,
        "temporary": temporary,
        "engine": os.getpid(),
        "identity": user_of(project, level),
        "rules": _rules(project, temporary, readable, policy.network) if level is Level.LANDLOCK else None,
        "filter": b"" if level is Level.NONE else _filter(policy.network, inside and not policy.network),
        "bubblewrap": _bubblewrap(command, project, policy, readable, environment) if inside else None,
        "kept": kept,
    }


def user_of(project: str, level: Level) -> identity.Identity | None:
    """Whom the helper of a command becomes; None: it stays who the engine is."""
    return identity.identity_for(project) if os.geteuid() == 0 and level is not Level.NONE else None


def _environment(project: str, policy: Policy, variables: Mapping[str, str], temporary: str) -> dict[str, str]:
    inside = policy.level in (Level.BWRAP, Level.TXN)
    environment = {
        "PATH": layout.PATH,
        "HOME": bubblewrap.HOME if inside else f"{temporary}/home",
        "TMPDIR": "/tmp" if inside else temporary,
        "LANG": "C.UTF-8",
        "USER": "tissu",
        "PWD": project,
    }
    if policy.level is Level.LANDLOCK:  # git ends at a file that it may not read, unless it is told not to look
        environment["GIT_CONFIG_NOSYSTEM"] = "1"
    environment |= {name: os.environ[name] for name in policy.environment if name in os.environ}
    environment |= variables
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise SandboxError(f"{name!r} cannot be a variable of the environment, or its value has a character 0")
    return environment


def _rules(project: str, temporary: str, readable: list[str], network: bool) -> list[tuple[str, int]]:
    """What Landlock lets a command do, path by path."""
    used = [*layout.SYSTEM, *layout.MERGED, *layout.SETTINGS, *readable, *_PROCESS_FILES]
    used += layout.NETWORK_SETTINGS if network else ()
    rules = [(path, landlock.USE) for path in used]
    rules += [(path, landlock.DEVICE) for path in layout.DEVICES]
    rules += [(path, landlock.CHANGE | landlock.USE) for path in (project, temporary)]
    return rules


@cache
def _filter(network: bool, unix: bool) -> bytes:
    return seccomp.filter_program(network=network, unix=unix)


def _bubblewrap(
    command: str, project: str, policy: Policy, readable: list[str], environment: dict[str, str]
) -> Bubblewrap:
    options, files = bubblewrap.arguments(
        root=project,
        seen_as=project,
        readable=readable,
        network=policy.network,
        limits=policy.limits,
        environment=environment,
    )
    return {
        "program": shutil.which("bwrap", path=layout.PATH) or "",
        "options": options,
        "files": {path: text.encode() for path, text in files.items()},
        "inside": [layout.SHELL, "-c", bubblewrap.START, "sh", str(policy.limits.processes), command],
    }
