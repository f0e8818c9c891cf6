"""An engine that calls a function after every operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from quanta_tissu.tisslm.engine.engines import Engine, EngineOp, Implementation
from quanta_tissu.tisslm.ops.op import Pair


@dataclass(frozen=True)
class WatchingEngine(Engine):
    """Runs what another engine runs.

    Attributes:
        inner: The other engine.
        after: Called with the number of the operation, from 0, forward and backward counted apart.
    """

    inner: Engine
    after: Callable[[int], None]
    _numbers: Any = field(default_factory=count)

    @classmethod
    def around(cls, inner: Engine, after: Callable[[int], None]) -> WatchingEngine:
        """An engine that does what `inner` does."""
        return cls(inner.name, inner, after)

    def implementation(self, op: EngineOp) -> Implementation:
        """The other engine's code, followed by the call."""
        code = self.inner.implementation(op)
        value = None if code.value is None else self._watched(code.value)
        return Pair(self._watched(code.forward), self._watched(code.backward), value, again=code.again)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self.after(next(self._numbers))
            return result

        return run
