"""From prompts to completions: choose a token, turn it into text, stop or go on.

`decode` is the one loop; `generate` collects what it yields.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError, GenerationError, TokenizerError
from quanta_tissu.tisslm.config import GenerateConfig
from quanta_tissu.tisslm.engine import Engine, current
from quanta_tissu.tisslm.generate.forward import check_threads
from quanta_tissu.tisslm.generate.growing import GrowingBatch
from quanta_tissu.tisslm.generate.processors import Context, Ids, Processor
from quanta_tissu.tisslm.generate.results import Completion, FinishReason, GenerationResult, TokenLogprob
from quanta_tissu.tisslm.generate.sampler import Sampler, random_generator
from quanta_tissu.tisslm.generate.streaming import TextStream
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.tokenizers.base import Tokenizer
from quanta_tissu.tisslm.wording import counted

Prompt = str | Sequence[int]


@dataclass(frozen=True)
class Update:
    """What one step has added to one completion.

    Attributes:
        index: Which completion: prompt after prompt, each with its samples.
        text: New text, never to be taken back; often empty.
        completion: The whole completion, once it is finished.
    """

    index: int
    text: str
    completion: Completion | None


def generate(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    config: GenerateConfig,
    *,
    processors: Iterable[Processor] = (),
    engine: Engine | None = None,
) -> GenerationResult:
    """Complete prompts; arguments and errors are those of `decode`."""
    start = time.perf_counter()
    updates = decode(decoder, tokenizer, prompts, config, processors=processors, engine=engine)
    finished = {update.index: update.completion for update in updates if update.completion is not None}
    return GenerationResult([finished[index] for index in sorted(finished)], time.perf_counter() - start)


def decode(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    config: GenerateConfig,
    *,
    processors: Iterable[Processor] = (),
    engine: Engine | None = None,
) -> Iterator[Update]:
    """Complete prompts, all in one batch, and tell of every step.

    Args:
        decoder: The model.
        tokenizer: Its tokenizer.
        prompts: Texts, or token ids that are taken as they are.
        config: The settings.
        processors: The user's own links of the sampler chain (see `sampler.py`).
        engine: What runs the ops; the current engine by default.

    Returns:
        An iterator; it may be dropped at any time. Settings and prompts are checked before it is returned.

    Raises:
        ConfigError: Settings contradict each other, or name ids that the model does not have.
        GenerationError: A prompt is too long and `overflow` is "refuse", or (while iterating) no token is left to
            choose from.
        TokenizerError: A prompt has characters that the tokenizer does not know, or special tokens.
    """
    V = decoder.config.vocab_size or 0
    sampler = Sampler(
        config, V, eos_id=tokenizer.eos_id, usable=min(V, tokenizer.vocab_size), processors=processors
    )
    ids = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    for prompt_ids in ids:
        _check_length(len(prompt_ids), decoder.config.context_length, config)
    if config.prefill_chunk is not None and not config.kv_cache:
        raise ConfigError(
            f"prefill_chunk = {config.prefill_chunk} needs the key-value cache, but kv_cache is off",
            hint="switch kv_cache on, or set prefill_chunk to null",
        )
    check_threads(engine or current(), config.threads)
    rows = [
        _Row(index * config.num_samples + sample, prompt, ids[index], sample, config, tokenizer)
        for index, prompt in enumerate(prompts)
        for sample in range(config.num_samples)
    ]
    return _decode(decoder, sampler, ids, rows, config, engine)


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """Ids to start from.

    A model needs at least one token to continue. An empty prompt therefore becomes the first that exists of: what
    the tokenizer puts before any text, the token that ends a document (a new one follows it in training data), the
    token that opens a sequence, a line break.

    Raises:
        GenerationError: The prompt is empty and the vocabulary has none of these, or it is no prompt.
        TokenizerError: The text has characters that the tokenizer does not know, or special tokens.
    """
    if not isinstance(prompt, (Sequence, np.ndarray)):
        raise GenerationError(
            f"a prompt must be a text or a list of token ids; it is {type(prompt).__name__}",
            hint="a list holds prompts, also where they are token ids: [[4, 8, 15]]",
        )
    ids = tokenizer.encode_prompt(prompt) if isinstance(prompt, str) else list(prompt)
    if ids:
        return ids
    for special in (tokenizer.eos_id, tokenizer.bos_id):
        if special is not None:
            return [special]
    try:
        return tokenizer.encode("\n")
    except TokenizerError:
        raise GenerationError(
            "the prompt is empty, and the vocabulary has neither a special token nor a line break to start from",
            hint="give a prompt of at least one character",
        ) from None


class _Row:
    """One completion under way."""

    def __init__(
        self,
        index: int,
        prompt: Prompt,
        ids: Sequence[int],
        sample: int,
        config: GenerateConfig,
        tokenizer: Tokenizer,
    ) -> None:
        self.index = index
        self._prompt = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
        self._sample = sample
        self._config = config
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.special_tokens.values())
        self._seed = _seed(config)
        self.generator = random_generator(self._seed or 0, sample)
        self._start = len(ids)
        self._ids = np.array(ids, dtype=np.int64)  # grows by doubling
        self._length = len(ids)
        self._stream = TextStream(config.stop)
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] | None = None if config.logprobs is None else []

    @property
    def tokens(self) -> Ids:
        """The prompt and what was generated so far."""
        return self._ids[: self._length]

    def add(self, token: int, logprob: TokenLogprob | None) -> Update:
        """Take one more token."""
        if self._length == len(self._ids):
            self._ids = np.resize(self._ids, 2 * self._length)
        self._ids[self._length] = token
        self._length += 1
        if self._logprobs is not None and logprob is not None:
            self._logprobs.append(logprob)
        if self._config.stop_at_eos and token == self._tokenizer.eos_id:
            return self.finish("eos")
        text = self._stream.feed(self._bytes(token))
        self._text.append(text)
        if self._stream.stopped:
            return self.finish("stop", text)
        if self._length - self._start == self._config.max_new_tokens:
            return self.finish("length", text)
        return Update(self.index, text, None)

    def _bytes(self, token: int) -> bytes:
        """What the newest token adds to the text; special tokens are no text."""
        if token in self._special:
            return b""
        previous = int(self._ids[self._length - 2]) if self._length > 1 else None
        return self._tokenizer.bytes_after(previous, token)

    def finish(self, reason: FinishReason, text: str = "") -> Update:
        """Close the completion; `text` is what the last token has added already."""
        held = self._stream.finish()
        self._text.append(held)
        completion = Completion(
            prompt=self._prompt,
            text="".join(self._text),
            tokens=self.tokens[self._start :].tolist(),
            finish_reason=reason,
            seed=self._seed,
            sample=self._sample,
            logprobs=self._logprobs,
        )
        return Update(self.index, text + held, completion)


def _decode(
    decoder: Decoder,
    sampler: Sampler,
    ids: Sequence[Sequence[int]],
    rows: list[_Row],
    config: GenerateConfig,
    engine: Engine | None,
) -> Iterator[Update]:
    if config.max_new_tokens == 0 or not rows:
        yield from (row.finish("length") for row in rows)
        return
    batch = GrowingBatch(
        decoder,
        ids,
        room=config.max_new_tokens - 1,  # the last token is not read any more
        chunk=config.prefill_chunk,
        kv_cache=config.kv_cache,
        engine=engine,
        threads=config.threads,
    )
    if config.num_samples > 1:
        batch.select(np.repeat(np.arange(len(ids)), config.num_samples).tolist())
    for step in range(config.max_new_tokens):
        context = Context([row.tokens for row in rows], step)
        chosen = sampler(batch.logits, context, [row.generator for row in rows])
        logprobs = _logprobs(batch.logits, chosen, config.logprobs)
        alive = []
        for position, row in enumerate(rows):
            update = row.add(int(chosen[position]), logprobs[position])
            if update.completion is None:
                alive.append(position)
            yield update
        if not alive:
            return
        if len(alive) < len(rows):
            rows = [rows[position] for position in alive]
            batch.select(alive)
        batch.append(chosen[alive])


def _logprobs(logits: NDArray[Any], chosen: Ids, count: int | None) -> Sequence[TokenLogprob | None]:
    """Log-probabilities of the model's own distribution, (B, V) logits and (B,) chosen ids."""
    if count is None:
        return [None] * len(chosen)
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    ranked = np.argsort(-logprobs, axis=-1, kind="stable")[:, :count]
    return [
        TokenLogprob(
            token=int(token),
            logprob=float(logprobs[row, token]),
            top=tuple((int(i), float(logprobs[row, i])) for i in ranked[row]),
        )
        for row, token in enumerate(chosen)
    ]


def _seed(config: GenerateConfig) -> int | None:
    """The seed of one completion: a fresh one if none is given, none if nothing is drawn."""
    if config.temperature == 0:
        return None
    return int(np.random.SeedSequence().generate_state(1)[0]) if config.seed is None else config.seed


def _check_length(prompt: int, context: int, config: GenerateConfig) -> None:
    needed = prompt + max(config.max_new_tokens - 1, 0)
    if config.overflow == "refuse" and needed > context:
        raise GenerationError(
            f"a prompt of {counted(prompt, 'token')} and {config.max_new_tokens} new ones need a context of "
            f"{needed} tokens; the model has {context}",
            hint="shorten the prompt, lower max_new_tokens, or set overflow to slide",
        )
