"""How the next token is chosen: an ordered chain of processors, then the likeliest token or a random draw.

The chain, and why in this order (links whose setting is neutral are left out):

1.  repetition_penalty   first, since it multiplies and so depends on the zero of the model's own logits;
2.  presence_penalty, frequency_penalty, logit_bias   add, so they commute with each other;
3.  no_repeat_ngram, banned_tokens, min_new_tokens    rule out, whatever was added before;
4.  the user's own processors, in their order         they see finished logits, still on the model's scale;
5.  forced_tokens        wins over everything above;
6.  temperature          before the next three, so that they judge the probabilities which are drawn from;
7.  top_k, top_p, min_p  each cuts what the one before left (Hugging Face's order, and nanoGPT's for top_k).

A token counts as seen, for the penalties and the n-grams, wherever it stands: in the prompt or in the completion.

With temperature 0 the last two points are left out, because they never remove the likeliest token, and the
likeliest is taken; of equals the lowest id. Otherwise every row draws from its own random generator, one number
per token, so what a row gets does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError, GenerationError
from quanta_tissu.tisslm.config import GenerateConfig
from quanta_tissu.tisslm.generate import processors as links
from quanta_tissu.tisslm.generate.processors import Context, Ids, Logits, Processor, shifted


def random_generator(seed: int, sample: int) -> np.random.Generator:
    """The random numbers of one completion: a function of the seed and the sample's number, of nothing else.

    Prompts of one batch that share the seed so share the numbers, and row i of a batch equals that prompt
    generated alone with the same seed. Several completions of one prompt (sample 0, 1, ...) are independent.
    """
    return np.random.default_rng(np.random.SeedSequence((seed, sample)))


class Sampler:
    """The chain and the choice at its end.

    Args:
        config: The settings.
        vocab_size: Number of logits, V.
        eos_id: The end of a sequence, if the tokenizer has one.
        usable: Ids below this may be generated; all by default. (A model may have more rows in its
            embedding than its tokenizer has tokens.)
        processors: The user's own links.

    Raises:
        ConfigError: The settings contradict each other or name ids that do not exist.
    """

    def __init__(
        self,
        config: GenerateConfig,
        vocab_size: int,
        *,
        eos_id: int | None = None,
        usable: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> None:
        _check(config, vocab_size, eos_id)
        self.greedy = config.temperature == 0
        self._own = tuple(processors)
        unusable = range(vocab_size if usable is None else usable, vocab_size)
        self._cuts = any(cut is not None for cut in (config.top_k, config.top_p, config.min_p))
        self.chain = tuple(_chain(config, eos_id, [*config.banned_tokens, *unusable], self._own))

    def __call__(
        self, logits: NDArray[np.floating], context: Context, generators: Sequence[np.random.Generator]
    ) -> Ids:
        """Choose the next token of every row.

        Args:
            logits: The model's, (B, V).
            context: The rows' tokens so far.
            generators: One per row; not touched when greedy.

        Returns:
            The chosen ids, (B,).

        Raises:
            GenerationError: The model or a processor gave NaN, or no token is left.
        """
        if self.greedy:
            # With an empty chain, which is common, what is taken is also the only logit that needs a look: argmax
            # finds a NaN, +inf, or -inf if there is nothing else.
            final = self.process(logits, context) if self.chain else logits
            ids: Ids = final.argmax(axis=-1)
            if not np.isfinite(final[np.arange(len(ids)), ids]).all():
                ids = shifted(self.process(logits, context)).argmax(axis=-1)
            return ids
        scores = shifted(self.process(logits, context))
        return np.array([self._draw(row, g.random()) for row, g in zip(scores, generators, strict=True)])

    def _draw(self, scores: NDArray[np.float64], u: float) -> int:
        """Draw from one row of logits, the largest of which is 0, with a number in [0, 1)."""
        if not self._cuts:
            return draw(np.exp(scores), u)
        left = np.flatnonzero(scores > -np.inf)  # few, and exponentials are what takes the time
        return int(left[draw(np.exp(scores[left]), u)])

    def process(self, logits: NDArray[np.floating], context: Context) -> Logits:
        """Apply the chain to the model's logits, (B, V) -> (B, V)."""
        if not (logits < np.inf).all():
            raise GenerationError(
                "the model's logits are not finite (NaN or +inf)",
                hint="its weights are damaged, or training diverged; use an earlier checkpoint",
            )
        result: Logits = logits.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is ±inf, the right limit
            for processor in self.chain:
                changed = processor(result, context)
                if processor in self._own:
                    changed = _checked(changed, result, processor)
                result = changed
        if np.isnan(result.max()):
            raise GenerationError(
                "penalties and biases overflow in opposite directions", hint="use less extreme values"
            )
        return result


def draw(weights: NDArray[np.float64], u: float) -> int:
    """Draw an index by inverting the cumulative distribution.

    Args:
        weights: Proportional to the probabilities, (V); at least one is positive.
        u: A number in [0, 1), evenly distributed.

    Returns:
        An index, never one of probability 0.
    """
    cumulative = weights.cumsum()
    # "right" finds the first index whose cumulative weight exceeds u, so a step of width 0 is never hit; rounding
    # can make u * total equal the total, which belongs to the last step that has a width.
    total = cumulative[-1]
    chosen = cumulative.searchsorted(u * total, side="right")
    return int(min(chosen, cumulative.searchsorted(total, side="left")))


def _chain(
    config: GenerateConfig, eos_id: int | None, banned: Sequence[int], own: Sequence[Processor]
) -> Iterable[Processor]:
    if config.repetition_penalty != 1:
        yield links.repetition_penalty(config.repetition_penalty)
    if config.presence_penalty:
        yield links.presence_penalty(config.presence_penalty)
    if config.frequency_penalty:
        yield links.frequency_penalty(config.frequency_penalty)
    if config.logit_bias:
        yield links.logit_bias(config.logit_bias)
    if config.no_repeat_ngram is not None:
        yield links.no_repeat_ngram(config.no_repeat_ngram)
    if banned:
        yield links.banned(banned)
    if config.min_new_tokens and eos_id is not None:
        yield links.min_new_tokens(config.min_new_tokens, eos_id)
    yield from own
    if config.forced_tokens:
        yield links.forced(config.forced_tokens)
    if config.temperature == 0:
        return
    if config.temperature != 1:
        yield links.temperature(config.temperature)
    if config.top_k is not None:
        yield links.top_k(config.top_k)
    if config.top_p is not None and config.top_p < 1:
        yield links.top_p(config.top_p)
    if config.min_p:
        yield links.min_p(config.min_p)


def _checked(changed: object, before: Logits, processor: Callable[..., object]) -> Logits:
    name = getattr(processor, "__name__", type(processor).__name__)
    if not isinstance(changed, np.ndarray) or changed.shape != before.shape:
        got = f"shape {changed.shape}" if isinstance(changed, np.ndarray) else type(changed).__name__
        raise GenerationError(
            f"the processor {name!r} returned {got} for logits of shape {before.shape}",
            hint="a processor returns an array of the shape it was given",
        )
    if np.isnan(changed).any():
        raise GenerationError(
            f"the processor {name!r} returned NaN", hint="rule a token out with a logit of -inf instead"
        )
    return changed.astype(np.float64)


def _check(config: GenerateConfig, vocab_size: int, eos_id: int | None) -> None:
    named = {
        "logit_bias": config.logit_bias,
        "banned_tokens": config.banned_tokens,
        "forced_tokens": config.forced_tokens,
    }
    for field, ids in named.items():
        for token in ids:
            if not 0 <= token < vocab_size:
                raise ConfigError(
                    f"{field} names the token id {token}, but the model has {vocab_size} tokens",
                    hint=f"use ids from 0 to {vocab_size - 1}",
                )
    if config.min_new_tokens > config.max_new_tokens:
        raise ConfigError(
            f"min_new_tokens = {config.min_new_tokens} is larger than max_new_tokens = {config.max_new_tokens}",
            hint="raise max_new_tokens or lower min_new_tokens",
        )
    contradictory = sorted(set(config.banned_tokens) & set(config.forced_tokens))
    if contradictory:
        raise ConfigError(
            f"the token {contradictory[0]} is both in banned_tokens and in forced_tokens",
            hint="remove it from one of them",
        )
    if eos_id is not None and eos_id in config.forced_tokens[: config.min_new_tokens]:
        raise ConfigError(
            f"forced_tokens ends the sequence (id {eos_id}) before min_new_tokens = {config.min_new_tokens}",
            hint="lower min_new_tokens, or force the end later",
        )
