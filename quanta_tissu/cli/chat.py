"""`tissu chat`: talk to a model in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.chat_input import Reader, make_reader
from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.conversation import Conversation
from quanta_tissu.cli.generation_options import ENGINE_OPTION, generation_options, given_settings, visible
from quanta_tissu.errors import ConfigError, TissuError
from quanta_tissu.tisslm.wording import counted

if TYPE_CHECKING:
    from quanta_tissu.tisslm.language_model import LanguageModel

MEANINGLESS = {"num_samples": "a chat has one answer at a time", "logprobs": "a chat shows text only"}
"""Settings that a chat cannot have, and why."""


@click.command("chat", cls=KernelCommand)
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option("--raw", is_flag=True, help="No names: the model continues exactly what is typed.")
@click.option("--user", default="User", show_default=True, help="Your name in the dialogue.")
@click.option("--assistant", default="Assistant", show_default=True, help="The model's name in the dialogue.")
@generation_options(without=MEANINGLESS)
@ENGINE_OPTION
def command(checkpoint: str, raw: bool, user: str, assistant: str, engine: str | None, **_: Any) -> None:
    """Talk to a model in the terminal.

    CHECKPOINT is a folder such as runs/demo/best. A model that has learned plain text has no chat format, so it is
    shown the conversation as a dialogue to continue:

    \b
      User: your message
      Assistant: its answer, which ends where it begins the line "User:"

    Enter sends; a backslash before it, or Alt-Enter, starts a new line. Ctrl-C stops the answer, Ctrl-D leaves.
    Inside, /help lists the commands. Messages can also be piped in, one a line. What is typed in a terminal is
    remembered in $XDG_STATE_HOME/tissu/chat_history (by default ~/.local/state).

    \b
    Examples:
      tissu chat runs/demo/best
      tissu chat runs/demo/best --raw --temperature 0.7 --max-new-tokens 100
    """
    settings = given_settings(click.get_current_context())
    for name, reason in MEANINGLESS.items():
        if name in settings:
            raise _meaningless(name, reason)

    from quanta_tissu.tisslm.language_model import load

    chat = Chat(load(checkpoint, engine), checkpoint, Conversation(user, assistant, raw), settings)
    chat.run(make_reader(chat.commands, [f"{name}=" for name in chat.settings]))


class Chat:
    """The loop: a message is answered, a line that begins with a slash is obeyed.

    Args:
        model: Who answers.
        checkpoint: Where it came from, for /show and /save.
        conversation: The format, and what was said before.
        chosen: Generation settings that differ from the checkpoint's.
    """

    def __init__(
        self, model: LanguageModel, checkpoint: str, conversation: Conversation, chosen: dict[str, Any]
    ) -> None:
        from quanta_tissu.cli.console import OutputConsole

        self._model = model
        self._checkpoint = checkpoint
        self._conversation = conversation
        self._chosen = chosen
        self._leaving = False
        self._console = OutputConsole(markup=False, highlight=False, emoji=False, soft_wrap=True)
        self.commands: dict[str, tuple[Callable[[str], None], str, str]] = {
            "/set": (self._set, "NAME=VALUE", "Change a generation setting: /set temperature=0.7"),
            "/show": (self._show, "", "Show the settings, the model and how full its context is."),
            "/save": (self._save, "FILE", "Write the conversation: as text, or as JSON if FILE ends in .json."),
            "/reset": (self._reset, "", "Forget the conversation; settings stay."),
            "/help": (self._help, "", "Show this list."),
            "/quit": (self._quit, "", "Leave, as Ctrl-D does."),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """All generation settings that a chat has, with their values."""
        values = self._model.settings(**self._chosen).model_dump()
        return {name: value for name, value in values.items() if name not in MEANINGLESS}

    def run(self, read: Reader) -> None:
        """Read and answer until the end."""
        if sys.stdin.isatty():
            self._console.print(f"{self._model!r} from {self._checkpoint}", style="dim")
            self._console.print("/help lists the commands; Ctrl-D leaves", style="dim")
        while not self._leaving:
            try:
                line = read()
            except EOFError:
                return
            except KeyboardInterrupt:
                if not sys.stdin.isatty():
                    raise
                self._console.print("(Ctrl-D leaves)", style="dim")
                continue
            try:
                self._obey(line) if line.startswith("/") and not line.startswith("//") else self._answer(line)
            except TissuError as error:
                self._console.print(f"error: {error}", style="red")

    # -- messages ------------------------------------------------------------------------------------------------

    def _answer(self, line: str) -> None:
        message = line.removeprefix("/") if line.startswith("//") else line
        if not message.strip():
            return
        pieces = self._model.stream(self._conversation.prompt(message), **self._answer_settings())
        answer = ""
        try:
            for piece in pieces:
                shown = piece if answer or self._conversation.raw else piece.lstrip()
                answer += shown
                self._console.print(visible(shown), end="")
                self._console.file.flush()
        except KeyboardInterrupt:
            self._console.print(" [stopped]", style="dim", end="")
        finally:
            self._console.print()
        for special in self._model.tokenizer.special_tokens:
            answer = answer.replace(special, "")  # spelled out in ordinary tokens, it would be refused as a prompt
        self._conversation.add(message, answer)

    def _answer_settings(self) -> dict[str, Any]:
        """The settings of one answer; a seed moves on with every turn, or all would draw the same numbers."""
        settings = self._model.settings(**self._chosen)
        seed = None if settings.seed is None else settings.seed + len(self._conversation.turns)
        chosen = {"stop": [*settings.stop, *self._conversation.stop], "seed": seed}
        return self._chosen | chosen | {"num_samples": 1, "logprobs": None}

    # -- commands ------------------------------------------------------------------------------------------------

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        argument = argument.strip()
        if name not in self.commands:
            close = get_close_matches(name, self.commands, n=1)
            raise ConfigError(
                f"there is no command {name}",
                hint=f"did you mean {close[0]}?"
                if close
                else "/help lists them; // begins a message with a slash",
            )
        run, parameter, _ = self.commands[name]
        if bool(argument) != bool(parameter):
            usage = f"{name} {parameter}".strip()
            raise ConfigError(
                f"{name} takes {'a value' if parameter else 'no value'}", hint=f"write it like this: {usage}"
            )
        run(argument)

    def _set(self, argument: str) -> None:
        from quanta_tissu.tisslm.config.load import config_from_mapping
        from quanta_tissu.tisslm.config.yaml_text import parse_value

        name, equals, text = (part.strip() for part in argument.partition("="))
        if not equals or not text:
            raise ConfigError(f"/set {argument}: not of the form NAME=VALUE", hint="/set temperature=0.7")
        if name in MEANINGLESS:
            raise _meaningless(name, MEANINGLESS[name])
        value = parse_value(text, f"/set {argument}")
        config_from_mapping({"generate": {name: value}}, "/set")
        self._chosen[name] = value
        self._console.print(f"{name} = {_as_text(self.settings[name])}", style="dim")

    def _show(self, argument: str) -> None:
        from rich.table import Table

        table = Table("setting", "value", "", box=None, pad_edge=False)
        for name, value in self.settings.items():
            table.add_row(name, _as_text(value), "changed" if name in self._chosen else "")
        self._console.print(table)
        context = self._model.decoder.config.context_length
        tokens = len(self._model.tokenizer.encode(self._conversation.text()))
        self._console.print(
            f"conversation: {counted(len(self._conversation.turns), 'answer')}, {counted(tokens, 'token')} of a "
            f"context of {context}\n"
            f"model: {self._model!r} from {self._checkpoint}"
        )

    def _save(self, argument: str) -> None:
        path = Path(argument).expanduser()
        text = self._as_json() if path.suffix == ".json" else self._conversation.text()
        try:
            with path.open("x", encoding="utf-8") as file:  # "x" refuses to write over a file
                file.write(text)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}", hint="choose another name") from None
        self._console.print(f"saved {counted(len(self._conversation.turns), 'answer')} to {path}", style="dim")

    def _as_json(self) -> str:
        content = {
            "checkpoint": self._checkpoint,
            "settings": self.settings,
            "turns": [{"message": message, "answer": answer} for message, answer in self._conversation.turns],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def _reset(self, argument: str) -> None:
        self._conversation.turns.clear()
        self._console.print("the conversation is forgotten", style="dim")

    def _help(self, argument: str) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        for name, (_, parameter, meaning) in self.commands.items():
            table.add_row(f"{name} {parameter}", meaning)
        table.add_row("//...", "Send a message that begins with a slash.")
        table.add_row("Enter", "Send. After a backslash, or with Alt: a new line.")
        table.add_row("Ctrl-C", "Stop the answer; at the prompt: clear the line.")
        self._console.print(table)

    def _quit(self, argument: str) -> None:
        self._leaving = True


def _meaningless(name: str, reason: str) -> ConfigError:
    return ConfigError(f"{name} cannot be set here: {reason}", hint="use `tissu generate`")


def _as_text(value: Any) -> str:
    """A setting as it would be typed."""
    return json.dumps(value, ensure_ascii=False)
