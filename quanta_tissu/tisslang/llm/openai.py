"""Models of any server that speaks OpenAI's `POST /v1/chat/completions`, streamed.

The server writes the conversation in the form its model knows, so a request must not name a template. A schema is
sent as `response_format`; a server that knows none is asked without, since answers are checked anyway
(`asking.py`). Tokens are those that the server counts; if it does not say, no fewer than it can have been.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from quanta_tissu.endpoint import Cancelled, Endpoint, Refusal
from quanta_tissu.errors import ConfigError, ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.protocol import Finish, OnText, Reply, Request, count_at_most

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in any money.

    Attributes:
        prompt: A million tokens of prompts.
        completion: A million tokens of answers.
    """

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _MILLION


class EndpointModel:
    """A model of a server.

    Args:
        url: Where its interface begins, `http://localhost:11434/v1` for example.
        model: The model's name there.
        key: The API key, if it wants one; it is sent to this address only, and unencrypted to this machine only.
        price: What tokens cost; None: nothing.
        timeout: Seconds to wait for a sign of life.
        tries: How often a request is made that the server is too busy for, or that does not reach it.

    Raises:
        ModelError: The address is none, or the key would be sent unencrypted to another machine.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        price: Price | None = None,
        timeout: float = 120.0,
        tries: int = 4,
    ) -> None:
        self.name = f"{model} at {url}"
        self._model = model
        self._price = price or Price(0.0, 0.0)
        if key is not None and url.startswith("http:") and not _is_here(urlsplit(url).hostname or ""):
            raise ModelError(f"the key of {url} would be sent unencrypted", hint="use https, or take the key away")
        try:
            self._endpoint = Endpoint(
                f"{url.rstrip('/')}/chat/completions",
                key=key,
                timeout=timeout,
                tries=tries,
                error=ModelError,
                does="write text",
            )
        except ConfigError as error:
            raise ModelError(error.message, hint=error.hint) from None

    def __repr__(self) -> str:
        return f"<EndpointModel {self.name}>"

    def count_tokens(self, request: Request) -> int:
        """No fewer than the server's model makes of it."""
        return count_at_most(request)

    def generate(
        self,
        request: Request,
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> Reply:
        """As `LanguageModel`.

        Raises:
            ModelError: The request names a template; the server refuses, cannot be reached, breaks off, holds the
                answer back or answers with something else.
            ModelCancelledError: It was given up.
        """
        if request.template is not None:
            raise ModelError(
                f"the template {request.template!r} cannot be chosen for {self.name}: servers use their own",
                hint="remove @template, or use a checkpoint in this process",
            )
        body = self._body(request)
        while True:
            answer = _Answer(on_text)
            try:
                events = self._endpoint.stream(body, cancelled=cancelled, again=answer.is_empty)
                self._listen(events, answer)
                return self._reply(request, answer)
            except Cancelled:
                read = answer.usage.get("prompt_tokens", count_at_most(request))
                written = answer.usage.get("completion_tokens", len(answer.text.encode()))
                raise ModelCancelledError(
                    f"the answer of {self.name} was given up",
                    prompt_tokens=read,
                    completion_tokens=written,
                    cost=self._price.of(read, written),
                ) from None
            except Refusal as refusal:
                simpler = _simpler(body, refusal)
                if simpler is None:
                    raise self._endpoint.refused(refusal) from None
                body = simpler

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        given = {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "stop": list(request.stop) or None,
        }
        body |= {name: value for name, value in given.items() if value is not None}
        if isinstance(request.schema, Mapping):
            form = {"name": "answer", "schema": request.schema, "strict": is_strict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def _listen(self, events: Iterator[Any], answer: _Answer) -> None:
        for event in events:
            try:
                if event.get("error"):
                    error = event["error"]
                    said = error.get("message", error) if isinstance(error, dict) else error
                    raise ModelError(
                        f"{self._endpoint.url} broke off: {said}", hint="the server's own log may say why"
                    )
                answer.take(event)
            except (TypeError, KeyError, IndexError, AttributeError) as error:
                raise self._endpoint.wrong(
                    f"is not what was asked for ({type(error).__name__}: {error})"
                ) from None

    def _reply(self, request: Request, answer: _Answer) -> Reply:
        if answer.refusal:
            raise ModelError(f"{self.name} refuses to answer: {answer.refusal}", hint="ask in another way")
        if answer.finish == "content_filter":
            raise ModelError(f"the filter of {self.name} held the answer back", hint="ask in another way")
        finishes: dict[str | None, Finish] = {"stop": "stop", "length": "length"}
        if answer.finish not in finishes:
            how = "broke off" if answer.finish is None else f"ends with {answer.finish!r}, which was not asked for"
            raise ModelError(
                f"the answer of {self.name} {how}", hint="ask again; the server's own log may say why"
            )
        read = answer.usage.get("prompt_tokens", count_at_most(request))
        written = answer.usage.get("completion_tokens", len(answer.text.encode()) + 1)
        return Reply(
            answer.text, read, written, finishes[answer.finish], answer.model or self._model,
            self._price.of(read, written),
        )  # fmt: skip


class _Answer:
    """What has come of an answer so far."""

    def __init__(self, on_text: OnText | None) -> None:
        self.finish: str | None = None
        self.usage: dict[str, int] = {}
        self.model: str | None = None
        self.refusal = ""
        self._on_text = on_text
        self._pieces: list[str] = []

    def is_empty(self) -> bool:
        """Whether nothing has come yet, so that asking again repeats nothing."""
        return not self._pieces

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(self._pieces)

    def take(self, event: dict[str, Any]) -> None:
        """Take an event of the stream, or a whole answer."""
        self.model = event.get("model") or self.model
        usage = event.get("usage") or {}
        self.usage |= {
            name: int(usage[name])
            for name in ("prompt_tokens", "completion_tokens")
            if usage.get(name) is not None
        }
        for choice in event.get("choices", [])[:1]:
            part = choice.get("delta") or choice.get("message") or {}
            self.refusal += part.get("refusal") or ""
            self.finish = choice.get("finish_reason") or self.finish
            text = part.get("content") or ""
            if not isinstance(text, str):
                raise TypeError("the content is no text")
            if text:
                self._pieces.append(text)
                if self._on_text is not None:
                    self._on_text(text)


def is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes a schema: objects are closed, and all their fields required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    types = schema.get("type")
    fields = schema.get("properties")
    if (types == "object" or (isinstance(types, list) and "object" in types)) and (
        schema.get("additionalProperties") is not False
        or not isinstance(fields, Mapping)
        or set(schema.get("required", ())) != set(fields)
    ):
        return False
    return all(is_strict(value) for name, value in schema.items() if name not in ("enum", "const", "default"))


def _simpler(body: dict[str, Any], refusal: Refusal) -> dict[str, Any] | None:
    """A request without what a server does not know, if that is why it refused; None if there is nothing."""
    if refusal.code not in (400, 404, 422, 501):
        return None
    if "max_completion_tokens" in refusal.said and "max_tokens" in body:
        changed = {name: value for name, value in body.items() if name != "max_tokens"}
        return changed | {"max_completion_tokens": body["max_tokens"]}
    for name, words in (
        ("stream_options", ("stream_options",)),
        ("response_format", ("response_format", "schema")),
    ):
        if name in body and any(word in refusal.said for word in words):
            return {other: value for other, value in body.items() if other != name}
    return None


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
