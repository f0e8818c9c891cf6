"""What every optimizer is: an element-wise update of one flat parameter buffer, with settings per slice of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.engine.threads import ThreadTeam

Flat = NDArray[Any]

# Elements updated at a time: what an update reads and writes then stays in a core's cache, temporaries included.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Group:
    """A slice of the flat buffer whose elements are updated with the same settings.

    Attributes:
        start: First element.
        stop: One past the last element.
        learning_rate_scale: Factor on the learning rate.
        weight_decay: Decay of these elements; 0 for biases and norms.
    """

    start: int
    stop: int
    learning_rate_scale: float = 1.0
    weight_decay: float = 0.0


class Spans(Protocol):
    """What has an element for every parameter: a flat array, for one."""

    def __getitem__(self, span: slice, /) -> Flat:
        """The elements of a span that lies within one group."""


class Optimizer(ABC):
    """An update rule applied to a flat parameter buffer in place.

    A subclass names its state in `buffers` and writes the rule as `update`, which sees one contiguous span at a
    time and may not look beyond it: the spans are shared out among threads.

    Args:
        parameters: The flat buffer, changed by every `step`.
        groups: Slices of it with their settings; elements in no group are left alone.
        learning_rate: Peak learning rate.
        team: Threads to share the work among; without it the caller does it all.

    Attributes:
        steps: Updates made so far.
        state: The named buffers of the update rule, of the parameters' length and type.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        parameters: Flat,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        team: ThreadTeam | None = None,
    ) -> None:
        self.parameters = parameters
        self.groups = merge(groups)
        self.learning_rate = learning_rate
        self.steps = 0
        self.state: dict[str, Flat] = {name: np.zeros_like(parameters) for name in self.buffers}
        self.team = team
        # Of the groups as they were given: one for each parameter, and gradients end where a parameter does.
        self._shares = _share(sorted(groups, key=lambda g: g.start), team.size if team else 1)

    def step(self, gradients: Spans, *, factor: float = 1.0, gradient_scale: float = 1.0) -> None:
        """Update all parameters.

        Args:
            gradients: Gradient of the loss, one element per parameter, as a flat array or as whatever else gives
                the span of each group; not changed.
            factor: What the schedule makes of the learning rate at this step.
            gradient_scale: Factor on the gradient; clipping by norm passes it here and saves a pass over memory.
        """
        self.steps += 1
        work = [partial(self._work, share, gradients, factor, gradient_scale) for share in self._shares]
        if self.team is None:
            work[0]()
        else:
            self.team.run(work)

    def _work(self, share: Sequence[Group], gradients: Spans, factor: float, gradient_scale: float) -> None:
        for group in share:
            span = slice(group.start, group.stop)
            self.update(
                self.parameters[span],
                gradients[span],
                *(buffer[span] for buffer in self.state.values()),
                learning_rate=self.learning_rate * factor * group.learning_rate_scale,
                weight_decay=group.weight_decay,
                gradient_scale=gradient_scale,
            )

    @abstractmethod
    def update(
        self,
        parameter: Flat,
        gradient: Flat,
        *state: Flat,
        learning_rate: float,
        weight_decay: float,
        gradient_scale: float,
    ) -> None:
        """Update one span in place; `state` are its spans of `buffers`, in that order."""

    def state_dict(self) -> dict[str, Flat]:
        """The state by name (not copied); `steps` goes beside it."""
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Flat], steps: int) -> None:
        """Take over the state of another optimizer of the same kind.

        Raises:
            CheckpointError: Names, shapes or types are not those of this optimizer.
        """
        kind = type(self).__name__
        if set(state) != set(self.state):
            raise CheckpointError(
                f"the saved optimizer state has {sorted(state)}; {kind} has {sorted(self.state)}",
                hint="resume with the optimizer that the run was started with",
            )
        for name, buffer in self.state.items():
            saved = state[name]
            if saved.shape != buffer.shape or saved.dtype != buffer.dtype:
                raise CheckpointError(
                    f"the saved optimizer state {name!r} is {saved.dtype}{list(saved.shape)}; this model needs "
                    f"{buffer.dtype}{list(buffer.shape)}",
                    hint="the checkpoint belongs to another architecture",
                )
        for name, buffer in self.state.items():
            np.copyto(buffer, state[name])
        self.steps = steps


def merge(groups: Sequence[Group]) -> list[Group]:
    """Join neighbours that share their settings."""
    merged: list[Group] = []
    for group in sorted(groups, key=lambda g: g.start):
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.stop == group.start
            and (last.learning_rate_scale, last.weight_decay) == (group.learning_rate_scale, group.weight_decay)
        ):
            merged[-1] = Group(last.start, group.stop, group.learning_rate_scale, group.weight_decay)
        else:
            merged.append(group)
    return merged


def _share(groups: Sequence[Group], workers: int) -> list[list[Group]]:
    """Cut the groups into chunks and deal these out so that all workers have about as many elements."""
    total = sum(group.stop - group.start for group in groups)
    shares: list[list[Group]] = [[] for _ in range(workers)]
    done = 0
    for group in groups:
        start = group.start
        while start < group.stop:
            worker = min(done * workers // total, workers - 1)
            room = -(-(worker + 1) * total // workers) - done
            stop = min(group.stop, start + _CHUNK, start + max(1, room))
            shares[worker].append(Group(start, stop, group.learning_rate_scale, group.weight_decay))
            done += stop - start
            start = stop
    return shares
