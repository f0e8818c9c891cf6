"""Parameters looked at by their dotted names: shapes and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.model.parameter import Parameters


@dataclass(frozen=True)
class ParameterStatistics:
    """One parameter in numbers; all are over its finite elements, None if it has none.

    Attributes:
        name: Dotted name.
        shape: Its shape.
        size: Number of elements.
        mean: Mean.
        std: Standard deviation.
        minimum: Smallest element.
        maximum: Largest element.
        norm: Euclidean norm.
        zeros: Share of elements that are exactly 0.
        non_finite: Number of elements that are infinite or not a number.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    norm: float | None
    zeros: float
    non_finite: int


@dataclass(frozen=True)
class ParameterNode:
    """A part of a model's tree of names.

    Attributes:
        name: Dotted name of the part; empty for the whole model.
        size: Number of elements below it.
        shape: Shape if it is a parameter itself, None if it is a part that holds others.
        children: Its parts, in the order of use.
    """

    name: str
    size: int
    shape: tuple[int, ...] | None
    children: tuple[ParameterNode, ...]

    @property
    def label(self) -> str:
        """Last component of the name."""
        return self.name.rpartition(".")[2]


def select(parameters: Parameters, name: str) -> list[str]:
    """Names of the parameters that a dotted name stands for: one parameter, or all below a part of the model.

    Args:
        parameters: The model's parameters.
        name: `model.layers.0.mlp.down_proj.weight`, or the beginning of such a name that ends at a dot,
            `model.layers.0.mlp` for example.

    Raises:
        ConfigError: There is no such name; the hint suggests those that come near.
    """
    chosen = [full for full in parameters if full == name or full.startswith(f"{name}.")]
    if chosen:
        return chosen
    known = sorted({prefix for full in parameters for prefix in _prefixes(full)})
    close = get_close_matches(name, known, n=3, cutoff=0.6) or _ending_with(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"parts: {', '.join(_top(known))}"
    raise ConfigError(f"the model has no parameter or part called {name!r}", hint=hint)


def statistics(name: str, array: NDArray[Any]) -> ParameterStatistics:
    """Statistics of one array, computed in float64."""
    flat = np.asarray(array, dtype=np.float64).reshape(-1)
    finite = flat[np.isfinite(flat)]
    some = bool(finite.size)
    return ParameterStatistics(
        name=name,
        shape=array.shape,
        size=int(flat.size),
        mean=float(finite.mean()) if some else None,
        std=float(finite.std()) if some else None,
        minimum=float(finite.min()) if some else None,
        maximum=float(finite.max()) if some else None,
        norm=float(np.linalg.norm(finite)) if some else None,
        zeros=float(np.count_nonzero(flat == 0) / max(1, flat.size)),
        non_finite=int(flat.size - finite.size),
    )


def histogram(array: NDArray[Any], bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts in equal bins between the smallest and the largest finite element.

    Args:
        array: Any shape.
        bins: Number of bins.

    Returns:
        Counts (bins,) and edges (bins + 1,).
    """
    flat = np.asarray(array, dtype=np.float64).reshape(-1)
    counts, edges = np.histogram(flat[np.isfinite(flat)], bins=bins)
    return counts.astype(np.int64), edges


def tree(parameters: Parameters, name: str = "") -> ParameterNode:
    """The names as a tree, with sizes.

    Args:
        parameters: The model's parameters.
        name: The part to begin at; empty for the whole model.

    Raises:
        ConfigError: There is no such part.
    """
    return _node(parameters, select(parameters, name) if name else list(parameters), name)


def _node(parameters: Parameters, names: Sequence[str], name: str) -> ParameterNode:
    if list(names) == [name]:
        return ParameterNode(name, parameters[name].size, parameters[name].shape, ())
    depth = name.count(".") + 1 if name else 0
    parts = dict.fromkeys(".".join(full.split(".")[: depth + 1]) for full in names)
    children = tuple(
        _node(parameters, [full for full in names if full == part or full.startswith(f"{part}.")], part)
        for part in parts
    )
    return ParameterNode(name, sum(child.size for child in children), None, children)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _ending_with(name: str, known: Sequence[str]) -> list[str]:
    """Names whose end was given without their beginning, `mlp.down_proj` for example."""
    return [full for full in known if full.endswith(f".{name}")][:3]


def _top(known: Sequence[str]) -> list[str]:
    return [name for name in known if name.count(".") <= 1]
