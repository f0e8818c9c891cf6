"""What every language model does for a script, wherever it runs: a request is answered with a reply."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from quanta_tissu.errors import ModelError

Role = Literal["system", "user", "assistant"]

Finish = Literal["stop", "length"]

OnText = Callable[[str], None]
"""Called with each new piece of an answer as it comes; the pieces join to its text."""


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a conversation.

    Attributes:
        role: Who says it: "system" (what holds for all of it), "user" (who asks) or "assistant" (the model).
        content: What is said.

    Raises:
        ModelError: There is no such role, or the content is no text that UTF-8 can express.
    """

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise ModelError(f"{self.role!r} is no role", hint="system, user or assistant")
        if not isinstance(self.content, str):
            raise ModelError(f"what a message says is a text, not {type(self.content).__name__}")
        try:
            self.content.encode()
        except UnicodeEncodeError as error:
            raise ModelError(
                f"a message has half of a surrogate pair at position {error.start}, which UTF-8 cannot express",
                hint="read the text with errors='replace', or remove the character",
            ) from None


@dataclass(frozen=True, slots=True)
class Request:
    """A question to a model, and how it shall be answered.

    Attributes:
        messages: The conversation: perhaps a system message, then user and assistant in turn, a user's at the end.
        max_tokens: Tokens of the answer at most; None: as many as the model lets.
        temperature: How freely words are chosen, 0 for the likeliest; None: the model's own.
        seed: Of what is chosen by chance; None: another one each time.
        stop: Texts that end the answer; not part of it.
        schema: A JSON Schema that the answer must fit; None: any text.
        template: How the conversation is written for a model in this process (`templates.py`); None: as the model
            is used to.

    Raises:
        ModelError: One of them is not allowed.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | bool | None = None
    template: str | None = None

    def __post_init__(self) -> None:
        _check_turns(self.messages)
        _check_whole("max_tokens", self.max_tokens, 1)
        _check_whole("seed", self.seed, 0)
        temperature = self.temperature
        if temperature is not None and (
            isinstance(temperature, bool)
            or not isinstance(temperature, int | float)
            or not math.isfinite(temperature)
            or temperature < 0
        ):
            raise ModelError(f"temperature = {temperature!r} is not allowed", hint="a number from 0 on")
        if any(not isinstance(text, str) or not text for text in self.stop):
            raise ModelError("a stop text is empty, so there would be no answer at all", hint="remove it")

    def record(self) -> dict[str, Any]:
        """All that decides the answer, as JSON."""
        return {
            "messages": [{"role": one.role, "content": one.content} for one in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": None if self.temperature is None else float(self.temperature),
            "seed": self.seed,
            "stop": list(self.stop),
            "schema": self.schema,
            "template": self.template,
        }

    def digest(self) -> str:
        """Names the request: equal requests, and no others, have the same.

        Raises:
            ModelError: The schema is no JSON.
        """
        try:
            text = json.dumps(
                self.record(), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
            )
            return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        except (TypeError, ValueError) as error:
            raise ModelError(f"the schema is no JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer, and what it took.

    Attributes:
        text: The answer.
        prompt_tokens: Tokens of the conversation, as the model counts.
        completion_tokens: Tokens of the answer, those that end it included.
        finish: "stop": it was complete; "length": it was cut at `max_tokens`, or where the model's context ends.
        model: Which model it was.
        cost: What it cost, in the money that prices are given in.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Finish
    model: str
    cost: float = 0.0


class LanguageModel(Protocol):
    """A model that answers. It may be asked from several threads at once."""

    @property
    def name(self) -> str:
        """Which model it is, for people."""

    def generate(
        self,
        request: Request,
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> Reply:
        """Answer.

        Args:
            request: The question.
            on_text: Called with each piece of the answer as it comes.
            cancelled: When it is set, the answer is given up, between two tokens at the latest.

        Raises:
            ModelError: There is no answer; the message says why.
            ModelCancelledError: It was given up.
        """

    def count_tokens(self, request: Request) -> int:
        """Tokens of the prompt; where only a server knows, no fewer than that.

        Raises:
            ModelError: The request cannot be expressed.
        """


def count_at_most(request: Request) -> int:
    """More tokens than any model makes of a conversation.

    A token is at least one byte of text, or marks a turn, of which templates need fewer than eight.
    """
    schema = 0 if request.schema is None else len(json.dumps(request.schema).encode())
    return schema + sum(len(one.content.encode()) + 8 for one in request.messages) + 8


def _check_turns(messages: Sequence[Message]) -> None:
    turns = [one.role for one in messages]
    if turns[:1] == ["system"]:
        turns = turns[1:]
    if not turns or any(role != ("user", "assistant")[place % 2] for place, role in enumerate(turns)):
        raise ModelError(
            f"a conversation of {', '.join(one.role for one in messages) or 'nothing'} cannot be answered",
            hint="perhaps one system message first, then user and assistant in turn",
        )
    if turns[-1] != "user":
        raise ModelError("there is nothing to answer: the last message is the model's own")


def _check_whole(name: str, value: object, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ModelError(f"{name} = {value!r} is not allowed", hint=f"a whole number from {least} on")
