"""What of the system a command sees, at every level that hides the rest."""

from __future__ import annotations

import os

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox.paths import JOURNALS

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
SHELL = "/bin/sh"

SYSTEM = ("/usr",)
# Links into /usr where the system has merged them, folders of their own elsewhere.
MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need to run, and nothing that names users, machines or keys.
SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
)
NETWORK_SETTINGS = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_NOT_PROJECTS = {"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run"}
_NOT_PROJECTS |= {"/sbin", "/sys", "/tmp", "/usr", "/var", "/var/tmp"}
_NOTHING_BELOW = ("/dev", "/proc", "/sys", "/usr", "/etc", "/boot", "/bin", "/sbin", "/lib", "/lib64")
_GIT = ("hooks", "config", "config.worktree", "commondir")


def project_root(root: str | os.PathLike[str]) -> str:
    """The real path of a project's folder.

    Raises:
        SandboxError: It is none, or the system's own.
    """
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        raise SandboxError(f"the project's folder is not there: {root}", hint="name a folder that exists")
    below = any(real.startswith(one + "/") for one in _NOTHING_BELOW) and not real.startswith("/dev/shm/")
    if real in _NOT_PROJECTS or below:
        raise SandboxError(
            f"{real} is the system's, not a project's: commands could change all of it",
            hint="run the script in a folder of its own",
        )
    return real


def readable_paths(paths: tuple[os.PathLike[str], ...]) -> list[str]:
    """Real paths of what may be read besides; each is given as it is named, too, if that is another path.

    Raises:
        SandboxError: One is not there, or would show everything.
    """
    found: list[str] = []
    for path in paths:
        named = os.path.abspath(path)
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as error:
            raise SandboxError(
                f"{named} shall be readable, and is not there for the engine: {error.strerror}",
                hint="name a path that exists",
            ) from None
        if real == "/" or real.split("/")[1] in ("proc", "sys", "dev"):
            raise SandboxError(
                f"{named} cannot be made readable: it shows other processes, devices or everything",
                hint="name the folder that is needed",
            )
        found += dict.fromkeys((real, named))
    return found


def protected_paths(root: str) -> list[str]:
    """What is there of the places in a project that make others run code or forget what happened.

    The same as `paths.DEFAULT_PROTECTED`, in the project's own repository; a repository whose `.git` is a file
    (a work tree, a submodule) has its own elsewhere, and the file is protected.
    """
    found = [os.path.join(root, place) for place in (JOURNALS, *git_places(root))]
    return [path for path in found if os.path.exists(path) and not os.path.islink(path)]


def open_places(root: str) -> list[str]:
    """Protected places of git on which nothing can be mounted, because they are links or not there."""
    found = [(place, os.path.join(root, place)) for place in git_places(root)]
    return [place for place, path in found if os.path.islink(path) or not os.path.lexists(path)]


def git_places(root: str) -> list[str]:
    """Places of a project from which git takes programs, as paths in it, whether there is something or not.

    None, if there is no repository: one that a command makes is its own.
    """
    git = os.path.join(root, ".git")
    if os.path.islink(git) or os.path.isfile(git):
        return [".git"]
    if not os.path.isdir(git):
        return []
    found = [os.path.join(git, name) for name in _GIT]
    for inner in ("modules", "worktrees"):
        for folder, folders, files in os.walk(os.path.join(git, inner)):
            found += [os.path.join(folder, name) for name in (*folders, *files) if name in _GIT]
            folders[:] = [name for name in folders if name not in (*_GIT, "objects", "refs", "logs")]
    return [os.path.relpath(path, root) for path in found]
