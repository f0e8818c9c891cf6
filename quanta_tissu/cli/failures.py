"""The one place where exceptions become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from enum import IntEnum

import click

from quanta_tissu.errors import TissuError

DEBUG_VARIABLE = "TISSU_DEBUG"


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    BUG = 70
    WAITING = 75
    INTERRUPTED = 130
    PIPE = 141


EXIT_CODES = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "it could not be done: data, checkpoint, file or machine",
    ExitCode.USAGE: "the command line or the configuration is wrong",
    ExitCode.BUG: "an unexpected error, which is ours: please report it",
    ExitCode.WAITING: "a run waits for a person; `tissu resume` goes on with it",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.PIPE: "the reader of the output went away",
}


_REMEDIES = {
    errno.ENOENT: "is its name right? `ls` shows what is there",
    errno.EACCES: "`ls -ld` shows who may read and write it and its folder",
    errno.EPERM: "`ls -ld` shows who may read and write it and its folder",
    errno.EISDIR: "name a file; this is a folder",
    errno.ENOTDIR: "one of the folders in its name is a file",
    errno.EEXIST: "name another one, or move that one away",
    errno.ENOSPC: "make room on the disk, and do it again",
    errno.EDQUOT: "make room on the disk, and do it again",
    errno.EROFS: "nothing can be written there: name a place elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "links lead round in a circle: name the file itself",
    errno.EMFILE: "let a process have more files open: `ulimit -n 4096`",
    errno.EIO: "the disk or the device failed: `dmesg` may say why",
}


def remedy(error: OSError) -> str | None:
    """What users can do about an error of the operating system; None where that depends on too much."""
    return _REMEDIES.get(error.errno or 0)


def report(error: BaseException) -> int:
    """Tell the user about an exception on standard error.

    Args:
        error: What ended the command.

    Returns:
        The exit code.
    """
    if isinstance(error, (click.Abort, KeyboardInterrupt)):  # Abort is Click's name for Ctrl-C
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    if isinstance(error, click.ClickException):
        _report_usage(error)
        return error.exit_code
    if isinstance(error, TissuError):
        _say(error.message, error.hint)
        _trace(error)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        _say(": ".join(str(part) for part in (error.strerror, error.filename) if part is not None), remedy(error))
        _trace(error)
        return ExitCode.FAILURE
    if isinstance(error, MemoryError):
        _say(
            f"out of memory{f': {error}' if str(error) else ''}",
            "give it less at once: a smaller file; with a model a smaller one, train.batch_size or "
            "model.context_length",
        )
        _trace(error)
        return ExitCode.FAILURE
    _say(
        f"unexpected {type(error).__name__}: {error}",
        None
        if _debugging()
        else f"this is a bug in tissu: please report it with what you did, the output of `tissu doctor` and the "
        f"traceback that {DEBUG_VARIABLE}=1 shows",
    )
    _trace(error)
    return ExitCode.BUG


def _report_usage(error: click.ClickException) -> None:
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()  # a group without its sub-command: the message is the help
        return
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows what it takes" if context else None
    _say(error.format_message(), hint)


def silence_output() -> None:
    """Let nothing more reach standard output, so that Python's own flush at exit cannot complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _say(message: str, hint: str | None) -> None:
    rank = os.environ.get("RANK", "0")  # set by torchrun, whose processes share a terminal
    message = message if rank == "0" else f"[process {rank}] {message}"
    color = False if os.environ.get("NO_COLOR") else None  # None: only on a terminal
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True, color=color)
    if hint is not None:
        click.echo(click.style("  help: ", fg="cyan") + hint, err=True, color=color)


def _trace(error: BaseException) -> None:
    if _debugging():
        traceback.print_exception(error)


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}
