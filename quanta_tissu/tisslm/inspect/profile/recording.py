"""Timing operations as they run: an engine that wraps another one.

The engine decides which code an operation runs, so it is the one place from which all of them can be timed; model
and operations know nothing of it, and without it nothing is lost. Work is counted in a run of its own, because
counting takes longer than some operations do.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.engines import Engine, EngineOp, Implementation
from quanta_tissu.tisslm.engine.workers import among_others
from quanta_tissu.tisslm.inspect.profile.costs import (
    Call,
    Work,
    arrays_in,
    backward_work,
    forward_work,
    function_work,
)

Array = NDArray[Any]


class Key(NamedTuple):
    """What times are added up by.

    Attributes:
        op: The operation, or another part of a step.
        phase: "forward", "backward", or what a workload calls its own: "prefill", "decode", "update".
        module: The module it belongs to: "attention".
        layer: The block it belongs to; None outside the blocks.
    """

    op: str
    phase: str
    module: str
    layer: int | None


@dataclass
class Tally:
    """What the operations of one key came to in a run.

    Attributes:
        calls: How often.
        seconds: Time, a share of it where several threads ran at once; without what ran inside.
        flops: Floating-point operations; None where one has no formula.
        nbytes: Least number of bytes to move.
        allocated: Bytes of new arrays that forward returned.
        kept: Bytes that forward saved, nothing before it had saved, and are there when backward begins: the first
            time in a run that it does.
    """

    calls: int = 0
    seconds: float = 0.0
    flops: float | None = 0.0
    nbytes: float = 0.0
    allocated: int = 0
    kept: int = 0


@dataclass
class Run:
    """One recorded run.

    Attributes:
        seconds: Its time on the clock.
        tallies: What it came to, by key.
    """

    seconds: float = 0.0
    tallies: dict[Key, Tally] = field(default_factory=dict)


class _Here(threading.local):
    """What a thread is doing."""

    def __init__(self) -> None:
        self.module = ""
        self.layer: int | None = None
        self.open: list[list[float]] = []  # operations under way: when they began, and seconds inside them
        self.saved: list[tuple[weakref.ref[Array], int, Tally]] = []  # who owns what forward saved, bytes, whose


class Recorder:
    """Collects what operations take.

    Args:
        threads: How many threads run operations at the same time; their seconds count as a share of this.
        parameters: In training, the buffer of all parameters: what forward saves is kept, but for these. None
            where nothing is differentiated, and so nothing is kept.
    """

    def __init__(self, threads: int, parameters: Array | None = None) -> None:
        self.threads = threads
        self.phase: str | None = None
        self._parameters = parameters
        self._counting = False
        self._events: list[tuple[Key, float]] = []
        self._counts: dict[Key, Tally] = {}
        self._seen: set[int] = set()
        self._settled: set[int] = set()
        self._here = _Here()
        self._lock = threading.Lock()
        self._main = threading.get_ident()

    def engine(self, inner: Engine) -> Engine:
        """An engine that does what another one does, timed."""
        return _ProfilingEngine(inner.name, inner, self)

    def time(self, run: Callable[[], object]) -> Run:
        """Run something and time its operations."""
        self._events, self._main = [], threading.get_ident()
        start = perf_counter()
        run()
        seconds = perf_counter() - start
        tallies: dict[Key, Tally] = {}
        for key, share in self._events:
            tally = tallies.setdefault(key, Tally())
            tally.calls += 1
            tally.seconds += share
        return Run(seconds, tallies)

    def count(self, run: Callable[[], object]) -> dict[Key, Tally]:
        """Run something and count the work and the memory of its operations; its times mean nothing."""
        self._counts, self._seen, self._settled, self._counting = {}, set(), set(), True
        try:
            run()
        finally:
            self._counting = False
        return self._counts

    @contextmanager
    def module(self, name: str, layer: int | None) -> Iterator[None]:
        """Operations inside a `with` block, in this thread, belong to a module."""
        here = self._here
        before = here.module, here.layer
        here.module, here.layer = name, layer
        try:
            yield
        finally:
            here.module, here.layer = before

    def timed(self, key: Key, function: Callable[..., Any], work: Callable[..., Work]) -> Callable[..., Any]:
        """A function timed as a whole, with all that it does on whichever threads.

        Args:
            key: What it is.
            function: The function; it is called from the thread that calls `time`.
            work: How much a call is; it gets the same arguments before the call.
        """

        def run(*args: Any, **kwargs: Any) -> Any:
            events, counts = self._events, self._counts
            self._events, self._counts = [], {}  # what runs inside is part of it
            amount = work(*args, **kwargs) if self._counting else None
            start = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds = perf_counter() - start
                self._events, self._counts = events, counts
                now = key._replace(phase=self.phase or key.phase)
                self._events.append((now, seconds))
                if amount is not None:
                    self._add(now, amount)

        return run

    def key(self, op: str, phase: str) -> Key:
        """The key of an operation that this thread runs now."""
        here = self._here
        module = here.module or MODULE_OF_OP.get(op, "other")
        return Key(op, self.phase or phase, module, here.layer)

    def call(self, key: Key, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function, and enter the seconds that it took without those of operations inside it."""
        inside = self._here.open
        entry = [perf_counter(), 0.0]
        inside.append(entry)
        try:
            return function(*args, **kwargs)
        finally:
            seconds = perf_counter() - entry[0]
            inside.pop()
            if inside:
                inside[-1][1] += seconds
            alone = threading.get_ident() == self._main and not among_others()
            share = 1 if alone else self.threads
            self._events.append((key, (seconds - entry[1]) / share))

    @property
    def counting(self) -> bool:
        """Whether work is counted now, and not time."""
        return self._counting

    def tally_forward(self, key: Key, call: Call, saved: Any) -> None:
        """Count what a forward did."""
        tally = self._add(key, forward_work(key.op, call))
        given = [x for x in call.inputs if isinstance(x, np.ndarray)]
        tally.allocated += sum(y.nbytes for y in call.outputs if not any(np.may_share_memory(x, y) for x in given))
        thread = threading.get_ident()
        if self._parameters is None or thread in self._settled:
            return
        for array in arrays_in(saved):
            address = array.__array_interface__["data"][0]
            if address not in self._seen and not np.may_share_memory(array, self._parameters):
                self._seen.add(address)
                self._here.saved.append((weakref.ref(_owner(array)), array.nbytes, tally))

    def settle(self) -> None:
        """Backward begins in this thread: what forward has saved and is still there, is kept."""
        thread = threading.get_ident()
        if thread not in self._settled:
            self._settled.add(thread)
            for owner, nbytes, tally in self._here.saved:
                if owner() is not None:
                    tally.kept += nbytes
            self._here.saved.clear()

    def tally_backward(
        self, forward: Key, key: Key, call: Call, saved: Any, d_outputs: Any, d_inputs: Any
    ) -> None:
        """Count what a backward did; where its results were saved by forward already, that has done the work."""
        work = backward_work(key.op, call, saved, d_outputs, d_inputs)
        given, results = list(arrays_in(saved)), list(arrays_in(d_inputs))
        if results and all(any(np.may_share_memory(d, x) for x in given) for d in results):
            earlier = self._counts[forward]
            earlier.flops = None if work.flops is None or earlier.flops is None else earlier.flops + work.flops
            earlier.nbytes += sum(d.nbytes for d in results)
            work = Work(0.0, 0.0)
        self._add(key, work)

    def tally_function(self, key: Key, args: Sequence[Any]) -> None:
        """Count what a function of `engine/flat.py` does."""
        self._add(key, function_work(key.op, args))

    def _add(self, key: Key, work: Work) -> Tally:
        with self._lock:
            tally = self._counts.setdefault(key, Tally())
        tally.calls += 1
        tally.flops = None if work.flops is None or tally.flops is None else tally.flops + work.flops
        tally.nbytes += work.nbytes
        return tally


# Operations outside every module of the decoder.
MODULE_OF_OP = {
    "embedding": "embedding",
    "linear": "head",
    "cross_entropy": "head",
    "linear_cross_entropy": "head",
    "add": "residual",
    "dropout": "residual",
    "sum_into": "optimizer",
    "squared_norm": "optimizer",
    "add_rows": "embedding",
}


@dataclass(frozen=True)
class _ProfilingEngine(Engine):
    """Runs what another engine runs, and tells a recorder."""

    inner: Engine
    recorder: Recorder

    def implementation(self, op: EngineOp) -> Implementation:
        """The other engine's code, timed, for the module that asks for it now."""
        return _Timed(op.name, self.inner.implementation(op), self.recorder)

    def function(self, name: str, readable: Callable[..., Any]) -> Callable[..., Any]:
        """The other engine's code, timed."""
        function, recorder = self.inner.function(name, readable), self.recorder

        def timed(*args: Any) -> Any:
            key = recorder.key(name, "update")
            if recorder.counting:
                recorder.tally_function(key, args)
            return recorder.call(key, function, args, {})

        return timed


class _Timed:
    """One application of an operation."""

    def __init__(self, name: str, inner: Implementation, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder
        self._forward_key = recorder.key(name, "forward")
        self._backward_key = self._forward_key._replace(phase=recorder.phase or "backward")
        self._call: Call | None = None
        self.differentiate = None  # the passes are timed one by one
        self.value = None if inner.value is None else partial(self._value, inner.value)
        self.again = None if inner.again is None else partial(self._again, inner.again)

    def forward(self, *inputs: Any, **attributes: Any) -> tuple[Any, Any]:
        """As the operation's, timed."""
        recorder = self._recorder
        result: tuple[Any, Any] = recorder.call(self._forward_key, self._inner.forward, inputs, attributes)
        if recorder.counting:
            self._call = _described(inputs, attributes, result[0])
            recorder.tally_forward(self._forward_key, self._call, result[1])
        return result

    def _value(self, value: Callable[..., Any], *inputs: Any, **attributes: Any) -> Any:
        recorder = self._recorder
        result = recorder.call(self._forward_key, value, inputs, attributes)
        if recorder.counting:
            recorder.tally_forward(self._forward_key, _described(inputs, attributes, result), ())
        return result

    def _again(self, again: Callable[..., Any], saved: Any) -> Any:
        return self._recorder.call(self._forward_key, again, (saved,), {})

    def backward(self, saved: Any, *d_outputs: Any) -> tuple[Any, ...]:
        """As the operation's, timed."""
        recorder = self._recorder
        if recorder.counting:
            recorder.settle()
        result: tuple[Any, ...] = recorder.call(self._backward_key, self._inner.backward, (saved, *d_outputs), {})
        if recorder.counting and self._call is not None:
            keys = self._forward_key, self._backward_key
            recorder.tally_backward(*keys, self._call, saved, d_outputs, result)
        return result


def _described(inputs: tuple[Any, ...], attributes: dict[str, Any], result: Any) -> Call:
    outputs = result if isinstance(result, tuple) else (result,)
    return Call(inputs, attributes, [np.asarray(y) for y in outputs])


def _owner(array: Array) -> Array:
    """The array whose memory this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
