"""The guard: stops a run whose numbers are no longer numbers, and recognises spikes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from quanta_tissu.errors import TrainingError

WINDOW = 128
"""Values that a new one is compared with."""
_FEWEST = 20


def require_finite(step: int, loss: float, gradient_norm: float, *, float16: bool = False) -> None:
    """Stop before an update that would destroy the weights.

    Args:
        step: Number of the step, from 1.
        loss: Its loss.
        gradient_norm: Its gradient norm.
        float16: Whether it was made in float16, which may be the cause.

    Raises:
        TrainingError: The loss or the gradient norm is not finite.
    """
    if math.isfinite(loss) and math.isfinite(gradient_norm):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient norm is {gradient_norm}"
    raise TrainingError(
        f"{what} at step {step}; the update was not made",
        hint="lower optimizer.learning_rate or lengthen the warmup, clip gradients (train.clip_norm), and go "
        "on from the last checkpoint with --resume"
        + ("; float16 ends at 65,504: train.precision = float32 does not" if float16 else ""),
    )


class SpikeDetector:
    """Tells values that lie far above what a window of recent ones lets expect.

    A value is a spike if it exceeds the mean of the last 128 by more than `threshold` standard deviations. Spikes
    enter the window too: a lasting change of level becomes normal instead of stopping the run for ever. The first
    20 values only fill the window.

    Args:
        threshold: Standard deviations.
        values: The window of a run that is resumed.
    """

    def __init__(self, threshold: float, values: Iterable[float] = ()) -> None:
        self.threshold = threshold
        self.values: deque[float] = deque(values, maxlen=WINDOW)

    def z_score(self, value: float) -> float:
        """Standard deviations that `value` lies above the window's mean (0 if there is too little to compare)."""
        n = len(self.values)
        if n < _FEWEST:
            return 0.0
        mean = math.fsum(self.values) / n
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / n)
        if deviation == 0:
            return 0.0
        return (value - mean) / deviation

    def observe(self, value: float) -> float | None:
        """Take a value in; its z-score if it is a spike, else None."""
        z = self.z_score(value)
        self.values.append(value)
        return z if z > self.threshold else None
