"""bubblewrap: a command in namespaces of its own, where only what it needs exists.

Nothing of the machine is shown but the system's programs and the project. The root is not the machine's made
read-only (`--ro-bind / /`): what is not there cannot be made writable again, and its secrets cannot be read.

Source: bwrap(1).
"""

from __future__ import annotations

import os

from quanta_tissu.tisslang.sandbox import layout
from quanta_tissu.tisslang.sandbox.policy import Limits

USER = 1000
HOME = "/tmp/home"

# What the namespace's own shell does first. RLIMIT_NPROC counts all of a user's processes, but those of this
# namespace alone once it is set inside; shells call it -p or -u. Descriptor 9 says that the sandbox stands.
START = 'ulimit -p "$1" 2>/dev/null || ulimit -u "$1" || exit 1; printf r >&9; exec 9>&-; exec /bin/sh -c "$2"'

_FILES = {
    "/etc/passwd": f"root:x:0:0:root:/:/bin/false\ntissu:x:{USER}:{USER}:tissu:{HOME}:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": f"root:x:0:\ntissu:x:{USER}:\nnogroup:x:65534:\n",
}
_HOSTS = {
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


def arguments(
    *,
    root: str,
    seen_as: str,
    readable: list[str],
    network: bool,
    limits: Limits,
    environment: dict[str, str],
) -> tuple[list[str], dict[str, str]]:
    """The options of bwrap, without those that name descriptors.

    Args:
        root: The project's folder.
        seen_as: The path at which the command finds it.
        readable: Further paths that may be read.
        network: Whether the machine's network stays.
        limits: How large private folders may be.
        environment: All variables of the command.

    Returns:
        The options, and files (path → text) that are put inside.
    """
    options = ["--unshare-all", *(["--share-net"] if network else []), "--unshare-user", "--disable-userns"]
    options += ["--uid", str(USER), "--gid", str(USER), "--hostname", "tissu", "--cap-drop", "ALL"]
    options += ["--die-with-parent", "--new-session", "--clearenv"]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    for path in layout.SYSTEM:
        options += ["--ro-bind", path, path]
    for path in layout.MERGED:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    for path in (*layout.SETTINGS, *(layout.NETWORK_SETTINGS if network else ())):
        options += ["--ro-bind-try", path, path]
    size = str(limits.temporary)
    options += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    options += ["--size", size, "--tmpfs", "/tmp", "--dir", HOME]
    mounts = [("--ro-bind", path, path) for path in readable] + [("--bind", root, seen_as)]
    for mount in sorted(mounts, key=lambda one: one[2].count("/")):
        options += mount
    options += _protection(root, seen_as)
    options += ["--remount-ro", "/", "--chdir", seen_as]
    return options, _FILES if network else _FILES | _HOSTS


def _protection(root: str, seen_as: str) -> list[str]:
    """Mounts over what nobody may change; only over what exists, because a mount point would be left behind."""
    protected = layout.protected_paths(root)
    # A folder that is a mount point cannot be renamed, so that no other repository can be put in its place.
    git = os.path.join(root, ".git")
    own = [("--bind", git)] if any(path.startswith(git + "/") for path in protected) else []
    options: list[str] = []
    for kind, path in [*own, *(("--ro-bind", path) for path in protected)]:
        options += [kind, path, seen_as + path[len(root) :]]
    return options
