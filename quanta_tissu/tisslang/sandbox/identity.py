"""Giving up root: who a command runs as, and how it still reaches the project.

A command never runs as root, whatever runs the engine. Where the engine is root,

- of a project that belongs to somebody else, its owner runs the command;
- of a project that belongs to root, the user 65534 ("nobody") runs it. The project is shown to that process
  alone through a mount that translates owners: what root owns on the disk is nobody's there, and what nobody
  makes there is root's on the disk. Nothing is changed on the disk for it.

A folder on the way that the user may not pass (`/root`) is covered, for that process alone, by an empty one in
which only the paths that it needs exist.

Source: mount_setattr(2), idmapped mounts (Linux 5.12); user_namespaces(7).
"""

from __future__ import annotations

import os

from quanta_tissu.tisslang.sandbox import system_calls

NOBODY = 65534


# Who runs a command: the number of the user, that of the only group, and the user and group on the disk that are
# shown as these (None: nothing is translated). A plain tuple, because the helper gets it through a pipe.
Identity = tuple[int, int, tuple[int, int] | None]


def identity_for(project: str) -> Identity:
    """Who runs a command in this project when the engine is root."""
    owner = os.stat(project)
    if owner.st_uid == 0:
        return NOBODY, NOBODY, (0, owner.st_gid)
    return owner.st_uid, owner.st_gid or _group_of(owner.st_uid), None


def become(who: Identity, project: str, needed: list[str]) -> None:
    """Turn this process, which is root's, into one of that user's without any way back.

    Args:
        who: The user, from `identity_for`.
        project: The project's folder, which the user may change.
        needed: Further paths that the user has to reach.

    Raises:
        OSError: The system does not allow a private view of its files, or does not know translated owners.
    """
    paths = sorted({project, *needed}, key=lambda path: path.count("/"))
    covered = _impassable(who, paths)
    user, group, owners = who
    if covered or owners is not None:
        _private_view(who, project, paths, covered)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)  # and with it all capabilities


def drop_bounding_set() -> None:
    """Give up, for this root process, the capabilities that a program could bring back."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        system_calls.process_control(system_calls.DROP_BOUNDING, capability)


def _private_view(who: Identity, project: str, paths: list[str], covered: list[str]) -> None:
    user, group, owners = who
    users = None if owners is None else _namespace(user, group, owners)
    system_calls.unshare(system_calls.NEW_MOUNTS)
    system_calls.mount(None, "/", None, system_calls.PRIVATE | system_calls.RECURSIVE)
    copies: list[tuple[str, bool, int]] = []
    for path in paths:
        if path == project or any(_is_below(path, one) for one in covered):
            copy = system_calls.copy_of_mount(path)
            if path == project:
                system_calls.change_mount(copy, users=users)
            else:
                system_calls.change_mount(copy, read_only=True)
            copies.append((path, os.path.isdir(path), copy))
    for path in covered:
        system_calls.mount("tmpfs", path, "tmpfs", system_calls.NO_SET_ID | system_calls.NO_DEVICES, "mode=755")
    for path, is_folder, copy in copies:
        if not os.path.lexists(path):
            os.makedirs(path if is_folder else os.path.dirname(path), exist_ok=True)
            if not is_folder:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        system_calls.attach_mount(copy, path)
        os.close(copy)
    if users is not None:
        os.close(users)


def _impassable(who: Identity, paths: list[str]) -> list[str]:
    """The topmost folders on the way to these paths that the user may not pass."""
    found: list[str] = []
    user, group, _ = who
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(group)
    os.seteuid(user)
    try:
        for path in paths:
            names = path.strip("/").split("/")
            for depth in range(1, len(names)):
                above = "/" + "/".join(names[:depth])
                if above in found:
                    break
                if not os.access(above, os.X_OK, effective_ids=True):
                    found.append(above)
                    break
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    return found


def _namespace(user: int, group: int, owners: tuple[int, int]) -> int:
    """A descriptor of a user namespace that says whom a mount shows instead of whom."""
    ready, made = os.pipe()
    end, hold = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            system_calls.unshare(system_calls.NEW_USERS)
            os.write(made, b"r")
            os.close(hold)
            os.read(end, 1)
        finally:
            os._exit(0)
    try:
        os.close(made)
        if not os.read(ready, 1):
            raise PermissionError("no user namespace can be made")
        for kind, inside, outside in (("uid", owners[0], user), ("gid", owners[1], group)):
            with open(f"/proc/{child}/{kind}_map", "w") as file:
                file.write(f"{inside} {outside} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (ready, end, hold):
            os.close(descriptor)
        os.waitpid(child, 0)


def _group_of(user: int) -> int:
    import pwd

    try:
        return pwd.getpwuid(user).pw_gid or user
    except KeyError:
        return user


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder + "/")
