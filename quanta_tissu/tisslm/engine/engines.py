"""The engines: `reference` runs the readable code, `fast` its otherwise identical Numba twins, `torch` PyTorch.

The NumPy engines decide which code an op runs on arrays. The torch engine works the other way round: whoever holds
a model puts its weights into torch tensors (`model/pytorch.py`), and ops on tensors are PyTorch's. Ops on arrays,
which are few then, run the readable code.

Which engine is current is a context variable, so that threads and nested calls cannot disturb each other:

    with engine.use("reference"):
        logits = model.logits(ids)
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from quanta_tissu.errors import ConfigError, MissingDependencyError


@runtime_checkable
class Implementation(Protocol):
    """A forward with its backward: the readable pair of an op, or the pair of its fast twin."""

    @property
    def forward(self) -> Callable[..., tuple[Any, Any]]:
        """`forward(*inputs, **attributes) -> (outputs, saved)`."""

    @property
    def backward(self) -> Callable[..., tuple[Any, ...]]:
        """`backward(saved, *d_outputs) -> d_inputs`."""

    @property
    def value(self) -> Callable[..., Any] | None:
        """`value(*inputs, **attributes) -> outputs`: forward without what backward needs; None: forward does."""

    @property
    def differentiate(self) -> Callable[..., Any] | None:
        """`differentiate(*inputs, d_output, receive, **attributes) -> output`: both passes at once; or None."""

    @property
    def again(self) -> Callable[..., Any] | None:
        """`again(saved) -> output`: the last output once more, from what backward needs; or None."""


class EngineOp(Protocol):
    """What an engine needs to know of an op."""

    @property
    def name(self) -> str:
        """The op's name in the registry."""

    @property
    def readable(self) -> Implementation:
        """The reference implementation."""

    @property
    def cheap(self) -> bool:
        """Whether making its result again costs less than keeping it."""

    def fast_twin(self) -> Implementation | None:
        """The Numba implementation, or None where the readable one is already as fast."""


@dataclass(frozen=True)
class Engine:
    """A way to run ops."""

    name: str

    def implementation(self, op: EngineOp) -> Implementation:
        """The code this engine runs for `op`."""
        if self.name == "fast":
            return op.fast_twin() or op.readable
        return op.readable

    def function(self, name: str, readable: Callable[..., Any]) -> Callable[..., Any]:
        """The code this engine runs for a function of `flat.py`, whose readable version is given."""
        if self.name != "fast":
            return readable
        from quanta_tissu.tisslm.engine import flat_kernels

        kernel: Callable[..., Any] = getattr(flat_kernels, name)
        return kernel


ENGINES = {name: Engine(name) for name in ("reference", "fast", "torch")}


def _default() -> Engine:
    return ENGINES["fast" if importlib.util.find_spec("numba") else "reference"]


_current: ContextVar[Engine] = ContextVar("tissu_engine", default=_default())  # noqa: B039 (frozen)


def current() -> Engine:
    """The engine that runs ops in this context."""
    return _current.get()


def get(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        ConfigError: There is no such engine, or it needs a library that is not installed.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}", hint=f"choose one of: {', '.join(ENGINES)}")
    if name == "fast" and importlib.util.find_spec("numba") is None:
        raise ConfigError(
            "the fast engine needs Numba, which is not installed",
            hint="install it with `pip install numba`, or choose the reference engine",
        )
    if name == "torch":
        require_torch()
    return ENGINES[name]


def require_torch() -> None:
    """Refuse early, and with a remedy, what needs PyTorch where it is not installed.

    Raises:
        MissingDependencyError: It is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingDependencyError(
            "the torch engine needs PyTorch, which is not installed",
            hint="install it with `pip install 'quanta-tissu[torch]'`, or choose the fast engine",
        )


@contextmanager
def use(name: str | Engine) -> Iterator[Engine]:
    """Make an engine the current one inside a `with` block."""
    engine = get(name) if isinstance(name, str) else name
    token = _current.set(engine)
    try:
        yield engine
    finally:
        _current.reset(token)
