"""Seeds for dropout: one per call site, all derived from where training stands."""

from __future__ import annotations

from typing import Any

from quanta_tissu.tisslm import ops


class DropoutSeeds:
    """A sequence of seeds that depends on nothing but its entropy.

    Args:
        entropy: Non-negative integers that identify the forward pass: seed, step, micro-batch, replica. The same
            numbers give the same masks, so a resumed run repeats the interrupted one without storing any state.

    Attributes:
        calls: Seeds given so far; set back, the sequence repeats itself.
    """

    def __init__(self, *entropy: int) -> None:
        self._entropy = entropy
        self.calls = 0

    def next(self) -> tuple[int, ...] | None:
        """The seed of the next call site."""
        self.calls += 1
        return (*self._entropy, self.calls)


class TorchDropout(DropoutSeeds):
    """Lets PyTorch draw the masks with its own generator, on the device and within compiled code.

    The masks are others than NumPy's. Whoever starts the pass seeds the generator.
    """

    def next(self) -> None:
        """No seed."""
        return


def drop(x: Any, probability: float, seeds: DropoutSeeds | None) -> Any:
    """Drop elements of `x` while training; the identity without seeds or with probability zero."""
    if seeds is None or probability == 0:
        return x
    return ops.dropout(x, p=probability, seed=seeds.next())
