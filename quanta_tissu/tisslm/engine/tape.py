"""The tape: it records what ops did to variables and walks the record backwards.

Reverse-mode differentiation in three ideas:

1. While the model runs forward, every op applied to a `Variable` appends a node: the op, what its forward saved,
   its inputs and outputs.
2. The nodes are then in topological order, so visiting them last to first meets every output's gradient complete.
3. At each node the op's backward turns the gradient of its outputs into gradients of its inputs, which *add up*:
   a variable used twice (a tied weight, a residual stream) receives the sum over its uses.

The tape owns what forwards saved and drops it as soon as the node's backward has run, so memory falls while the
walk goes on. A tape is used once, by one thread.

Where even that is too much memory, `Tape.checkpoint` keeps only the input of a whole function, which runs again on
the way back (Chen et al. 2016, arXiv:1604.06174, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.engines import Engine, EngineOp, Implementation, current

Array = NDArray[Any]


class Variable:
    """An array on a tape.

    Attributes:
        value: The array.
        grad: Gradient of the loss with respect to `value`, same shape; None until some has arrived.
        tape: The tape that records what is done to it.
    """

    __slots__ = ("_buffer", "grad", "tape", "value")

    def __init__(self, value: Array, tape: Tape, buffer: Array | None = None) -> None:
        self.value = value
        self.tape = tape
        self.grad: Array | None = None
        self._buffer = buffer

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the value's elements."""
        return self.value.dtype

    def accumulate(self, d: Array) -> None:
        """Add `d` to the gradient.

        An op may hand the same array to several inputs (a residual add does), so what arrived is never changed
        in place unless it was copied into the variable's own buffer.
        """
        if self._buffer is not None:
            if self.grad is None:
                np.copyto(self._buffer, d)
                self.grad = self._buffer
            else:
                np.add(self._buffer, d, out=self._buffer)
        else:
            self.grad = d if self.grad is None else np.asarray(self.grad + d)


class _Node(NamedTuple):
    implementation: Implementation
    saved: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Variable, ...]


class _Checkpoint(NamedTuple):
    function: Callable[[Variable], Variable]
    input: Variable
    output: Variable


class Tape:
    """A record of op applications.

    Args:
        engine: What runs the ops; the current engine by default.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or current()
        self._nodes: list[_Node | _Checkpoint] = []
        self._recording = True

    def variable(self, value: Array, *, grad_buffer: Array | None = None) -> Variable:
        """Put an array on the tape.

        Args:
            value: The array to differentiate with respect to.
            grad_buffer: Where its gradient shall be written (same shape); by default a new array.
        """
        return Variable(value, self, grad_buffer)

    def apply(self, op: EngineOp, inputs: tuple[Any, ...], attributes: Mapping[str, Any]) -> Any:
        """Run an op forward and record it; inputs that are not variables are constants."""
        implementation = self.engine.implementation(op)
        values = [x.value if isinstance(x, Variable) else x for x in inputs]
        result, saved = implementation.forward(*values, **attributes)
        several = isinstance(result, tuple)
        outputs = tuple(Variable(y, self) for y in (result if several else (result,)))
        if self._recording:
            self._nodes.append(_Node(implementation, saved, inputs, outputs))
        return outputs if several else outputs[0]

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
            self._nodes.append(_Checkpoint(function, x, y))
        return y

    def backward(self, loss: Variable, d_loss: Array | None = None) -> None:
        """Walk the record backwards from `loss`; gradients land on the variables, and the record is spent.

        Args:
            loss: The variable to start from, usually a scalar.
            d_loss: Gradient to start with; ones by default.
        """
        loss.accumulate(np.ones_like(loss.value) if d_loss is None else d_loss)
        while self._nodes:
            node = self._nodes.pop()
            if isinstance(node, _Checkpoint):
                self._record_again(node)
                continue
            if all(y.grad is None for y in node.outputs):
                continue
            d_outputs = [np.zeros_like(y.value) if y.grad is None else y.grad for y in node.outputs]
            for y in node.outputs:
                y.grad = None
            d_inputs = node.implementation.backward(node.saved, *d_outputs)
            # An absent optional input at the end (a bias) has no gradient either, hence not strict.
            for x, d in zip(node.inputs, d_inputs, strict=False):
                if isinstance(x, Variable) and d is not None:
                    x.accumulate(d)

    def _record_again(self, node: _Checkpoint) -> None:
        """Put what a checkpointed function does on the end of the record, where the walk goes on."""
        d, node.output.grad = node.output.grad, None
        if d is not None:
            node.function(node.input).accumulate(d)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        before, self._recording = self._recording, False
        try:
            yield
        finally:
            self._recording = before
