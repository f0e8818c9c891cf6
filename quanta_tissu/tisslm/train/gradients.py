"""Gradients of all parameters, summed over replicas as they come."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from operator import or_
from threading import Condition, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import flat
from quanta_tissu.tisslm.engine.gradient import Gradient, RowGradient
from quanta_tissu.tisslm.engine.tape import Receiver
from quanta_tissu.tisslm.model import Parameters

Array = NDArray[Any]

# How many contributions a replica may be ahead with before it waits, and for how many seconds at most.
_KEPT, _MOMENT = 2, 0.5


class GradientSum:
    """The sum of what replicas contribute to the gradient of one parameter, always in the same order.

    First comes the first contribution of every replica, in the order of the replicas, then the second of every
    one, and so on; a replica that has ended is left out. Contributions are kept until such a round is complete,
    and whoever completes it adds them up, so the bits do not depend on timing and nobody waits for a turn. Only if
    a replica has several contributions kept, so that they would fill memory, it gives the others a moment. It
    never depends on them.

    Args:
        shape: Shape of the parameter.
        size: Elements of its span in the flat buffer, padding included.
        dtype: Element type.
        replicas: Number of replicas.

    Attributes:
        squared_norm: Sum of the elements' squares, if adding up has shown it; None if not, or if who has written
            to them has said so.
    """

    def __init__(self, shape: tuple[int, ...], size: int, dtype: np.dtype[Any], replicas: int) -> None:
        self._shape = shape
        self._elements = prod(shape)
        self._size = size
        self._dtype = dtype
        self._changed = Condition(Lock())
        self._kept: list[deque[tuple[Gradient, bool]]] = [deque() for _ in range(replicas)]
        self._ended = [False] * replicas
        self._patient = True
        self._total: Array | None = None
        self.squared_norm: float | None = None

    def add(self, replica: int, gradient: Gradient, fresh: bool) -> None:
        """Contribute.

        Args:
            replica: Who contributes.
            gradient: The contribution.
            fresh: Nobody else has this array: it may become the sum.
        """
        kept = self._kept[replica]
        with self._changed:
            kept.append((gradient, fresh))
            self._add_complete_rounds()
            if len(kept) > _KEPT and self._patient:
                # Not again if that takes too long: another one may have failed.
                self._patient = self._changed.wait_for(lambda: len(kept) <= _KEPT, _MOMENT)

    def end(self, replica: int) -> None:
        """Take note that nothing more comes from a replica."""
        self._ended[replica] = True
        if any(self._kept):
            with self._changed:
                self._add_complete_rounds()

    def clear(self) -> None:
        """Forget everything; no replica may be at work."""
        self._total, self.squared_norm, self._patient = None, None, True
        self._ended = [False] * len(self._kept)
        for kept in self._kept:
            kept.clear()

    @property
    def total(self) -> Array:
        """The sum, one-dimensional and with padding; zero if nothing came."""
        if self._total is None:
            self._total = np.zeros(self._size, self._dtype)
        return self._total

    @property
    def array(self) -> Array:
        """The sum in the parameter's shape."""
        return self.total[: self._elements].reshape(self._shape)

    def _add_complete_rounds(self) -> None:
        while any(self._kept) and all(map(or_, map(bool, self._kept), self._ended)):
            for kept in self._kept:
                if kept:
                    self._add(*kept.popleft())
            self._changed.notify_all()

    def _add(self, gradient: Gradient, fresh: bool) -> None:
        self.squared_norm = None
        if isinstance(gradient, RowGradient):
            gradient.add_to(self.array)
        elif self._total is not None:
            part = np.ascontiguousarray(gradient).reshape(-1)
            self.squared_norm = flat.sum_into(self._total[: self._elements], part)
        elif fresh and gradient.size == self._size and gradient.flags.c_contiguous:
            self._total = gradient.reshape(-1)
        else:
            np.copyto(self.array, gradient)


class FlatGradients:
    """Gradients by their place in the parameters' flat buffer, for an update that goes along it.

    Args:
        starts: Where each parameter begins, ascending.
        sums: Its gradient.
    """

    def __init__(self, starts: Sequence[int], sums: Sequence[GradientSum]) -> None:
        self._starts = starts
        self._sums = sums

    def __getitem__(self, span: slice) -> Array:
        """Elements of a span, which must lie within one parameter and the padding behind it."""
        index = bisect_right(self._starts, span.start) - 1
        start = self._starts[index]
        return self._sums[index].total[span.start - start : span.stop - start]


class Gradients(Mapping[str, Array]):
    """Gradients of all parameters by name, as views that cannot be written to.

    They are no single buffer: an array that a backward pass makes becomes the sum of the arrays that follow, and
    is given back before the next forward pass. So gradients and activations, which grow and shrink against each
    other, take turns in the same memory.

    Args:
        parameters: The parameters.
        replicas: Number of replicas.

    Attributes:
        flat: The same by place in the flat buffer; not to be written to.
    """

    def __init__(self, parameters: Parameters, replicas: int) -> None:
        starts = [parameters.slices[spec.name].start for spec in parameters.specs]
        sizes = [b - a for a, b in pairwise([*starts, parameters.flat.size])]
        self._sums = {
            spec.name: GradientSum(spec.shape, size, parameters.dtype, replicas)
            for spec, size in zip(parameters.specs, sizes, strict=True)
        }
        self.flat = FlatGradients(starts, list(self._sums.values()))

    def receiver(self, name: str, replica: int) -> Receiver:
        """What a tape hands a replica's contributions to one parameter to."""
        return partial(self._sums[name].add, replica)

    def end(self, replica: int) -> None:
        """Take note that nothing more comes from a replica."""
        for total in self._sums.values():
            total.end(replica)

    def clear(self) -> None:
        """Give the memory back; no replica may be at work."""
        for total in self._sums.values():
            total.clear()

    def totals(self) -> list[Array]:
        """The gradient of each parameter, one-dimensional, in the order of the parameters; may be written to."""
        for total in self._sums.values():
            total.squared_norm = None  # what is known of it will not be true
        return [total.total for total in self._sums.values()]

    def squared_norms(self) -> tuple[list[float], list[Array]]:
        """Squared norms of those gradients where it is known already, and all the others, one-dimensional."""
        sums = self._sums.values()
        known = [total.squared_norm for total in sums if total.squared_norm is not None]
        return known, [total.total for total in sums if total.squared_norm is None]

    def __getitem__(self, name: str) -> Array:
        view = self._sums[name].array
        view.flags.writeable = False
        return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)
