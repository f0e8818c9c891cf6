"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 16


class WeightAverage:
    """Exponential moving average of the weights (after Polyak & Juditsky 1992).

        a ← d a + (1 - d) θ,    d = min(decay, (1 + n) / (10 + n)) at update n = 1, 2, …

    The smaller d of the first updates lets the average forget the random initial weights; without it a run shorter
    than a few times 1 / (1 - decay) would be evaluated on them.

    Args:
        parameters: Flat parameter buffer that is averaged.
        decay: Limit of d.

    Attributes:
        average: a, starting as a copy of the parameters.
        updates: n.
    """

    def __init__(self, parameters: NDArray[Any], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.average: NDArray[Any] = parameters.copy()
        self.updates = 0

    def update(self) -> None:
        """Take the current parameters in."""
        self.updates += 1
        rest = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for start in range(0, self.average.size, _CHUNK):
            average = self.average[start : start + _CHUNK]
            average += rest * (self.parameters[start : start + _CHUNK] - average)

    def host(self) -> NDArray[Any]:
        """The average; not copied."""
        return self.average

    def load(self, average: NDArray[Any], updates: int) -> None:
        """Take over the average of a checkpoint."""
        np.copyto(self.average, average)
        self.updates = updates
