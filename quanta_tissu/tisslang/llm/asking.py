"""Asking a model: for a text, or for JSON that fits a schema.

A request with a schema gets a sentence that says so, and models that can be held to a schema are. Every answer is
checked all the same. What does not fit goes back to the model with what is wrong at which place, a few times at
most; if the model answers the same again, it is given up at once.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from quanta_tissu.errors import AnswerFormError, ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.protocol import LanguageModel, Message, OnText, Reply, Request
from quanta_tissu.tisslang.llm.schemas import Schema, check, violations

_MOST_FINDINGS = 20
_MOST_BEGINNINGS = 30  # of a value within other text: each may be read to the end in vain
_FENCE = re.compile(r"```[A-Za-z]*[ \t]*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    Attributes:
        text: Its last answer.
        value: The value that it stands for, if a schema was given.
        replies: All that it answered, with what they cost.
    """

    text: str
    value: Any
    replies: tuple[Reply, ...]

    @property
    def cost(self) -> float:
        """What all of it cost."""
        return sum(one.cost for one in self.replies)

    @property
    def tokens(self) -> int:
        """Tokens of all prompts and answers."""
        return sum(one.prompt_tokens + one.completion_tokens for one in self.replies)


def ask(
    model: LanguageModel,
    request: Request,
    *,
    attempts: int = 3,
    on_text: OnText | None = None,
    cancelled: threading.Event | None = None,
) -> Answer:
    """Ask a model, and again if its answer does not fit the request's schema.

    Args:
        model: Who is asked.
        request: What.
        attempts: How often it is asked at most, if there is a schema.
        on_text: Called with each piece of its answers as they come.
        cancelled: When it is set, the answer is given up.

    Raises:
        ModelError: There is no answer, or the schema is none.
        AnswerFormError: No answer fits the schema.
        ModelCancelledError: It was given up.
    """
    if request.schema is None:
        reply = model.generate(request, on_text, cancelled)
        return Answer(reply.text, None, (reply,))
    check(request.schema)
    first = asked = prepared(request)
    replies: list[Reply] = []
    wrong: list[str] = []
    while len(replies) < attempts:
        try:
            reply = model.generate(asked, on_text, cancelled)
        except ModelCancelledError as error:
            error.prompt_tokens += sum(one.prompt_tokens for one in replies)
            error.completion_tokens += sum(one.completion_tokens for one in replies)
            error.cost += sum(one.cost for one in replies)
            raise
        except ModelError as error:
            if replies and type(error) is ModelError:  # the correction may be too long for the model, for one
                raise _given_up(model, wrong, replies, error.message) from None
            raise
        replies.append(reply)
        value, wrong = _judged(request.schema, reply)
        if not wrong:
            return Answer(reply.text, value, tuple(replies))
        if len(replies) > 1 and reply.text == replies[-2].text:
            raise _given_up(model, wrong, replies, "it answers the same again")
        again = Message("user", _correction(wrong))
        asked = replace(first, messages=(*first.messages, Message("assistant", reply.text), again))
    raise _given_up(model, wrong, replies, None)


def prepared(request: Request) -> Request:
    """The request that is made first: one with a schema says so in words, too."""
    if request.schema is None:
        return request
    *before, last = request.messages
    schema = json.dumps(request.schema, ensure_ascii=False)
    words = f"{last.content}\n\nAnswer with JSON that fits this JSON Schema, and with nothing else:\n{schema}"
    return replace(request, messages=(*before, Message("user", words)))


def read_json(text: str) -> Any:
    """The value that an answer stands for: all of it, or what is fenced in it, or its first object or list.

    Raises:
        ValueError: There is none; the message says why the whole text is none.
    """
    problem = None
    for piece in _pieces(text):
        try:
            return _strictly(piece)
        except ValueError as error:
            problem = problem or error
    decoder = json.JSONDecoder(object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    for found in islice(re.finditer(r"[{\[]", text), _MOST_BEGINNINGS):
        try:
            value = decoder.raw_decode(text, found.start())[0]
        except (ValueError, RecursionError):
            continue
        return _sound(value)
    raise problem or ValueError("there is nothing in it")


def _pieces(text: str) -> Iterator[str]:
    yield text.strip()
    for found in _FENCE.finditer(text):
        yield found[1].strip()


def _strictly(text: str) -> Any:
    try:
        return _sound(json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_no_constant))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _sound(value: Any) -> Any:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it has half of a surrogate pair") from None
    except ValueError:
        raise ValueError("a number in it is too large") from None
    return value


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _judged(schema: Schema, reply: Reply) -> tuple[Any, list[str]]:
    """The value of an answer, and what is wrong with it."""
    try:
        value = read_json(reply.text)
    except ValueError as error:
        cut = "; it was cut off, so answer shorter" if reply.finish == "length" else ""
        return None, [f"$: this is no JSON: {error}{cut}"]
    found = [f"{path}: {what}" for path, what in violations(schema, value)]
    more = len(found) - _MOST_FINDINGS
    return value, [*found[:_MOST_FINDINGS], *([f"... and {more} more"] if more > 0 else [])]


def _correction(wrong: list[str]) -> str:
    lines = "\n".join(f"- {one}" for one in wrong)
    return (
        f"That does not fit the schema:\n{lines}\n\nAnswer again, with the whole corrected JSON and nothing else."
    )


def _given_up(model: LanguageModel, wrong: list[str], replies: list[Reply], why: str | None) -> AnswerFormError:
    times = "once" if len(replies) == 1 else f"{len(replies)} times"
    lines = "\n".join(f"  {one}" for one in wrong)
    return AnswerFormError(
        f"{model.name} was asked {times}, and its answer does not fit the schema"
        + (f" ({why})" if why else "")
        + f":\n{lines}",
        replies=tuple(replies),
        hint="make the schema or the prompt simpler, allow more tokens, or take a more able model",
    )
