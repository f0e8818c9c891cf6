"""The tape: it records what ops did to variables and walks the record backwards.

Reverse-mode differentiation in three ideas:

1. While the model runs forward, every op applied to a `Variable` appends a node: the op, what its forward saved,
   its inputs and outputs.
2. The nodes are then in topological order, so visiting them last to first meets every output's gradient complete.
3. At each node the op's backward turns the gradient of its outputs into gradients of its inputs, which *add up*:
   a variable used twice (a tied weight, a residual stream) receives the sum over its uses.

The tape owns what forwards saved and drops it as soon as the node's backward has run, so memory falls while the
walk goes on. A tape is used once, by one thread.

Some ops are so cheap beside a matrix product (activations, norms) that their results are not kept for the
product's backward pass but made again: from their input, which their own backward pass needs anyway.

Where even that is too much memory, `Tape.checkpoint` keeps only the input of a whole function, which runs again on
the way back (Chen et al. 2016, arXiv:1604.06174, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.engines import Engine, EngineOp, Implementation, current
from quanta_tissu.tisslm.engine.gradient import Gradient, RowGradient

Array = NDArray[Any]
Receiver = Callable[[Gradient, bool], None]

LARGE = 2**20
"""Bytes from which on a cheap result is made again; smaller ones fill no memory worth the time."""


class Slot:
    """Where the gradient of a variable adds up.

    It is apart from the variable, so that the record does not keep values alive that no backward pass reads.

    Attributes:
        shape: Shape of the value, and of its gradient.
        dtype: Type of the value's elements.
        gradient: The sum of what has arrived; None before that, and if it is received elsewhere.
    """

    __slots__ = ("_own", "dtype", "gradient", "receive", "shape")

    def __init__(self, value: Array, receive: Receiver | None = None) -> None:
        self.shape = value.shape
        self.dtype = value.dtype
        self.gradient: Array | None = None
        self.receive = receive
        self._own = False

    def accumulate(self, d: Gradient, *, fresh: bool = False) -> None:
        """Add `d` to the gradient.

        An op may hand the same array to several inputs (a residual add does), so what arrived is changed in place
        only if it is known that nobody else has it.

        Args:
            d: What has arrived.
            fresh: Nobody else has it.
        """
        if self.receive is not None:
            self.receive(d, fresh)
            return
        if isinstance(d, RowGradient):
            d, fresh = d.dense(), True
        if self.gradient is None:
            self.gradient, self._own = d, fresh
        elif self._own:
            np.add(self.gradient, d, out=self.gradient)
        else:
            self.gradient, self._own = np.asarray(np.add(self.gradient, d, out=d if fresh else None)), True

    def take(self) -> Array:
        """The gradient, which is complete, zeros if nothing has arrived; the slot lets go of it."""
        gradient, self.gradient = self.gradient, None
        return np.zeros(self.shape, self.dtype) if gradient is None else gradient


class Recipe(NamedTuple):
    """How to make a value again, bit for bit."""

    make: Callable[[], Array]


class Variable:
    """An array on a tape.

    Attributes:
        value: The array.
        tape: The tape that records what is done to it.
        slot: Where its gradient adds up.
        recipe: How to make the value again, if that is cheaper than keeping it.
    """

    __slots__ = ("recipe", "slot", "tape", "value")

    def __init__(self, value: Array, tape: Tape, receive: Receiver | None = None) -> None:
        self.value = value
        self.tape = tape
        self.slot = Slot(value, receive)
        self.recipe: Recipe | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the value's elements."""
        return self.value.dtype

    @property
    def grad(self) -> Array | None:
        """Gradient of the loss with respect to `value`, same shape; None until some has arrived."""
        return self.slot.gradient


class Tape:
    """A record of op applications.

    Args:
        engine: What runs the ops; the current engine by default.
        d_loss: The gradient that `backward` will start with, if that is known beforehand, and if nothing is done
            with the loss but to call `backward`. The op that ends in the loss may then differentiate itself at
            once.
    """

    def __init__(self, engine: Engine | None = None, *, d_loss: float | None = None) -> None:
        self.engine = engine or current()
        self._d_loss = d_loss
        self._record: list[Callable[[], None]] = []  # each takes one step of the walk backwards
        self._recording = True

    def variable(self, value: Array, *, receive: Receiver | None = None) -> Variable:
        """Put an array on the tape.

        Args:
            value: The array to differentiate with respect to.
            receive: Called as `receive(gradient, fresh)` with the gradient of every use instead of adding them up
                on the variable; `fresh` says that nobody else has that array.
        """
        return Variable(value, self, receive)

    def apply(self, op: EngineOp, inputs: tuple[Any, ...], attributes: Mapping[str, Any]) -> Any:
        """Run an op forward and record it; inputs that are not variables are constants."""
        implementation = self.engine.implementation(op)
        values: list[Any] = []
        slots: list[Slot | None] = []
        recipes: dict[int, Recipe] = {}
        for x in inputs:
            if isinstance(x, Variable):
                values.append(x.value)
                slots.append(x.slot)
                if x.recipe is not None:
                    recipes[id(x.value)] = x.recipe
            else:
                values.append(x)
                slots.append(None)
        if self._d_loss is not None and self._recording and implementation.differentiate is not None:
            receive = partial(_receive, slots)
            loss = implementation.differentiate(*values, d_output=self._d_loss, receive=receive, **attributes)
            return Variable(loss, self)
        result, saved = implementation.forward(*values, **attributes)
        several = isinstance(result, tuple)
        outputs = [Variable(y, self) for y in result] if several else [Variable(result, self)]
        if self._recording:
            if recipes and isinstance(saved, tuple):
                saved = [recipes.get(id(item), item) for item in saved]
            back = partial(_differentiate, implementation.backward, saved, slots, [y.slot for y in outputs])
            self._record.append(back)
            if op.cheap and outputs[-1].value.nbytes >= LARGE:
                outputs[-1].recipe = _recipe(implementation, values, attributes, saved, several)
        return tuple(outputs) if several else outputs[0]

    def checkpoint(self, function: Callable[[Variable], Variable], x: Variable) -> Variable:
        """Run a function without recording what it does: only that it ran, and on what.

        When the walk backwards meets it, the function runs once more, recorded this time, and the walk goes on
        through the new record. It uses the same variables (parameters among them) in the same order as if it had
        been recorded at first, so gradients are the same to the last bit. It must do the same both times: a
        function that draws random numbers must draw the same again.

        Args:
            function: From a variable to a variable, by ops; other variables may come from its surroundings.
            x: Its argument, which stays in memory until then.
        """
        with self._paused():
            y = function(x)
        if self._recording:
            self._record.append(partial(_record_again, function, x, y.slot))
        return y

    def backward(self, loss: Variable, d_loss: Array | None = None) -> None:
        """Walk the record backwards from `loss`; gradients land on the variables, and the record is spent.

        Args:
            loss: The variable to start from, usually a scalar.
            d_loss: Gradient to start with; by default what the tape was told, or ones.
        """
        if d_loss is None:
            d_loss = np.full_like(loss.value, 1.0 if self._d_loss is None else self._d_loss)
        loss.slot.accumulate(d_loss)
        while self._record:
            # In a call of its own, which leaves no array behind that the next step does not need.
            self._record.pop()()

    @contextmanager
    def _paused(self) -> Iterator[None]:
        before, self._recording = self._recording, False
        try:
            yield
        finally:
            self._recording = before


def _differentiate(
    backward: Callable[..., tuple[Any, ...]], saved: Any, inputs: list[Slot | None], outputs: list[Slot]
) -> None:
    """Turn the gradients of an op's outputs into gradients of its inputs.

    Args:
        backward: The op's.
        saved: What its forward saved; as a list if recipes stand in it for values.
        inputs: Where their gradients go; None for constants.
        outputs: Where their gradients are.
    """
    if all(y.gradient is None for y in outputs):
        return
    d_outputs = [y.take() for y in outputs]
    d_inputs = backward(_with_cheap_values(saved), *d_outputs)
    given = [id(d) for d in (*d_outputs, *d_inputs)]
    # An absent optional input at the end (a bias) has no gradient either, hence not strict.
    for slot, d in zip(inputs, d_inputs, strict=False):
        if slot is not None and d is not None:
            # A view's memory may be someone else's.
            alone = isinstance(d, np.ndarray) and d.base is None and given.count(id(d)) == 1
            slot.accumulate(d, fresh=alone)


def _record_again(function: Callable[[Variable], Variable], x: Variable, output: Slot) -> None:
    """Put what a checkpointed function does on the end of the record, where the walk goes on."""
    if output.gradient is not None:
        function(x).slot.accumulate(output.take())


def _receive(inputs: list[Slot | None], number: int, gradient: Gradient) -> None:
    slot = inputs[number]
    if slot is not None:
        slot.accumulate(gradient, fresh=True)


def _recipe(
    implementation: Implementation, inputs: list[Any], attributes: Mapping[str, Any], saved: Any, several: bool
) -> Recipe | None:
    """How to make an op's last result again: from what it saved, or from its inputs if it has no other result."""
    again = implementation.again
    if again is not None:
        return Recipe(lambda: again(_with_cheap_values(saved)))
    return None if several else Recipe(lambda: implementation.forward(*inputs, **attributes)[0])


def _with_cheap_values(saved: Any) -> Any:
    """What the forward saved."""
    if not isinstance(saved, list):
        return saved
    return tuple([item.make() if isinstance(item, Recipe) else item for item in saved])
