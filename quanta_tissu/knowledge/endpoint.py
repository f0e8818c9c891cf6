"""Vectors from servers that speak OpenAI's interface: `POST /v1/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quanta_tissu.endpoint import Endpoint
from quanta_tissu.errors import EmbeddingError
from quanta_tissu.knowledge.embedders import Vectors, count_words, unit


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
