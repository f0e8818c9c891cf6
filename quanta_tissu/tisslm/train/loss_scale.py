"""Dynamic loss scaling, which keeps the gradients of a float16 pass within what float16 can represent."""

from __future__ import annotations


class LossScale:
    """A power of two that multiplies the loss before it is differentiated, and divides the gradients afterwards.

    Below 6e-8 a float16 is zero, and many gradients of a mean over a batch are smaller. A gradient is linear in
    the loss, so a larger loss lifts all of them alike. As large as possible is best: the scale doubles after a
    number of finite gradients in a row, and when it turns out too large, because a gradient became infinite, that
    update is left out and the scale halves.

    Micikevicius et al. 2018, arXiv:1710.03740, sections 3.2 and 5; the same first value, factors and interval as
    PyTorch's `GradScaler`.

    Args:
        first: First value, a power of two: multiplying and dividing by it rounds nothing.
        interval: Gradients in a row that are finite before the scale doubles.

    Attributes:
        value: The scale. It does not fall below one: gradients that overflow there have diverged.
        good_steps: Finite gradients since it last changed.
    """

    def __init__(self, first: float, interval: int) -> None:
        self.value = first
        self.good_steps = 0
        self._interval = interval

    def is_too_large(self, gradient_is_finite: bool) -> bool:
        """Take in whether a gradient was finite; True if the scale was to blame, and has been halved."""
        if not gradient_is_finite:
            self.good_steps = 0
            if self.value == 1:
                return False
            self.value /= 2
            return True
        self.good_steps += 1
        if self.good_steps == self._interval:
            self.value *= 2
            self.good_steps = 0
        return False
