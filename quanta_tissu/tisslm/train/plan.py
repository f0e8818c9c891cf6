"""The plan of a run: which sequences each step consumes, and how many steps there are."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from quanta_tissu.tisslm.config import TrainConfig

DEFAULT_STEPS = 2000
"""Length of a run that is limited neither in steps nor in epochs nor in seconds."""


@dataclass(frozen=True)
class StepPlan:
    """The sequences of one optimizer step.

    Attributes:
        start: Number of the first sequence.
        micro_batches: Sizes of the micro-batches, in order; the last may be smaller.
    """

    start: int
    micro_batches: tuple[int, ...]

    @property
    def count(self) -> int:
        """Sequences in the step."""
        return sum(self.micro_batches)


class BatchPlan:
    """Maps steps to sequences; a pure function, so that resuming and prefetching need no bookkeeping.

    A step takes `gradient_accumulation` micro-batches of `batch_size` sequences, fewer while the batch ramps up.
    The step in which an epoch ends takes what is left of it: gradients never wait across the boundary, and each
    sequence is seen once an epoch. Random windows know no boundary; for them only the end of the run cuts.

    Args:
        config: The `train` section.
        per_epoch: Sequences in one epoch.
        cut_epochs: Whether epochs end on step boundaries (strided and packed windows).
        first_step: Step at which this plan takes over (a resumed run).
        first_position: Sequences consumed before that step.
    """

    def __init__(
        self,
        config: TrainConfig,
        per_epoch: int,
        *,
        cut_epochs: bool,
        first_step: int = 0,
        first_position: int = 0,
    ) -> None:
        self.config = config
        self.per_epoch = per_epoch
        self.cut_epochs = cut_epochs
        self.first_step = first_step
        self.end = None if config.max_epochs is None else max(1, round(config.max_epochs * per_epoch))
        self._full = config.batch_size * config.gradient_accumulation
        # Positions of the steps in the ramp; what follows has a closed form.
        self._starts = [first_position]
        for step in range(first_step, max(first_step, config.batch_ramp_steps)):
            self._starts.append(self._after(self._starts[-1], step))

    def batch_size(self, step: int) -> int:
        """Sequences in a full micro-batch of this step."""
        ramp, first, last = self.config.batch_ramp_steps, self.config.batch_ramp_start, self.config.batch_size
        return last if step >= ramp else first + (last - first) * step // ramp

    def start(self, step: int) -> int:
        """Sequences consumed before this step (which must not lie before `first_step`); none after the end."""
        position = self._unlimited_start(step)
        return position if self.end is None else min(position, max(self.end, self._starts[0]))

    def _unlimited_start(self, step: int) -> int:
        ramped = min(step - self.first_step, len(self._starts) - 1)
        position, steps = self._starts[ramped], step - self.first_step - ramped
        if not self.cut_epochs:
            return position + steps * self._full
        left = self.per_epoch - position % self.per_epoch
        if steps < (first := -(-left // self._full)):
            return position + steps * self._full
        epochs, steps = divmod(steps - first, -(-self.per_epoch // self._full))
        return position + left + epochs * self.per_epoch + steps * self._full

    def step(self, step: int) -> StepPlan:
        """The sequences of one step."""
        start = self.start(step)
        size, count = self.batch_size(step), self._after(start, step) - start
        whole, tail = divmod(count, size)
        return StepPlan(start, (size,) * whole + ((tail,) if tail else ()))

    @property
    def total_steps(self) -> int | None:
        """Steps of the whole run; None if only time limits it."""
        if self.config.max_steps is not None:
            return self.config.max_steps
        if self.end is None:
            return DEFAULT_STEPS if self.config.max_seconds is None else None
        # A step consumes at least one sequence, so the end is reached within `end` steps.
        return bisect_left(range(self.first_step + self.end + 1), self.end, lo=self.first_step, key=self.start)

    def _after(self, position: int, step: int) -> int:
        """Position after a step that begins at `position`."""
        after = position + self.batch_size(step) * self.config.gradient_accumulation
        if self.cut_epochs:
            after = min(after, (position // self.per_epoch + 1) * self.per_epoch)
        return after if self.end is None else min(after, max(position, self.end))
