"""Attempts of commands to do what a sandbox forbids; each says ESCAPED if it could.

`tell` is a Python function that every attempt in Python has: it prints ESCAPED. Names in capitals are filled in:
OUTSIDE (a folder beside the project with `secret.txt`, `open.txt` and a socket `host.sock`), ENGINE (the number of
the engine's process), PORT (a TCP port and a UDP port on which the machine listens), SEGMENT (memory that anybody
on the machine may share).
"""

from __future__ import annotations

from dataclasses import dataclass

BOTH = ("landlock", "bwrap")
BWRAP = ("bwrap",)


@dataclass(frozen=True)
class Attempt:
    """An attempt.

    Attributes:
        name: What is attempted.
        code: The command, or Python that is written into the project and run.
        levels: The levels that claim to stop it.
        python: Whether the code is Python.
        ends: What the command must be ended for, if it has to be ended from outside.
        afterwards: At the level landlock, which does not stop it, what is done when the command is over, which is
            an error then: "undone", or "noticed".
    """

    name: str
    code: str
    levels: tuple[str, ...] = BOTH
    python: bool = False
    ends: str | None = None
    afterwards: str | None = None

    def claimed(self, level: str) -> str:
        """What a level claims about it: "yes", "no", or what is done afterwards."""
        return "yes" if level in self.levels else self.afterwards or "no"


def sh(name: str, code: str, levels: tuple[str, ...] = BOTH, ends: str | None = None) -> Attempt:
    return Attempt(name, code, levels, ends=ends)


def late(name: str, code: str, afterwards: str = "undone") -> Attempt:
    return Attempt(name, code, BWRAP, afterwards=afterwards)


def py(name: str, code: str, levels: tuple[str, ...] = BOTH, ends: str | None = None) -> Attempt:
    return Attempt(name, code, levels, python=True, ends=ends)


def _socket(family: str, kind: str = "SOCK_STREAM", protocol: int = 0) -> str:
    return f"import socket\nsocket.socket(socket.{family}, socket.{kind}, {protocol})\ntell()"


def _call(number: int, *arguments: str) -> str:
    """A system call of x86-64; it escaped if the kernel did it."""
    given = ", ".join(arguments)
    return (
        "import ctypes, os, platform\n"
        "if platform.machine() != 'x86_64': raise SystemExit\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"if libc.syscall({number}{', ' + given if given else ''}) >= 0: tell()\n"
    )


ATTEMPTS = (
    # --- files outside of the project ---
    sh("read the system's passwords", "cat /etc/shadow && echo ESCAPED"),
    sh("read a secret beside the project", "cat OUTSIDE/secret.txt && echo ESCAPED"),
    sh("read a file beside the project that everybody may read", "cat OUTSIDE/open.txt && echo ESCAPED"),
    sh("read it through a link", "ln -s OUTSIDE/open.txt link && cat link && echo ESCAPED"),
    sh("read it by dots", "cat ../outside/open.txt && echo ESCAPED"),
    sh("read it through the file system of this process", "cat /proc/self/root/OUTSIDE/open.txt && echo ESCAPED"),
    sh("read it through the folder of this process", "cat /proc/self/cwd/../outside/open.txt && echo ESCAPED"),
    sh("list the folder of root", "ls /root/ && echo ESCAPED"),
    sh("write beside the project", "echo pwned > OUTSIDE/open.txt && echo ESCAPED"),
    sh("make a file beside the project", "touch OUTSIDE/new.txt && echo ESCAPED"),
    sh("write into the system", "touch /etc/pwned /usr/pwned 2>/dev/null && echo ESCAPED"),
    sh("move a file out of the project", "touch mine; mv mine OUTSIDE/moved.txt && echo ESCAPED"),
    sh("link a file from outside", "ln OUTSIDE/open.txt hard && echo ESCAPED"),
    sh(
        "delete a file beside the project",
        "rm -f OUTSIDE/open.txt; test -e ../never || rm OUTSIDE/open.txt && echo ESCAPED",
    ),
    sh("leave the project's root by chroot", "chroot OUTSIDE /bin/sh -c true && echo ESCAPED"),
    py(
        "open a file by its handle",
        _call(304, "-100", "ctypes.create_string_buffer(bytes([8, 0, 0, 0, 1, 0, 0, 0]) + bytes(8), 16)", "0"),
    ),
    # --- what is protected inside of it ---
    late("write a hook of git", "echo 'echo pwned' > .git/hooks/pre-commit && echo ESCAPED"),
    late("make a file a hook that git runs", "chmod +x .git/hooks/pre-push && echo ESCAPED"),
    late("keep a second name of a hook, to write to it later", "ln .git/hooks/pre-push mine && echo ESCAPED"),
    late("put a link in the place of a hook", "touch evil; ln -sf ../../evil .git/hooks/pre-push && echo ESCAPED"),
    late("put another folder in the place of the hooks", "mv .git/hooks old && mkdir .git/hooks && echo ESCAPED"),
    late("change git's configuration", "echo '[core]' >> .git/config && echo ESCAPED"),
    late("remove git's configuration", "rm -f .git/config; ! test -e .git/config && echo ESCAPED"),
    late("put another folder in the place of .git", "mv .git other && mkdir .git && echo ESCAPED"),
    late(
        "put a copy in the place of .git",
        "cp -r .git new; mv .git other && mv new .git && echo ESCAPED",
    ),
    late("remove .git", "rm -rf .git; ! test -e .git/config && echo ESCAPED"),
    late("change the rules of the project", "echo '[[allow]]' > .tissu/rules.toml && echo ESCAPED"),
    late("move the rules away", "mv .tissu/rules.toml mine && echo ESCAPED"),
    late("put another folder in the place of .tissu", "mv .tissu mine && mkdir .tissu && echo ESCAPED"),
    late("write into the journal", "echo '{}' >> .tissu/runs/1/journal.jsonl && echo ESCAPED", "noticed"),
    late(
        "write into the journal and set its time back",
        "f=.tissu/runs/1/journal.jsonl; touch -r $f old; printf '[]' | dd of=$f conv=notrunc && touch -r old $f "
        "&& echo ESCAPED",
        "noticed",
    ),
    late("remove the journal", "rm -rf .tissu/runs; ! test -e .tissu/runs && echo ESCAPED", "noticed"),
    # --- more rights ---
    sh("be root", 'test "$(id -u)" = 0 && echo ESCAPED'),
    sh("become root by sudo or su", "(sudo -n true || su -c true) </dev/null && echo ESCAPED"),
    sh("have capabilities", "grep -q 'CapEff:.*[1-9a-f]' /proc/self/status && echo ESCAPED"),
    sh("get them back by new programs", "grep -q 'NoNewPrivs:.*0' /proc/self/status && echo ESCAPED"),
    sh(
        "make a program that runs as its owner",
        "cp /bin/true mine; chmod u+s mine && test -u mine && echo ESCAPED",
    ),
    sh("mount something", "mount -t tmpfs none /tmp && echo ESCAPED"),
    sh("make the system writable again", "mount -o remount,rw,bind / && echo ESCAPED"),
    sh("make a namespace of users", "unshare -Ur true && echo ESCAPED"),
    sh("make a namespace of mounts", "unshare -m true && echo ESCAPED"),
    py("enter another namespace", "import os\n" + _call(308, "os.open('/proc/self/ns/net', os.O_RDONLY)", "0")),
    py("clone with a new namespace", _call(56, "ctypes.c_ulong(0x10000000 | 17)", "0", "0", "0", "0")),
    py("call clone3", _call(435, "ctypes.create_string_buffer(88)", "88")),
    sh("make a device", "mknod disk b 8 0 && echo ESCAPED"),
    py("set the clock", "import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())\ntell()"),
    sh("name the machine", "hostname pwned && echo ESCAPED"),
    # --- other processes ---
    sh("end the engine", "kill -0 ENGINE && echo ESCAPED"),
    sh("read the engine's environment", "tr '\\0' '\\n' < /proc/ENGINE/environ | grep . && echo ESCAPED"),
    sh("read the engine's memory", "head -c 1 /proc/ENGINE/mem && echo ESCAPED"),
    sh("see the engine's files", "ls /proc/ENGINE/root/ && echo ESCAPED"),
    py("trace a process", _call(101, "16", "os.getppid()", "0", "0")),
    py(
        "read another process's memory",
        "import os\nchild = os.fork()\nif child == 0:\n    import time; time.sleep(2); os._exit(0)\n"
        + _call(310, "child", "ctypes.create_string_buffer(16)", "0", "ctypes.create_string_buffer(16)", "0", "0"),
    ),
    py("get a descriptor of another process", "import os\n" + _call(438, "os.pidfd_open(os.getppid())", "0", "0")),
    py("type into the terminal", "import fcntl, os\nfcntl.ioctl(0, 0x5412, b'x')\ntell()"),
    py("change the engine's limits", "import resource\nresource.prlimit(ENGINE, resource.RLIMIT_CORE)\ntell()"),
    py("slow the engine down", "import os\nos.setpriority(os.PRIO_PROCESS, ENGINE, 19)\ntell()"),
    py("slow all processes of the user down", "import os\nos.setpriority(os.PRIO_USER, 0, 19)\ntell()"),
    py("tie the engine to one processor", "import os\nos.sched_setaffinity(ENGINE, {0})\ntell()"),
    py("read memory that the engine shares", _call(30, "SEGMENT", "None", "0o10000")),
    py("remove memory that the engine shares", _call(31, "SEGMENT", "0", "None")),
    py("make a queue of messages", _call(240, "b'tissu'", "0o102", "0o600", "None")),
    # --- sockets of every family ---
    py("a socket of IPv4", _socket("AF_INET")),
    py(
        "a datagram of IPv4",
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.sendto(b'x', ('127.0.0.1', PORT))\ntell()",
    ),
    py("a socket of IPv6", _socket("AF_INET6")),
    py("a raw socket", _socket("AF_INET", "SOCK_RAW", 1)),
    py("a socket of netlink", _socket("AF_NETLINK", "SOCK_RAW")),
    py("a socket of packets", _socket("AF_PACKET", "SOCK_RAW")),
    py("a socket to the host of this machine", _socket("AF_VSOCK")),
    py("a socket of the kernel's cryptography", _socket("AF_ALG", "SOCK_SEQPACKET")),
    py(
        "a connection to a server on this machine",
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)\ntell()",
    ),
    py(
        "a socket of the machine by its path",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('OUTSIDE/host.sock')\ntell()",
    ),
    py(
        "a socket of the machine by its name",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0tissu-host-OUTSIDE')\ntell()",
    ),
    sh("find a server by its name", "getent hosts example.org && echo ESCAPED"),
    # --- the kernel ---
    py("a ring of io_uring", _call(425, "8", "ctypes.create_string_buffer(120)")),
    py("a program for the kernel", _call(321, "0", "ctypes.create_string_buffer(64)", "64")),
    py("a key ring", _call(250, "0", "-3", "1")),
    py(
        "events of the processor",
        _call(
            298, "ctypes.create_string_buffer(bytes([1, 0, 0, 0, 112]) + bytes(107), 112)", "0", "-1", "-1", "0"
        ),
    ),
    py("faults of pages", _call(323, "1")),
    py("a call of another convention", _call(0x40000000 + 41, "2", "1", "0")),
    py("memory of nobody", _call(319, "b'x'", "0")),
    py("segments of shared memory", _call(29, "0", "4096", "0o1600")),
    # --- too much of everything ---
    sh("fork without end", "f() { f | f & }; f; sleep 2; echo survived; exit 0"),
    py("take all memory", "kept = []\nwhile True: kept.append(bytearray(64 << 20))"),
    sh(
        "take all memory with many processes",
        "for i in 1 2 3 4; do python3 -c 'import time; x = bytearray(120 << 20); time.sleep(20)' & done; wait; "
        "echo ESCAPED",
        ends="memory",
    ),
    sh("use the processor without end", "while :; do :; done; echo ESCAPED", ends="timeout"),
    sh(
        "write a file that is too large",
        "head -c 80000000 /dev/zero > big; test $(stat -c %s big) -gt 70000000 && echo ESCAPED",
    ),
    sh("fill the private folder", "head -c 200000000 /dev/zero > /tmp/big && echo ESCAPED", BWRAP),
    sh("write without end", "yes", ends="output"),
    py("open files without end", "kept = []\nfor _ in range(5000): kept.append(open('/dev/null'))\ntell()"),
    sh("leave memory behind when it dies", "ulimit -c unlimited && echo ESCAPED; kill -SEGV $$"),
    # --- what is left behind, and what comes in ---
    sh("leave a process behind", "sleep 4242 & exit 0"),
    sh("leave a daemon behind", "setsid sh -c 'sleep 4242 & sleep 4242' >/dev/null 2>&1 & exit 0"),
    py(
        "leave a daemon behind that forked twice",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(4242)\n"
        "    os._exit(0)\ntime.sleep(0.2)",
    ),
    sh("see the engine's variables", "env | grep -q TISSU_TEST_SECRET && echo ESCAPED"),
    sh(
        "find descriptors of the engine",
        "for n in 3 4 5 6 7 8 9 11 12 13 14 15; do test -e /proc/self/fd/$n && readlink /proc/self/fd/$n "
        "| grep -v '^/proc' && echo ESCAPED; done; true",
    ),
)
