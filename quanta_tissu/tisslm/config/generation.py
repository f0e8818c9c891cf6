"""How text is generated, as one typed and validated section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quanta_tissu.tisslm.config.section import Section


class GenerateConfig(Section):
    """Decoding: how the next token is chosen and when to stop."""

    max_new_tokens: int = Field(200, ge=0, description="Tokens to generate at most.")
    min_new_tokens: int = Field(0, ge=0, description="No EOS before this many new tokens.")
    temperature: float = Field(0.8, ge=0, description="0 is greedy; below 1 sharpens, above 1 flattens.")
    top_k: int | None = Field(None, ge=1, description="Keep the k most likely tokens; null: all.")
    top_p: float | None = Field(None, gt=0, le=1, description="Keep the smallest set of this probability.")
    min_p: float | None = Field(
        None, ge=0, le=1, description="Keep tokens at least this share as likely as the likeliest."
    )
    repetition_penalty: float = Field(
        1.0,
        gt=0,
        description="Divides the logits of tokens seen in prompt or completion (multiplies them, if negative).",
    )
    presence_penalty: float = Field(0.0, description="Subtracted from the logit of every token seen.")
    frequency_penalty: float = Field(0.0, description="Subtracted from a token's logit once per occurrence.")
    no_repeat_ngram: int | None = Field(None, ge=1, description="Never repeat an n-gram of this length.")
    logit_bias: dict[int, float] = Field(default_factory=dict, description="Added to the logits of these ids.")
    banned_tokens: list[int] = Field(default_factory=list, description="Ids that are never generated.")
    forced_tokens: list[int] = Field(
        default_factory=list, description="Ids that open the completion, in this order."
    )
    stop: list[str] = Field(default_factory=list, description="Strings that end the completion; not part of it.")
    stop_at_eos: bool = Field(True, description="End at the end-of-sequence token.")
    overflow: Literal["refuse", "slide"] = Field(
        "slide", description="Past the context length: raise an error, or go on with the most recent half of it."
    )
    seed: int | None = Field(None, ge=0, description="Seed of the sampler; null: a fresh one each time.")
    num_samples: int = Field(1, ge=1, description="Completions per prompt.")
    kv_cache: bool = Field(
        True, description="Keep the keys and values of past tokens; off recomputes all of them for every token."
    )
    prefill_chunk: int | None = Field(
        None, ge=1, description="Feed prompts in pieces of this many tokens, to save memory; null: at once."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of the fast engine while it generates; null: one per core."
    )
    logprobs: int | None = Field(
        None, ge=0, description="Return log-probabilities of the chosen and of this many top tokens."
    )
