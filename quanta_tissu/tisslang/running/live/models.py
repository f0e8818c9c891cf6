"""Answers of models, as scripts ask for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quanta_tissu.errors import AnswerFormError, ModelCancelledError, ModelError
from quanta_tissu.tisslang.engine.budgets import Usage
from quanta_tissu.tisslang.engine.effects import AskModel, Effect, EstimateBlock, Outcome
from quanta_tissu.tisslang.engine.values import Value, as_text, is_number, shown
from quanta_tissu.tisslang.llm import data
from quanta_tissu.tisslang.llm.asking import ask, prepared
from quanta_tissu.tisslang.llm.openai import Price
from quanta_tissu.tisslang.llm.opening import open_model
from quanta_tissu.tisslang.llm.personas import persona
from quanta_tissu.tisslang.llm.protocol import LanguageModel, Message, Reply, Request
from quanta_tissu.tisslang.llm.schemas import schema_of

ATTEMPTS = 3
"""How often a model is asked at most for an answer that fits a schema."""

_LONGEST_ANSWER = 4096
"""Tokens that an answer is reckoned to have at most, if `@max_tokens` says nothing."""


class Models:
    """The models of a run, opened when they are first asked.

    Args:
        specs: Models by the names that `@model` gives them; that of the empty name is asked by default.
        root: The project's folder: where personas and the files of models are.
        prices: What a million tokens of a prompt and of an answer cost.
    """

    def __init__(self, specs: Mapping[str, str], root: Path, prices: tuple[float, float]) -> None:
        self._specs = dict(specs)
        self._root = root
        self._prices = prices
        self._opened: dict[str, LanguageModel] = {}
        self._lock = threading.Lock()

    def estimate(self, action: AskModel) -> Usage:
        """What an answer costs at most; nothing, if there can be none."""
        try:
            model, request = self._question(action, limited=True)
            prompt = model.count_tokens(request if request.schema is None else prepared(request))
        except ModelError:
            return Usage(1)  # asking says what is wrong
        answer = request.max_tokens or _LONGEST_ANSWER
        times = 1 if request.schema is None else ATTEMPTS
        # A further attempt is shown the answer before, and what is wrong with it.
        tokens = sum(prompt + answer + number * 2 * answer for number in range(times))
        price_in, price_out = self._prices
        cost = ((tokens - times * answer) * price_in + times * answer * price_out) / 1e6
        return Usage(times, tokens, cost)

    def estimate_block(self, block: EstimateBlock) -> str:
        """What a block costs at most, in a sentence."""
        total, endless = Usage(), False
        for action, times in block.prompts:
            if times is None:
                endless = True
            else:
                one = self.estimate(action)
                total += Usage(one.calls * times, one.tokens * times, one.cost * times)
        commands = "any number of commands" if block.commands is None else _count(block.commands, "command")
        least = "at least" if endless else "at most"
        money = f", {total.cost:.4g} of money" if total.cost else ""
        return f"{least} {_count(total.calls, 'model call')}, {_count(total.tokens, 'token')}{money}; {commands}"

    def perform(
        self,
        effect: Effect,
        action: AskModel,
        on_text: Callable[[str], None],
        cancelled: threading.Event,
    ) -> Outcome:
        """Ask.

        Args:
            effect: What it is for.
            action: The question.
            on_text: Gets the answer as it comes.
            cancelled: Ends it when it is set.
        """
        began = time.monotonic()
        stop = _Deadline(cancelled, effect.seconds_left)
        try:
            model, request = self._question(action, limited=bool(effect.budgets))
            answer = ask(model, request, attempts=ATTEMPTS, on_text=on_text, cancelled=stop)
        except ModelCancelledError as error:
            usage = Usage(1, error.prompt_tokens + error.completion_tokens, error.cost)
            seconds = time.monotonic() - began
            if cancelled.is_set():
                said = ("R211", "the question was given up, because something else failed")
            else:
                said = ("R205", "the time is over: the answer was given up")
            return Outcome(problem=said, seconds=seconds, usage=usage)
        except AnswerFormError as error:
            seconds = time.monotonic() - began
            problem = ("R207", error.message)
            return Outcome(problem=problem, help=error.hint, seconds=seconds, usage=_spent(error.replies))
        except ModelError as error:
            return Outcome(problem=("R206", error.message), help=error.hint, seconds=time.monotonic() - began)
        value: Value = answer.text if action.schema is None else answer.value
        return Outcome(value=value, seconds=time.monotonic() - began, usage=_spent(answer.replies))

    def _question(self, action: AskModel, *, limited: bool) -> tuple[LanguageModel, Request]:
        """What is asked, and whom; `limited`: an answer may be no longer than it is reckoned to be."""
        settings = action.settings
        model = self._model(as_text(settings.get("model", "")))
        said: list[str] = []
        if (name := settings.get("persona")) is not None:
            said.append(persona(as_text(name), self._root).text)
        if (language := settings.get("language")) is not None:
            said.append(f"Code is written in {as_text(language)}.")
        if (output := settings.get("output")) is not None:
            said.append(f"Answer with nothing but {as_text(output)}.")
        prompt = as_text(action.prompt)
        if "<<<data " in prompt:
            said.append(data.RULE)
        system = (Message("system", "\n\n".join(said)),) if said else ()
        temperature = _number(settings, "temperature")
        return model, Request(
            (*system, Message("user", prompt)),
            max_tokens=_whole(settings, "max_tokens") or (_LONGEST_ANSWER if limited else None),
            temperature=temperature,
            seed=_whole(settings, "seed"),
            schema=None if action.schema is None else schema_of(action.schema),
            template=None if (one := settings.get("template")) is None else as_text(one),
        )

    def _model(self, name: str) -> LanguageModel:
        spec = self._specs.get(name, name)
        if not spec:
            raise ModelError(
                "the script asks a model, and none is named",
                hint="--model FOLDER, --model https://host/v1#NAME, or @model in the script",
            )
        with self._lock:
            if spec not in self._opened:
                price = Price(*self._prices) if any(self._prices) else None
                self._opened[spec] = open_model(
                    spec, base=self._root, price=price, confined=name not in self._specs
                )
            return self._opened[spec]


def _spent(replies: Sequence[Reply]) -> Usage:
    return Usage(
        len(replies),
        sum(one.prompt_tokens + one.completion_tokens for one in replies),
        sum(one.cost for one in replies),
    )


class _Deadline(threading.Event):
    """An event that is also set when the time is over."""

    def __init__(self, other: threading.Event, seconds: float | None) -> None:
        super().__init__()
        self._other = other
        self._until = None if seconds is None else time.monotonic() + seconds

    def is_set(self) -> bool:
        return (
            super().is_set()
            or self._other.is_set()
            or (self._until is not None and time.monotonic() >= self._until)
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _number(settings: Mapping[str, Value], name: str) -> float | None:
    value = settings.get(name)
    if value is None:
        return None
    if not is_number(value):
        raise ModelError(f"@{name} is {shown(value)}", hint="it is a number")
    return float(value)


def _whole(settings: Mapping[str, Value], name: str) -> int | None:
    value = _number(settings, name)
    if value is None:
        return None
    if not value.is_integer():
        raise ModelError(f"@{name} is {value:g}", hint="it is a whole number")
    return int(value)
