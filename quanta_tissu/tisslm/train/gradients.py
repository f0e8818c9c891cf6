"""Gradients of all parameters, summed over replicas as they come."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from threading import Condition
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
    one, and so on; a replica that has ended is left out. A contribution that comes before its turn is kept here,
    so the bits do not depend on timing. Of the first two, which give the same sum in either order, neither has to
    be: with two replicas that is most of what comes. A replica goes on meanwhile; only if several of its
    contributions are kept, so that they would fill memory, it gives the others a moment. It never depends on them.

    Args:
        shape: Shape of the parameter.
        size: Elements of its span in the flat buffer, padding included.
        dtype: Element type.
        replicas: Number of replicas.
    """

    def __init__(self, shape: tuple[int, ...], size: int, dtype: np.dtype[Any], replicas: int) -> None:
        self._shape = shape
        self._elements = prod(shape)
        self._size = size
        self._dtype = dtype
        self._changed = Condition()
        self._patient = True
        self._waiting: list[deque[tuple[Gradient, bool]]] = [deque() for _ in range(replicas)]
        self._ended = [False] * replicas
        self._round = list(range(replicas))
        self._turn = 0
        self._adding = False
        self._total: Array | None = None

    def add(self, replica: int, gradient: Gradient, fresh: bool) -> None:
        """Contribute.

        Args:
            replica: Who contributes.
            gradient: The contribution.
            fresh: Nobody else has this array: it may become the sum.
        """
        self._waiting[replica].append((gradient, fresh))
        self._add_those_in_turn()
        if len(self._waiting[replica]) > _KEPT:
            self._give_others_a_moment(replica)

    def end(self, replica: int) -> None:
        """Take note that nothing more comes from a replica."""
        self._ended[replica] = True
        self._add_those_in_turn()

    def clear(self) -> None:
        """Forget everything; no replica may be at work."""
        self._total, self._turn, self._adding, self._patient = None, 0, False, True
        self._round.sort()
        for replica, waiting in enumerate(self._waiting):
            waiting.clear()
            self._ended[replica] = False

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

    def _add_those_in_turn(self) -> None:
        while (contribution := self._next()) is not None:
            self._add(*contribution)
            del contribution  # or it would be there while the next one is looked for
            self._adding = False

    def _next(self) -> tuple[Gradient, bool] | None:
        """The contribution whose turn it is; None if it has not come yet, or another thread is adding.

        That thread looks again when it is done, so what came meanwhile is not forgotten.
        """
        with self._changed:
            if self._adding:
                return None
            self._let_the_second_go_first()
            for _ in range(2 * len(self._round)):  # past the end of a round that was swapped, all of the next
                replica = self._round[self._turn]
                waiting = self._waiting[replica]
                if not waiting and not self._ended[replica]:
                    return None
                self._turn += 1
                if self._turn == len(self._round):
                    self._turn = 0
                    self._round.sort()
                if waiting:
                    self._adding = True
                    self._changed.notify_all()
                    return waiting.popleft()
            return None

    def _give_others_a_moment(self, replica: int) -> None:
        """Wait until few contributions are kept; not again if that takes too long: another one may have failed."""
        with self._changed:
            if self._patient:
                self._patient = self._changed.wait_for(lambda: len(self._waiting[replica]) <= _KEPT, _MOMENT)

    def _let_the_second_go_first(self) -> None:
        """Swap the first two of the first round if only the second is there and it does not matter."""
        if self._total is None and self._turn == 0 and len(self._round) > 1:
            first, second = self._waiting[self._round[0]], self._waiting[self._round[1]]
            if not first and second and _commutes(second[0][0]):
                self._round[:2] = self._round[1::-1]

    def _add(self, gradient: Gradient, fresh: bool) -> None:
        if isinstance(gradient, RowGradient):
            gradient.add_to(self.array)
        elif self._total is not None:
            flat.sum_into(self.array.reshape(-1), np.ascontiguousarray(gradient).reshape(-1))
        elif fresh and gradient.size == self._size and gradient.flags.c_contiguous:
            self._total = gradient.reshape(-1)
        else:
            np.copyto(self.array, gradient)


def _commutes(gradient: Gradient) -> bool:
    """Whether two such gradients have one sum: no element is added to twice within one of them."""
    return not isinstance(gradient, RowGradient) or isinstance(gradient.ids, slice)


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
        flat: The same by place in the flat buffer; may be written to.
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
        return [total.total for total in self._sums.values()]

    def __getitem__(self, name: str) -> Array:
        view = self._sums[name].array
        view.flags.writeable = False
        return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)
