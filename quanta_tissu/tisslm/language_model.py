"""A model with its tokenizer: the Python API most people need.

from quanta_tissu import tisslm

model = tisslm.load("runs/baby/best")
model.generate("To be", max_new_tokens=40, temperature=0.0).text
for piece in model.stream("To be"):
    print(piece, end="")
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError, DataError, GenerationError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm import engine as engines
from quanta_tissu.tisslm.config import Config, GenerateConfig
from quanta_tissu.tisslm.config.load import config_from_mapping
from quanta_tissu.tisslm.engine.pytorch import to_array
from quanta_tissu.tisslm.generate import GenerationResult, Processor, Prompt, decode, generate
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.pytorch import parameters_on
from quanta_tissu.tisslm.model.summary import Summary
from quanta_tissu.tisslm.tokenizers.base import Tokenizer
from quanta_tissu.tisslm.wording import counted


class LanguageModel:
    """A decoder, its tokenizer and the configuration they were trained with.

    Args:
        decoder: Architecture and weights.
        tokenizer: The tokenizer that belongs to them.
        config: The configuration of the run; its `generate` section is the default of `generate` and `stream`.
        engine: What runs the ops, "fast", "reference" or "torch"; by default the one that is current when it is
            needed. PyTorch takes a GPU if there is one.

    Raises:
        ConfigError: There is no such engine.
        MissingDependencyError: It needs PyTorch, which is not installed.
    """

    def __init__(
        self, decoder: Decoder, tokenizer: Tokenizer, config: Config | None = None, *, engine: str | None = None
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.config = (config or Config()).model_copy(update={"model": decoder.config})
        self._engine = None if engine is None else engines.get(engine)

    @classmethod
    def load(cls, path: str | os.PathLike[str], engine: str | None = None) -> LanguageModel:
        """Read a checkpoint directory.

        Args:
            path: The directory.
            engine: As for the class.

        Raises:
            CheckpointError: The directory is no complete checkpoint.
            ConfigError: There is no such engine.
        """
        found = artifact.read(Path(path))
        return cls(found.decoder, found.tokenizer, found.config, engine=engine)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint directory, or replace one, atomically.

        Raises:
            CheckpointError: It cannot be written.
        """
        artifact.write(Path(path), self.decoder, self.tokenizer, self.config)

    def logits(self, ids: NDArray[np.integer[Any]] | Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Logits of the next token after every position, ids (B, T) to (B, T, V).

        Raises:
            ConfigError: The ids have another shape, are none at all, are outside the vocabulary, or are more than
                the context.
        """
        try:
            array = np.asarray(ids)
        except ValueError:
            raise ConfigError(
                "the rows of token ids have different lengths",
                hint="give rows of one length; generate() takes prompts of different lengths",
            ) from None
        if array.ndim == 2 and not array.size:
            raise ConfigError(
                f"there are no token ids: their shape is {array.shape}",
                hint="give every row at least one; an empty prompt to generate() starts a new document",
            )
        if array.size and not np.issubdtype(array.dtype, np.integer):
            raise ConfigError(
                f"token ids must be integers; they are {array.dtype}",
                hint="encode text first: model.tokenizer.encode(text)",
            )
        with engines.use(self.engine):
            logits: NDArray[np.float32] = to_array(self.decoder.forward(array, params=self._parameters()))
        return logits

    def generate(
        self, prompt: str | Sequence[Prompt], *, processors: Iterable[Processor] = (), **settings: Any
    ) -> GenerationResult:
        """Continue one prompt or several.

        Args:
            prompt: A text; or a list of prompts (each a text or a list of token ids), continued in one batch. An
                empty prompt starts a new document.
            processors: The user's own links of the sampler chain (see `generate/sampler.py`).
            **settings: Fields of `GenerateConfig`; those left out are as in `config.generate`. One stop string
                needs no list.

        Returns:
            The completions, prompt after prompt; `.text`, `.tokens` and so on where there is only one.

        Raises:
            ConfigError: A setting is unknown or not allowed, or the settings contradict each other.
            GenerationError: The prompt is too long, or no prompt.
            TokenizerError: A prompt has text that the tokenizer does not know or that it must refuse.
        """
        if not isinstance(prompt, (Sequence, np.ndarray)):
            raise GenerationError(
                f"the prompt must be a text or a list of prompts; it is {type(prompt).__name__}",
                hint='write generate("To be"), or generate("") to start a new document',
            )
        prompts = [prompt] if isinstance(prompt, str) else prompt
        config = self.settings(**settings)
        return generate(self.decoder, self.tokenizer, prompts, config, processors=processors, engine=self._engine)

    def stream(
        self, prompt: str | Sequence[int], *, processors: Iterable[Processor] = (), **settings: Any
    ) -> Iterator[str]:
        """Continue one prompt and yield the text piece by piece; the pieces join to what `generate` returns.

        A piece has whole characters only, and is not part of a stop string. The iterator may be dropped at any
        time. Arguments and errors are those of `generate`; they are checked at once.

        Raises:
            ConfigError: As for `generate`, or num_samples is not 1.
        """
        config = self.settings(**settings)
        if config.num_samples != 1:
            raise ConfigError(
                f"num_samples = {config.num_samples}, but a stream has one completion",
                hint="call generate() for several, or stream one after the other with different seeds",
            )
        updates = decode(
            self.decoder, self.tokenizer, [prompt], config, processors=processors, engine=self._engine
        )
        return (update.text for update in updates if update.text)

    def settings(self, **settings: Any) -> GenerateConfig:
        """The `generate` section of the configuration with some fields replaced.

        Raises:
            ConfigError: A field is unknown or a value is not allowed.
        """
        if isinstance(settings.get("stop"), str):
            settings["stop"] = [settings["stop"]]
        changed = config_from_mapping({"generate": self.config.generate.model_dump() | settings}, "generate()")
        return changed.generate

    def loss(self, text: str) -> float:
        """Mean cross-entropy of a text, in nats per token.

        The text is cut into pieces of the context length; every token but the very first is predicted once, from
        the tokens before it in its piece. `tissu evaluate` does more: error bars, bits per byte, whole datasets.

        Raises:
            DataError: The text has fewer than two tokens.
            TokenizerError: The text has characters that the tokenizer does not know, or special tokens.
        """
        ids = np.array(self.tokenizer.encode(text), dtype=np.int64)
        if len(ids) < 2:
            raise DataError(
                f"the text has {counted(len(ids), 'token')}, so there is nothing to predict",
                hint="give a longer text",
            )
        total = 0.0
        with engines.use(self.engine):
            params = self._parameters()
            for start in range(0, len(ids) - 1, self.decoder.config.context_length):
                piece = ids[start : start + self.decoder.config.context_length + 1]
                inputs, targets = piece[None, :-1], piece[None, 1:]
                total += float(self.decoder.loss(inputs, targets, params=params, denominator=1.0))
        return total / (len(ids) - 1)

    def summary(self) -> Summary:
        """Parameters, FLOPs and bytes by part; print it."""
        return self.decoder.summary()

    def _parameters(self) -> Mapping[str, Any] | None:
        return parameters_on(self.engine, self.decoder)

    @property
    def engine(self) -> engines.Engine:
        """What runs the ops."""
        return engines.current() if self._engine is None else self._engine

    def __repr__(self) -> str:
        config = self.decoder.config
        return (
            f"<LanguageModel of {self.decoder.parameters.num_elements:,} parameters: "
            f"{counted(config.n_layers, 'layer')}, width {config.d_model}, "
            f"context {config.context_length}, vocabulary {config.vocab_size:,}>"
        )


def load(path: str | os.PathLike[str], engine: str | None = None) -> LanguageModel:
    """Read a checkpoint directory: model and tokenizer.

    Args:
        path: The directory, `runs/baby/best` for example.
        engine: What runs the ops, "fast", "reference" or "torch"; by default the current one.

    Raises:
        CheckpointError: The directory is no complete checkpoint.
        ConfigError: There is no such engine.
    """
    return LanguageModel.load(path, engine)
