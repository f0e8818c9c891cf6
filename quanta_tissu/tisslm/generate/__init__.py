"""Decoding: the sampler chain, the key-value cache, batches of prompts, streaming."""

from quanta_tissu.tisslm.generate.decoding import Prompt, Update, decode, encode_prompt, generate
from quanta_tissu.tisslm.generate.processors import Context, Logits, Processor
from quanta_tissu.tisslm.generate.results import Completion, FinishReason, GenerationResult, TokenLogprob
from quanta_tissu.tisslm.generate.sampler import Sampler, random_generator
from quanta_tissu.tisslm.generate.streaming import TextStream

__all__ = [
    "Completion",
    "Context",
    "FinishReason",
    "GenerationResult",
    "Logits",
    "Processor",
    "Prompt",
    "Sampler",
    "TextStream",
    "TokenLogprob",
    "Update",
    "decode",
    "encode_prompt",
    "generate",
    "random_generator",
]
