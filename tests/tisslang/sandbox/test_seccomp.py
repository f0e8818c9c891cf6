"""The filter of system calls, read by a small machine of our own as the kernel reads it, for both processors."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys

import pytest

from quanta_tissu.tisslang.sandbox import seccomp
from quanta_tissu.tisslang.sandbox.seccomp import CALLS, MACHINES, filter_program

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, EACCES, ENOSYS = (0x50000 | code for code in (errno.EPERM, errno.EACCES, errno.ENOSYS))
UNIX, INET, INET6, NETLINK, PACKET, VSOCK, ALG = 1, 2, 10, 16, 17, 40, 38
BOTH = pytest.mark.parametrize("machine", sorted(MACHINES))
# Calls with their numbers as the kernel's own headers give them: what every program makes.
USUAL = {
    "x86_64": {"read": 0, "write": 1, "mmap": 9, "execve": 59, "exit": 60, "fork": 57, "kill": 62, "futex": 202},
    "aarch64": {"read": 63, "write": 64, "mmap": 222, "execve": 221, "exit": 93, "futex": 98, "kill": 129},
}


def answer(program: bytes, number: int, arguments: tuple[int, ...] = (), audit: int | None = None) -> int:
    """What the filter says to a call: classic BPF, as far as the kernel's verifier lets a filter use it."""
    code = list(struct.iter_unpack("=HBBI", program))
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, audit, 0, *(one & (1 << 64) - 1 for one in padded))
    place = loaded = 0
    while True:
        operation, yes, no, value = code[place]
        place += 1
        if operation == 0x20:
            loaded = int.from_bytes(data[value : value + 4], "little")
        elif operation == 0x54:
            loaded &= value
        elif operation == 0x06:
            return value
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[operation]
            place += yes if holds else no


class Filter:
    """The filter of one machine; calls are made by name.

    Args:
        machine: The kind of processor.
        **options: What is granted.
    """

    def __init__(self, machine: str, **options: bool) -> None:
        self.program = filter_program(machine=machine, **options)
        self.kind = MACHINES[machine]

    def __call__(self, name: str, *arguments: int) -> int:
        number = CALLS[name][self.kind.column]
        assert number is not None
        return answer(self.program, number, arguments, self.kind.audit)


@BOTH
class TestAnyMachine:
    def test_what_every_program_does_passes(self, machine):
        made = Filter(machine)
        for number in USUAL[machine].values():
            assert answer(made.program, number, (1, 2, 3), made.kind.audit) == ALLOW

    def test_a_call_of_another_machine_ends_the_process(self, machine):
        made = Filter(machine)
        for other in (0x40000003, 0xC00000F3, *(one.audit for one in MACHINES.values() if one is not made.kind)):
            for number in (0, 41, 59):
                assert answer(made.program, number, (), other) == KILL

    def test_no_arguments_make_a_forbidden_call_pass(self, machine):
        made = Filter(machine, network=True, unix=True)
        forbidden = set(CALLS) - seccomp._LOOKED_AT - set(seccomp._OWN)
        assert len(forbidden) > 70
        for name in forbidden:
            if CALLS[name][made.kind.column] is None:
                continue
            expected = ENOSYS if name in seccomp._NOT_IMPLEMENTED else EPERM
            for arguments in ((), (0,) * 6, ((1 << 64) - 1,) * 6):
                assert made(name, *arguments) == expected, name

    @pytest.mark.parametrize(
        "name", ["mount", "unshare", "setns", "ptrace", "bpf", "keyctl", "kexec_load", "acct"]
    )
    def test_what_would_help_to_climb_a_wall_is_forbidden(self, machine, name):
        assert Filter(machine)(name) == EPERM

    @pytest.mark.parametrize("name", ["clone3", "openat2", "io_uring_setup", "memfd_create", "shmget", "shmat"])
    def test_what_programs_do_without_is_not_there(self, machine, name):
        assert Filter(machine)(name) == ENOSYS

    def test_sockets_are_granted_one_by_one(self, machine):
        families = (UNIX, INET, INET6, NETLINK, PACKET, VSOCK, ALG, 0, 45)
        granted = {
            (False, False): (),
            (True, False): (INET, INET6),
            (False, True): (UNIX,),
            (True, True): (UNIX, INET, INET6),
        }
        for (network, unix), allowed in granted.items():
            made = Filter(machine, network=network, unix=unix)
            for family in families:
                expected = ALLOW if family in allowed else EACCES
                assert made("socket", family, 1, 0) == expected
                # The kernel takes an int: what stands in the upper half changes nothing.
                assert made("socket", family | 7 << 32, 1, 0) == expected
                assert made("socketpair", family, 1, 0) == (ALLOW if family == UNIX else EACCES)

    def test_a_process_may_be_made_and_a_namespace_not(self, machine):
        made = Filter(machine)
        assert made("clone", 17) == ALLOW
        assert made("clone", 0x3D0F00) == ALLOW  # a thread
        for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
            assert made("clone", 17 | bit) == EPERM

    def test_typing_into_a_terminal_is_forbidden(self, machine):
        made = Filter(machine)
        assert made("ioctl", 0, 0x5401) == ALLOW
        for request in (0x5412, 0x541C):
            assert made("ioctl", 0, request) == EPERM
            assert made("ioctl", 0, request | 1 << 40) == EPERM

    def test_no_mode_makes_a_program_run_as_its_owner(self, machine):
        made = Filter(machine)
        names = [name for name in seccomp._MODES if CALLS[name][made.kind.column] is not None]
        assert {"fchmod", "fchmodat", "fchmodat2", "mknodat"} <= set(names)
        for name in names:
            before = [0] * seccomp._MODES[name]
            for mode, expected in ((0o755, ALLOW), (0o1777, ALLOW), (0o4755, EPERM), (0o2755, EPERM)):
                assert made(name, *before, mode) == expected, name

    def test_nor_does_one_with_which_a_file_is_opened(self, machine):
        made = Filter(machine)
        for name, flags in (("open", 1), ("openat", 2)):
            if CALLS[name][made.kind.column] is None:
                continue
            before = [0] * flags
            assert made(name, *before, 0, 0o4755) == ALLOW  # it makes no file: the mode means nothing
            assert made(name, *before, 0o101, 0o644) == ALLOW
            assert made(name, *before, 0o101, 0o4755) == EPERM
            assert made(name, *before, 0o20200000 | 2, 0o2755) == EPERM  # O_TMPFILE

    def test_devices_are_not_made(self, machine):
        made = Filter(machine)
        assert made("mknodat", 0, 0, 0o010644) == ALLOW  # a pipe
        assert made("mknodat", 0, 0, 0o100644) == ALLOW
        assert made("mknodat", 0, 0, 0o020644) == EPERM
        assert made("mknodat", 0, 0, 0o060644) == EPERM

    def test_limits_and_priorities_of_others_are_theirs(self, machine):
        made = Filter(machine)
        for name in ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr"):
            assert made(name, 0, 1, 2) == ALLOW
            assert made(name, 4711, 1, 2) == EPERM
        for which, who, expected in ((0, 0, ALLOW), (0, 4711, EPERM), (1, 0, EPERM), (2, 0, EPERM)):
            assert made("setpriority", which, who, 19) == expected
        for which, who, expected in ((1, 0, ALLOW), (1, 4711, EPERM), (2, 0, EPERM), (3, 0, EPERM)):
            assert made("ioprio_set", which, who, 0) == expected

    def test_every_jump_ends_within_the_program_and_the_kernel_takes_its_length(self, machine):
        code = list(struct.iter_unpack("=HBBI", filter_program(machine=machine, network=True, unix=True)))
        assert len(code) < 4096
        for place, (operation, yes, no, _) in enumerate(code):
            if operation in (0x15, 0x35, 0x45):
                assert place + 1 + max(yes, no) < len(code)
        assert code[-1][0] == 0x06


def test_the_other_convention_of_x86_64_is_not_there():
    made = Filter("x86_64")
    for number in (0x40000000, 0x40000000 + 41, 0x40000000 + 0x200, 0xFFFFFFFF):
        assert answer(made.program, number, (), made.kind.audit) == ENOSYS


def test_there_is_no_filter_for_a_machine_that_nobody_has_looked_at():
    with pytest.raises(KeyError):
        filter_program(machine="riscv64")


def test_the_kernel_takes_the_filter_and_answers_in_the_same_way():
    code = (
        "import os, socket\n"
        "from quanta_tissu.tisslang.sandbox import seccomp, system_calls\n"
        "system_calls.process_control(system_calls.NO_NEW_PRIVILEGES, 1)\n"
        "system_calls.load_filter(seccomp.filter_program(network=True))\n"
        "socket.socket(socket.AF_INET).close()\n"
        "a, b = socket.socketpair()\n"
        "for family in (socket.AF_UNIX, socket.AF_NETLINK):\n"
        "    try: socket.socket(family)\n"
        "    except PermissionError as error: print(error.errno)\n"
        "try: os.memfd_create('x')\n"
        "except OSError as error: print(error.errno)\n"
        "os.sched_setaffinity(0, os.sched_getaffinity(0))\n"
        "try: os.setpriority(os.PRIO_PROCESS, os.getppid(), 0)\n"
        "except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["13", "13", "38", "1"]
