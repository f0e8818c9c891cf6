"""Servers that speak OpenAI's interface: questions to one, and vectors from `POST /v1/embeddings`."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np

from quanta_tissu.errors import ConfigError, EmbeddingError, TissuError
from quanta_tissu.knowledge.embedders import Vectors, count_words, unit

_LARGEST_ANSWER = 256 * 2**20
_MOST_WAIT = 60.0  # seconds between two tries


class Endpoint:
    """An address that JSON is sent to, and that answers with JSON.

    Args:
        url: The address.
        key: The API key, if it wants one.
        timeout: Seconds to wait for an answer.
        tries: How often a request is made that the server is too busy for (429, 500, 502, 503, 504) or that does
            not reach it.
        error: What is raised if there is no answer.
        does: What the server's model should be able to do, for hints.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout: float,
        tries: int = 4,
        error: type[TissuError],
        does: str,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{url!r} is no address of a server", hint="https://api.openai.com/v1, for example")
        self.url = url
        self._key = key
        self._timeout = timeout
        self._tries = tries
        self._error = error
        self._does = does

    def post(self, question: dict[str, Any]) -> Any:
        """Ask, and ask again if the server is busy.

        Raises:
            TissuError: Of the kind that was given: the server refuses, cannot be reached, or answers with what is
                not JSON.
        """
        answer = self._answer(json.dumps(question).encode())
        try:
            return json.loads(answer)
        except ValueError as error:
            raise self.wrong(f"is not what was asked for ({type(error).__name__}: {error})") from None

    def wrong(self, what: str) -> TissuError:
        """What to raise for an answer that is none."""
        return self._error(
            f"the answer of {self.url} {what}",
            hint=f"does the address end in /v1, and does the model {self._does}?",
        )

    def _answer(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self._key}"} if self._key else {}
        )
        wait = 0.5
        for left in range(self._tries - 1, -1, -1):
            try:
                request = urllib.request.Request(self.url, body, headers)
                with urllib.request.urlopen(request, timeout=self._timeout) as response:
                    answer: bytes = response.read(_LARGEST_ANSWER)
                return answer
            except urllib.error.HTTPError as error:
                said = error.read(500).decode(errors="replace")
                if error.code not in (429, 500, 502, 503, 504) or not left:
                    raise self._error(
                        f"{self.url} answered {error.code}: {said}", hint=_hint(error.code)
                    ) from None
                wait = _retry_after(error.headers, wait)
            except OSError as error:
                if not left:
                    raise self._error(
                        f"cannot reach {self.url}: {getattr(error, 'reason', error)}",
                        hint="is the server running, and the address right?",
                    ) from None
            time.sleep(wait)
            wait = min(2 * wait, _MOST_WAIT)
        raise AssertionError("unreachable")


class EndpointEmbedder:
    """Vectors from a server.

    Args:
        url: Where its interface begins, `https://api.openai.com/v1` or `http://localhost:11434/v1` for example.
        model: The model's name there.
        key: The API key, if it wants one.
        width: Numbers in a vector; by default the server is asked once.
        relevant: As for `Embedder`. It differs from model to model: see what questions of yours give.
        longest: Words and signs of a passage; models count in tokens of their own, which are a little shorter.
        batch_size: Texts of one request.
        timeout: Seconds to wait for an answer.
        tries: How often a request is made that the server is too busy for (429, 500, 502, 503, 504) or that does
            not reach it.

    Raises:
        ConfigError: The address is none.
        EmbeddingError: The width is not given and the server does not answer.
    """

    note: str | None = None

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        width: int | None = None,
        relevant: float = 0.35,
        longest: int = 256,
        batch_size: int = 64,
        timeout: float = 60.0,
        tries: int = 4,
    ) -> None:
        self.name = f"{model} at {url}"
        self.relevant = relevant
        self.longest = longest
        self._endpoint = Endpoint(
            f"{url.rstrip('/')}/embeddings",
            key=key,
            timeout=timeout,
            tries=tries,
            error=EmbeddingError,
            does="make vectors",
        )
        self._model = model
        self._batch_size = batch_size
        self.width = width or self._request(["width"]).shape[1]

    def measure(self, texts: Sequence[str]) -> list[int]:
        """As `Embedder`: words and signs."""
        return count_words(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder`.

        Raises:
            EmbeddingError: The server refuses, cannot be reached, or answers with something else.
        """
        vectors = np.empty((len(texts), self.width), np.float32)
        for start in range(0, len(texts), self._batch_size):
            batch = list(texts[start : start + self._batch_size])
            found = self._request(batch)
            if found.shape[1] != self.width:
                raise EmbeddingError(
                    f"{self._endpoint.url} gave vectors of {found.shape[1]} numbers; {self.width} were expected",
                    hint="the server has another model under this name now; make the knowledge base anew",
                )
            vectors[start : start + len(batch)] = found
        return unit(vectors)

    def _request(self, texts: list[str]) -> Vectors:
        """Vectors as the server gives them, in the order of the texts."""
        answer = self._endpoint.post({"model": self._model, "input": texts})
        try:
            data = sorted(answer["data"], key=lambda item: item["index"])
            vectors = np.array([item["embedding"] for item in data], np.float32)
        except (ValueError, TypeError, KeyError) as error:
            raise self._endpoint.wrong(f"is not what was asked for ({type(error).__name__}: {error})") from None
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise self._endpoint.wrong(f"has vectors of shape {vectors.shape} for {len(texts)} texts")
        return vectors


def _retry_after(headers: Any, otherwise: float) -> float:
    """Seconds that the server asks to wait."""
    try:
        return min(_MOST_WAIT, max(0.0, float(headers.get("Retry-After", otherwise))))
    except (TypeError, ValueError):
        return otherwise


def _hint(code: int) -> str:
    return {
        401: "give the API key that belongs to this server",
        403: "give the API key that belongs to this server",
        404: "the address should end in /v1, and the model be one that the server has",
        429: "the server's limit is reached; try again later",
    }.get(code, "the server's own log may say why")
