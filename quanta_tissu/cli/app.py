"""The top of the `tissu` command: a group that imports a sub-command only when it is called.

`tissu --help` has to answer in under 0.3 s, so nothing heavier than Click is imported here: the help lists the
summaries below, and a test holds them equal to the sub-commands' own.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import click

from quanta_tissu.cli.failures import DEBUG_VARIABLE, EXIT_CODES, ExitCode, report, silence_output

# Heading of the help -> command -> (module, summary).
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("init", "Start a project folder with a commented configuration."),
        "doctor": ("doctor", "Check this machine and this installation, and say what to do."),
    },
    "Work with a model": {
        "train": ("train", "Train a model, or go on with an interrupted run."),
        "evaluate": ("evaluate", "Measure loss, perplexity and bits per byte on a text."),
        "generate": ("generate", "Continue a prompt."),
        "chat": ("chat", "Talk to a model in the terminal."),
        "convert": ("convert", "Turn a sharded checkpoint into one directory, or back."),
        "import": ("import_", "Turn another project's weights into a checkpoint."),
    },
    "Text": {
        "tokenizer": ("tokenizer", "Train a tokenizer, and see what it does to a text."),
        "data": ("data", "Prepare a token dataset, and count what is in a source."),
    },
    "Keep": {
        "db": ("db", "Keep documents, query and search them, and see who changed what."),
        "kb": ("kb", "Ask files: passages by words and meaning, answers with citations."),
        "memory": ("memory", "Remember for agents: conversations, facts, skills."),
    },
    "Let a model act": {
        "lang": ("lang", "Check, format and explain scripts of TissLang (.tiss)."),
        "run": ("run.run", "Run a script: check it, do what it says, record all of it."),
        "resume": ("run.resume", "Go on with a run that died, waits for a person, or failed."),
        "replay": ("run.replay", "Tell a run again from its record: nothing is done or written."),
        "runs": ("runs.runs", "List the runs of a project, the latest last."),
        "report": ("runs.report", "Make a page of a run that people read: one file, without scripts."),
        "audit": ("runs.audit", "Prove that records of runs are what was written."),
        "secret": ("runs.secret", "Keep passwords and keys that runs use and never record."),
    },
    "Look inside": {
        "inspect": ("inspect", "Look at a model's parameters and at its attention."),
        "gradcheck": ("gradcheck", "Prove every gradient against finite differences."),
        "profile": ("profile", "Show where the time goes, against what this machine can do."),
    },
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}

EPILOG = (
    "\b\nExamples:\n"
    "  tissu train --preset demo --out runs/demo        learn Python's own documentation in minutes\n"
    '  tissu generate runs/demo/best --prompt "def "    continue a prompt\n'
    "  tissu train --help                               every command explains itself\n"
    "\n\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in EXIT_CODES.items())
)


class LazyGroup(click.Group):
    """A Click group whose sub-commands are modules of `quanta_tissu.cli`, each exporting `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"quanta_tissu.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to run; a misspelled one gets a suggestion."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"commands: {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing the commands."""
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, summary) for name, (_, summary) in commands.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line; a reader that went away (`tissu --help | head -1`) ends it without a word."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError:
            raise _end_of_pipe() from None

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a reader that went away ends it without a word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _end_of_pipe() from None


def _end_of_pipe() -> click.exceptions.Exit:
    silence_output()
    return click.exceptions.Exit(ExitCode.PIPE)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from quanta_tissu.cli.environment import version_line

    click.echo(version_line())
    ctx.exit()


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ[DEBUG_VARIABLE] = "1"  # child processes should be as talkative


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of tissu, Python, NumPy with its BLAS, and the engine.",
)
@click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_debug,
    help=f"Show the traceback of unexpected errors (as {DEBUG_VARIABLE}=1 does).",
)
@click.pass_context
def app(ctx: click.Context) -> None:
    """Train, evaluate and use language models that can be read to the bottom."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _open_closed_streams() -> None:
    """Let what is written to a closed stream (`tissu ... >&-`) go nowhere, as its user wants.

    Also no file gets its descriptor then, which a library that writes to "standard output" would write into.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 as long as the process


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        args: The command line without the program's name; null takes the process's.

    Returns:
        The exit code.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Latin-1 terminal must not end a long run
    try:
        code = app.main(args=args, prog_name="tissu", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_output()
        return ExitCode.PIPE
    except (Exception, KeyboardInterrupt) as error:
        return report(error)
    return code if isinstance(code, int) else ExitCode.OK
