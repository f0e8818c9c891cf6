"""What generation gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from quanta_tissu.errors import GenerationError

FinishReason = Literal["length", "eos", "stop"]


@dataclass(frozen=True)
class TokenLogprob:
    """How likely the model itself found a token, before any penalty, temperature or cut.

    Attributes:
        token: The chosen id.
        logprob: Natural logarithm of its probability.
        top: The likeliest tokens, (id, log-probability) from the likeliest down.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Completion:
    """One continuation of one prompt.

    Attributes:
        prompt: The text that is continued.
        text: The continuation: whole characters, without special tokens and without the stop string.
        tokens: Every id that was generated, special tokens and the stop string included.
        finish_reason: "length": max_new_tokens is reached; "eos": the model ended the sequence; "stop": a stop
            string appeared.
        seed: Seed of the random draws, also if none was given; None if greedy.
        sample: Which of the num_samples completions of its prompt this is; the seed, the prompt and this number
            determine the completion.
        logprobs: One entry for each of `tokens`, if asked for.
    """

    prompt: str
    text: str
    tokens: list[int]
    finish_reason: FinishReason
    seed: int | None
    sample: int
    logprobs: list[TokenLogprob] | None = None


@dataclass(frozen=True)
class GenerationResult:
    """All completions of a request: prompt after prompt, each with its samples.

    `text`, `tokens`, `finish_reason` and `logprobs` are shorthands for a request with one completion.

    Attributes:
        completions: The completions.
        seconds: Time taken, that of reading the prompts included.
    """

    completions: list[Completion]
    seconds: float

    @property
    def text(self) -> str:
        """Text of the only completion."""
        return self._only().text

    @property
    def tokens(self) -> list[int]:
        """Ids of the only completion."""
        return self._only().tokens

    @property
    def finish_reason(self) -> FinishReason:
        """Why the only completion ended."""
        return self._only().finish_reason

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        """Log-probabilities of the only completion, if asked for."""
        return self._only().logprobs

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens of all completions together, per second of `seconds`."""
        return sum(len(completion.tokens) for completion in self.completions) / self.seconds

    def __len__(self) -> int:
        return len(self.completions)

    def __iter__(self) -> Iterator[Completion]:
        return iter(self.completions)

    def __getitem__(self, index: int) -> Completion:
        return self.completions[index]

    def _only(self) -> Completion:
        if len(self.completions) != 1:
            raise GenerationError(
                f"there are {len(self.completions)} completions, so it is not clear which one is meant",
                hint="iterate over the result, or index it: result[0].text",
            )
        return self.completions[0]
