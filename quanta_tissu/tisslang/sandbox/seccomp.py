"""Which system calls a command may make: a filter in the kernel's own small language (classic BPF).

The filter refuses what the other walls do not cover, or what would help to climb them: sockets other than those
granted, mounts, namespaces, other processes' memory, keys, tracing, loading code into the kernel. Everything else
passes. It cannot follow pointers, so calls that hide their flags behind one (clone3, openat2) are answered with
"not implemented", at which the C library falls back to the older call, which can be read.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; the numbers of asm/unistd_64.h (x86-64) and
asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

# Where struct seccomp_data has its fields; both machines keep the low half of an argument first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_NAMESPACES = 0x7E020000  # CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID, -NET
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_SET_ID = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT and the bit that only O_TMPFILE has: without them `mode` means nothing
_TYPE, _CHARACTERS, _BLOCKS = 0o170000, 0o020000, 0o060000
_X32 = 0x40000000


@dataclass(frozen=True)
class Machine:
    """One kind of processor: what the kernel calls it, and the numbers of its calls.

    Attributes:
        audit: AUDIT_ARCH_…, which the kernel gives with each call.
        column: Its place in `_CALLS`.
        x32: Whether its kernel may take calls of another convention under the same architecture.
    """

    audit: int
    column: int
    x32: bool = False


MACHINES = {"x86_64": Machine(0xC000003E, 0, x32=True), "aarch64": Machine(0xC00000B7, 1)}

# Name: (x86-64, aarch64); None where the machine has no such call. From 424 on both have the same numbers.
CALLS: dict[str, tuple[int | None, int | None]] = {
    # mounts
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone": (56, 220),
    "clone3": (435, 435),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "lookup_dcookie": (212, 18),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # keys
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # the kernel and the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "query_module": (178, None),
    "get_kernel_syms": (177, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    # files by another name than their path
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # what would go around this filter
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "openat2": (437, 437),
    # memory that belongs to no process, so that nobody could count it
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # memory, semaphores and messages that others have made: their numbers can be guessed
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    # looked at more closely
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "creat": (85, None),
    "open": (2, None),
    "openat": (257, 56),
    "mknod": (133, None),
    "mknodat": (259, 33),
}

# Answered as a kernel without them would, because programs then do without.
_NOT_IMPLEMENTED = {"clone3", "openat2", "memfd_create", "memfd_secret", "mq_open"}
_NOT_IMPLEMENTED |= {"io_uring_setup", "io_uring_enter", "io_uring_register"}
_NOT_IMPLEMENTED |= {"shmget", "semget", "msgget", "shmat", "shmctl", "semop", "semctl", "semtimedop"}
_NOT_IMPLEMENTED |= {"msgsnd", "msgrcv", "msgctl"}
_LOOKED_AT = {"clone", "socket", "socketpair", "ioctl", "chmod", "fchmod", "fchmodat", "fchmodat2"}
_LOOKED_AT |= {"creat", "open", "openat", "mknod", "mknodat"}
# Calls that change how any process of the same user runs (a limit of no processor time ends it): which arguments
# must have which values so that they are about the caller.
_OWN: dict[str, dict[int, int]] = {
    "prlimit64": {0: 0},
    "sched_setparam": {0: 0},
    "sched_setscheduler": {0: 0},
    "sched_setaffinity": {0: 0},
    "sched_setattr": {0: 0},
    "setpriority": {0: 0, 1: 0},  # PRIO_PROCESS
    "ioprio_set": {0: 1, 1: 0},  # IOPRIO_WHO_PROCESS
}
# Where a call has the mode of the file that it makes or changes; where open has its flags.
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2}
_OPENS = {"open": (1, 2), "openat": (2, 3)}

Instruction = tuple[int, int, int, int]


def filter_program(*, machine: str | None = None, network: bool = False, unix: bool = False) -> bytes:
    """The filter as the kernel takes it: an array of struct sock_filter.

    Args:
        machine: "x86_64" or "aarch64"; None: this one.
        network: Whether sockets of the internet protocols may be made.
        unix: Whether sockets of the Unix kind may be made. They reach every service whose socket is in sight, so
            this needs a mount and a network namespace; pairs of them are always allowed.

    Raises:
        KeyError: There is no filter for this kind of machine.
    """
    kind = MACHINES[machine or platform.machine()]
    families = ((_AF_INET, _AF_INET6) if network else ()) + ((_AF_UNIX,) if unix else ())
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, kind.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if kind.x32:
        code += [(_AT_LEAST, 0, 1, _X32), _refusal(errno.ENOSYS)]
    for name, numbers in CALLS.items():
        number = numbers[kind.column]
        if number is None:
            continue
        block = _block(name, families)
        code += [(_EQUAL, 0, len(block), number), *block]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *one) for one in code)


def _block(name: str, families: tuple[int, ...]) -> list[Instruction]:
    """What to do with one call, ending in an answer on each way."""
    allow = (_RETURN, 0, 0, _ALLOW)
    block: list[Instruction]
    if name in _NOT_IMPLEMENTED:
        return [_refusal(errno.ENOSYS)]
    if name in _OWN:
        block = []
        for argument, value in _OWN[name].items():
            block += [_argument(argument), (_EQUAL, 1, 0, value), _refusal(errno.EPERM)]
        return [*block, allow]
    if name not in _LOOKED_AT:
        return [_refusal(errno.EPERM)]
    if name in ("socket", "socketpair"):
        allowed = (_AF_UNIX,) if name == "socketpair" else families
        # `family` is an int: the kernel ignores the upper half of the argument, and so does this.
        return [_argument(0), *_any_of(allowed, [allow]), _refusal(errno.EACCES)]
    if name == "ioctl":
        return [_argument(1), *_any_of((_TIOCSTI, _TIOCLINUX), [_refusal(errno.EPERM)]), allow]
    if name == "clone":
        return [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _refusal(errno.EPERM), allow]
    if name in _OPENS:
        flags, mode = _OPENS[name]
        return [
            _argument(flags),
            (_ANY_BIT, 0, 3, _CREATES),
            _argument(mode),
            (_ANY_BIT, 0, 1, _SET_ID),
            _refusal(errno.EPERM),
            allow,
        ]
    block = [_argument(_MODES[name]), (_ANY_BIT, 0, 1, _SET_ID), _refusal(errno.EPERM)]
    if name.startswith("mknod"):
        block += [(_AND, 0, 0, _TYPE), *_any_of((_CHARACTERS, _BLOCKS), [_refusal(errno.EPERM)])]
    return [*block, allow]


def _any_of(values: tuple[int, ...], then: list[Instruction]) -> list[Instruction]:
    """`then` if the loaded value is one of these."""
    return [one for value in values for one in ((_EQUAL, 0, len(then), value), *then)]


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)


def _refusal(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)
