"""Where `tissu chat` gets its messages: an editor line in a terminal, plain lines from a pipe or a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.errors import DataError

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

Reader = Callable[[], str]
"""Returns the next message. Raises EOFError at the end, KeyboardInterrupt if Ctrl-C cleared the line."""


def history_file(name: str = "chat_history") -> Path:
    """Where the lines typed in a terminal are remembered: `$XDG_STATE_HOME/tissu/chat_history`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "tissu" / name


def make_reader(commands: Iterable[str], settings: Iterable[str]) -> Reader:
    """A reader for whatever standard input is.

    Args:
        commands: Words for the Tab key at the beginning of a line.
        settings: Words for the Tab key after `/set`.
    """
    return _terminal_reader(commands, settings) if sys.stdin.isatty() else _read_lines


def _read_lines() -> str:
    """One message from a pipe: a line, with the next one as well while it ends with a backslash."""
    lines: list[str] = []
    while True:
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            raise DataError(f"standard input is not UTF-8 text: {error.reason}") from None
        if not line and not lines:
            raise EOFError
        line = line.removesuffix("\n")
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


def _terminal_reader(commands: Iterable[str], settings: Iterable[str]) -> Reader:
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession(
        history=history("chat_history"),
        key_bindings=enter_sends(),
        completer=_completer(commands, settings),
        complete_while_typing=False,
        multiline=True,
        prompt_continuation="… ",
    )
    return lambda: session.prompt("> ")


def history(name: str) -> History:
    """History on disk, readable by its owner alone; in memory if the disk does not let us."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_file(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        click.echo(f"what you type is not remembered: cannot write {path}: {error.strerror}", err=True)
        return InMemoryHistory()
    return FileHistory(path)


def enter_sends() -> KeyBindings:
    """Enter sends; after a backslash, and with Alt, it starts a new line."""
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: Any) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _completer(commands: Iterable[str], settings: Iterable[str]) -> Completer:
    """What the Tab key offers: commands at the beginning of a line, names of settings after `/set`."""
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class Words(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            before, space, word = document.text_before_cursor.rpartition(" ")
            offered = commands if not space else settings if before.strip() == "/set" else ()
            for candidate in offered:
                if word and candidate.startswith(word):
                    yield Completion(candidate, start_position=-len(word))

    return Words()
