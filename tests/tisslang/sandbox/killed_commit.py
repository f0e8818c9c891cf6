"""Commits that are killed, or meet a full disk, before each of their system calls in turn.

Run by test_transaction_kill.py. Usage: python killed_commit.py FOLDER SCENARIO STRIDE [nobody], with one JSON line
for each commit on standard output. This is a program of its own because it forks, which a test runner with threads
should not do. Nothing is flushed: a killed process loses no page.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import tree
from quanta_tissu.tisslang.sandbox.transaction import Transaction

CHANGING = "mkdir rename link unlink rmdir symlink write fchmod chmod utime fchown chown fsync sync"
NOBODY = 65534


@contextlib.contextmanager
def tree_folder(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def build(folder):
    """A project with something of every kind."""
    folder.parent.mkdir(exist_ok=True)
    with tree_folder(folder.parent) as above:
        tree.remove(above, folder.name)
    root = folder / "project"
    (root / "keep").mkdir(parents=True)
    (root / "keep" / "same").write_text("same")
    (root / "edited").write_text("old")
    (root / "edited").chmod(0o640)
    (root / "script").write_text("#!/bin/sh\n")
    (root / "gone").write_text("gone")
    (root / "emptied" / "inner").mkdir(parents=True)
    (root / "emptied" / "inner" / "file").write_text("1")
    (root / "becomes_file" / "inner").mkdir(parents=True)
    (root / "becomes_file" / "inner" / "file").write_text("2")
    (root / "becomes_folder").write_text("3")
    (root / "link").symlink_to("edited")
    (root / "folder_becomes_link").mkdir()
    (root / "folder_becomes_link" / "file").write_text("5")
    (root / "link_becomes_folder").symlink_to("keep")
    (root / "closed").mkdir()
    (root / "closed" / "file").write_text("4")
    (root / "closed").chmod(0o555)
    return root


def work(copy):
    """What the step does."""
    (copy / "edited").write_text("new")
    (copy / "script").chmod(0o755)
    (copy / "gone").unlink()
    shutil.rmtree(copy / "emptied")
    shutil.rmtree(copy / "becomes_file")
    (copy / "becomes_file").write_text("a file")
    (copy / "becomes_folder").unlink()
    (copy / "becomes_folder").mkdir()
    (copy / "becomes_folder" / "file").write_text("inside")
    (copy / "link").unlink()
    (copy / "link").symlink_to("keep/same")
    shutil.rmtree(copy / "folder_becomes_link")
    (copy / "folder_becomes_link").symlink_to("keep")
    (copy / "link_becomes_folder").unlink()
    (copy / "link_becomes_folder").mkdir()
    (copy / "link_becomes_folder" / "same").write_text("6")
    (copy / "added" / "deep").mkdir(parents=True)
    (copy / "added" / "deep" / "file").write_text("added")
    (copy / "closed").chmod(0o755)
    (copy / "closed" / "file").unlink()
    (copy / "closed" / "other").write_text("5")
    (copy / "closed").chmod(0o555)


def picture(root):
    """All that a project holds, without journals."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] == ".tissu":
            continue
        mode = oct(path.lstat().st_mode)
        found[name] = [
            mode,
            os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "",
        ]
    return found


def interrupt(number, act):
    """Do something to this process before the system call of this number that changes anything."""
    calls = count(1)

    def counted(real):
        def call(*arguments, **named):
            if next(calls) == number:
                act()
            return None if real in flushing else real(*arguments, **named)

        return call

    flushing = {os.fsync, os.sync}
    real_open = os.open

    def opened(path, flags, *arguments, **named):
        if flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY) and next(calls) == number:
            act()
        return real_open(path, flags, *arguments, **named)

    for name in CHANGING.split():
        setattr(os, name, counted(getattr(os, name)))
    os.open = opened


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def child(body):
    """Run in a process of its own; whether that lived to its end."""
    if pid := os.fork():
        return os.waitpid(pid, 0)[1] == 0
    try:
        body()
    except BaseException as error:
        print(f"{error!r}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def committing(folder, number, act, second=None):
    """A child that commits and is interrupted; whether it lived to its end."""
    root = build(folder)

    def body():
        transaction = Transaction.begin(root, folder / "scratch", label="step")
        work(transaction.root)
        interrupt(number, act)
        if second is not None:
            interrupt(second, kill)
        with contextlib.suppress(SandboxError):
            transaction.commit()
            kept = (folder / "committed").open("w")
            kept.close()

    return child(body)


def recovering(folder, number):
    def body():
        interrupt(number, kill)
        Transaction.abandoned(folder / "scratch")

    return child(body)


def outcome(folder, old, new):
    settled = Transaction.abandoned(folder / "scratch")
    again = Transaction.abandoned(folder / "scratch")
    now = picture(folder / "project")
    line = {
        "is": "old" if now == old else "new" if now == new else "mixed",
        "committed": [one.committed for one in settled],
        "again": [one.committed for one in again],
        "changes": [len(one.changes) for one in settled],
        "left": sorted(p.name for p in (folder / "scratch").glob("*/*")),
        "difference": sorted(
            k for k in now.keys() | old.keys() | new.keys() if now.get(k) not in (old.get(k), new.get(k))
        ),
    }
    for one in again:
        one.forget()
    line["scratch"] = sorted(os.listdir(folder / "scratch"))
    return line


def main():
    folder, scenario = Path(sys.argv[1]), sys.argv[2]
    stride = int(sys.argv[3])
    if "nobody" in sys.argv[4:]:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.umask(0o022)
    old = picture(build(folder))
    assert committing(folder, 0, kill)
    new = picture(folder / "project")
    assert old != new
    for number in count(1, stride):
        if scenario == "kill":
            lived = committing(folder, number, kill)
            print(json.dumps({"number": number, "lived": lived, **outcome(folder, old, new)}))
        elif scenario == "full":
            explained = committing(folder, number, full)
            lived = (folder / "committed").exists()
            print(
                json.dumps(
                    {"number": number, "explained": explained, "returned": lived, **outcome(folder, old, new)}
                )
            )
        elif scenario == "kill, kill":
            lived = committing(folder, number, kill)
            for second in count(1, stride):
                committing(folder, number, kill)
                recovered = recovering(folder, second)
                print(json.dumps({"number": number, "second": second, **outcome(folder, old, new)}))
                if recovered:
                    break
        else:  # "full, kill"
            lived = False
            for second in count(number + 1, stride):
                finished = committing(folder, number, full, second)
                reached = (folder / "committed").exists()
                print(json.dumps({"number": number, "second": second, **outcome(folder, old, new)}))
                if finished:
                    lived = reached and second == number + 1
                    break
        if lived:
            return


if __name__ == "__main__":
    main()
