"""Whose an operation is: the parts of a decoder, made to say their names while they run.

The decoder's modules know nothing of profiles. For the time of a profile they are replaced by wrappers that tell
the recorder which part and which layer runs; operations outside of all of them are known by what they are (the
embedding, the output head, the residual stream).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from quanta_tissu.tisslm.inspect.profile.recording import Recorder
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.model.block import Block

MODULES = (
    "embedding",
    "attention",
    "feed_forward",
    "norm",
    "residual",
    "head",
    "whole model",
    "optimizer",
    "other",
)
"""In the order of tables."""


@contextmanager
def named_modules(decoder: Decoder, recorder: Recorder) -> Iterator[None]:
    """Have the modules of a decoder tell the recorder what runs, inside a `with` block."""
    blocks, final_norm = decoder.blocks, decoder.final_norm
    decoder.blocks = [_block(block, layer, recorder) for layer, block in enumerate(blocks)]
    if final_norm is not None:
        decoder.final_norm = _Named(final_norm, recorder, "norm", None)  # type: ignore[assignment]
    try:
        yield
    finally:
        decoder.blocks, decoder.final_norm = blocks, final_norm


def _block(block: Block, layer: int, recorder: Recorder) -> Any:
    parts: dict[str, Any] = {
        "attention": _Named(block.attention, recorder, "attention", layer),
        "feed_forward": _Named(block.feed_forward, recorder, "feed_forward", layer),
        "attention_norm": _Named(block.attention_norm, recorder, "norm", layer),
        "feed_forward_norm": _Named(block.feed_forward_norm, recorder, "norm", layer),
    }
    return _Named(replace(block, **parts), recorder, "residual", layer)


class _Named:
    """A module that says its name while it runs, and is otherwise what it was."""

    def __init__(self, module: Callable[..., Any], recorder: Recorder, name: str, layer: int | None) -> None:
        self._module = module
        self._recorder = recorder
        self._name = name
        self._layer = layer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._recorder.module(self._name, self._layer):
            return self._module(*args, **kwargs)

    def of_sum(self, *args: Any) -> Any:
        """The sum and its norm, if it is a norm."""
        with self._recorder.module(self._name, self._layer):
            return self._module.of_sum(*args)  # type: ignore[attr-defined]

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._module, attribute)
