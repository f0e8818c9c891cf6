"""A model whose answers are written in a file, for tests of scripts.

    - The first answer.               # texts are given in their order, one each time
    - when: "(?i)colou?r"             # given whenever the pattern is found in the prompt
      answer: blue
    - when: "a number"
      answer: ["1", "2"]              # several are given in their order, too
    - when: "as JSON"
      json: {name: Ada, age: 36}
    - when: "never again"
      fails: the server is on fire    # the model fails with these words
    - answer: late
      seconds: 0.5                    # the answer takes its time

The file is YAML or JSON. Patterns come before the texts that wait for their turn, in the order of the file. A
token is a word here, so that what budgets do can be worked out by hand.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quanta_tissu.endpoint import rested
from quanta_tissu.errors import ConfigError, ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.protocol import OnText, Reply, Request
from quanta_tissu.tisslang.llm.templates import template

_KEYS = {"when", "answer", "json", "fails", "seconds"}
_FORM = 'texts, or objects such as {when: "a pattern", answer: "a text"}'


@dataclass(slots=True)
class Entry:
    """An entry of the file.

    Attributes:
        number: Which one, from 1.
        when: Pattern; None: it waits for its turn.
        answers: What is answered.
        repeats: Whether its only answer is given again and again.
        fails: Words to fail with instead.
        seconds: How long it takes.
        used: How many answers were given.
    """

    number: int
    when: re.Pattern[str] | None
    answers: list[str]
    repeats: bool = False
    fails: str | None = None
    seconds: float = 0.0
    used: int = 0

    @property
    def left(self) -> bool:
        """Whether it has an answer."""
        return self.repeats or self.used < max(1, len(self.answers))


@dataclass
class MockModel:
    """Answers from a list; see the head of this file.

    Args:
        entries: The list.
        name: Which model it is.
    """

    entries: list[Entry]
    name: str = "mock"
    _asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(cls, path: Path) -> MockModel:
        """Read a file.

        Raises:
            ModelError: It cannot be read, or is no list of answers.
        """
        from quanta_tissu.tisslm.config.yaml_text import parse_document

        try:
            document = parse_document(path.read_text(encoding="utf-8-sig"), str(path))[0]
        except OSError as error:
            raise ModelError(
                f"cannot read the answers of a mock from {path}: {error.strerror}", hint=f"a list of {_FORM}"
            ) from None
        except UnicodeDecodeError:
            raise ModelError(f"{path} is not UTF-8 text", hint=f"a list of {_FORM}") from None
        except ConfigError as error:
            raise ModelError(error.message, hint=error.hint) from None
        if not isinstance(document, list):
            raise ModelError(f"{path} is no list of answers", hint=f"a list of {_FORM}")
        return cls([_entry(number, one, path) for number, one in enumerate(document, 1)], f"mock:{path.name}")

    def count_tokens(self, request: Request) -> int:
        """Words of the conversation."""
        return sum(len(one.content.split()) for one in request.messages)

    def generate(
        self,
        request: Request,
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> Reply:
        """As `LanguageModel`: the next answer that fits.

        Raises:
            ModelError: There is none left, or the file says that it fails.
            ModelCancelledError: It was given up.
        """
        prompt = template(request.template or "plain").text(request.messages)
        entry, text = self._next(prompt)
        read = self.count_tokens(request)
        if rested(entry.seconds, cancelled):
            raise ModelCancelledError(f"{self.name} was not asked to the end", prompt_tokens=read)
        if entry.fails is not None:
            raise ModelError(f"{self.name}: {entry.fails}", hint=f"entry {entry.number} of its file says so")
        for stop in request.stop:
            text = text.partition(stop)[0]
        words = _pieces(text)
        kept = words[: request.max_tokens]
        if on_text is not None:
            for word in kept:
                on_text(word)
        return Reply("".join(kept), read, len(kept), "stop" if kept == words else "length", self.name)

    def _next(self, prompt: str) -> tuple[Entry, str]:
        with self._lock:
            self._asked += 1
            fitting = [one for one in self.entries if one.when is not None and one.when.search(prompt)]
            waiting = [one for one in self.entries if one.when is None]
            for entry in (*fitting, *waiting):
                if entry.left:
                    place = 0 if entry.repeats else entry.used
                    entry.used += 1
                    return entry, entry.answers[place] if entry.answers else ""
        used = f"; what fits entry {fitting[0].number} is used up" if fitting else ""
        last = prompt[-200:].strip()
        raise ModelError(
            f"{self.name} has no answer left for question {self._asked}{used}: {json.dumps(last)}",
            hint="add an answer to its file: a text, or `when` with a pattern that is in the prompt",
        )


def _pieces(text: str) -> list[str]:
    """Words with the blanks behind them; blanks at the beginning belong to the first."""
    return re.findall(r"\s*\S+\s*", text) or ([text] if text else [])


def _entry(number: int, given: Any, path: Path) -> Entry:
    where = f"entry {number} of {path}"
    if isinstance(given, str):
        return Entry(number, None, [given])
    if not isinstance(given, dict) or not given.keys() <= _KEYS:
        unknown = sorted(map(str, given.keys() - _KEYS)) if isinstance(given, dict) else [type(given).__name__]
        raise ModelError(f"{where} is not understood: {', '.join(unknown)}", hint=f"a list of {_FORM}")
    if sum(key in given for key in ("answer", "json", "fails")) != 1:
        raise ModelError(f"{where} has not exactly one of answer, json and fails", hint=f"a list of {_FORM}")
    when = given.get("when")
    seconds = given.get("seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
        raise ModelError(f"{where} takes {seconds!r} seconds", hint="a number from 0 to 3600")
    try:
        pattern = None if when is None else re.compile(str(when), re.DOTALL)
    except re.error as error:
        raise ModelError(
            f"the pattern of {where} is none: {error}", hint="a regular expression of Python"
        ) from None
    if "fails" in given:
        return Entry(number, pattern, [], pattern is not None, str(given["fails"]), seconds)
    answer = json.dumps(given["json"], ensure_ascii=False) if "json" in given else given["answer"]
    answers = answer if isinstance(answer, list) else [answer]
    if not answers or not all(isinstance(one, str) for one in answers):
        raise ModelError(f"{where} answers with what is no text", hint="put it in quotes, or write json:")
    return Entry(number, pattern, answers, pattern is not None and not isinstance(answer, list), None, seconds)
