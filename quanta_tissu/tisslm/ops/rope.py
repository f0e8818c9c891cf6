"""Rotary position embedding: turn pairs of channels by an angle that grows with position.

Su et al. 2021, arXiv:2104.09864, eq. 34. Because rotations compose, the dot product of a query turned by m θ with
a key turned by n θ depends on the positions through n - m alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "B T H E"],
    *,
    cos: Float[np.ndarray, "#B T R"],
    sin: Float[np.ndarray, "#B T R"],
    interleaved: bool = False,
    heads: int | None = None,
) -> tuple[Float[np.ndarray, "B T H E"], Any]:
    """Rotate every pair (a, b) of channels by its angle: a' = a cos - b sin, b' = b cos + a sin.

    Args:
        x: Queries, keys or both; behind them there may be values, as in a packed projection.
        cos: Cosines of the R = E/2 angles of each position, the same for all heads.
        sin: Their sines.
        interleaved: Pairs are channels (2i, 2i+1), as in the paper, instead of (i, i + E/2).
        heads: Rotate so many heads and leave those behind them as they are; None for all.
    """
    cos, sin = (table.astype(x.dtype, copy=False)[:, :, None, :] for table in (cos, sin))
    return rotate(x, cos, sin, interleaved, heads), (cos, sin, interleaved, heads)


def backward(saved: Any, dy: Float[np.ndarray, "B T H E"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = (da', db') for each pair.

    A rotation's Jacobian is the rotation itself and its transpose is the rotation by the opposite angle:

        da = da' cos + db' sin
        db = db' cos - da' sin

    What was left as it was has its gradient left as it is.
    """
    cos, sin, interleaved, heads = saved
    return (rotate(dy, cos, -sin, interleaved, heads),)


def rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool, heads: int | None) -> np.ndarray:
    """Rotate pairs of the last axis of x (B, T, H, E) by angles given as cos and sin (#B, T, 1, E/2)."""
    y = x.copy()
    a, b = _pairs(x[:, :, :heads], interleaved)
    rotated_a, rotated_b = _pairs(y[:, :, :heads], interleaved)
    rotated_a[...] = a * cos - b * sin
    rotated_b[...] = b * cos + a * sin
    return y


def _pairs(x: np.ndarray, interleaved: bool) -> tuple[np.ndarray, np.ndarray]:
    """Views of the first and second channels of all pairs."""
    if interleaved:
        return x[..., 0::2], x[..., 1::2]
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def torch_twin(x: Any, *, cos: Any, sin: Any, interleaved: bool = False, heads: int | None = None) -> Any:
    """The same in PyTorch."""
    import torch

    x, behind = (x, None) if heads is None else (x[:, :, :heads], x[:, :, heads:])
    wide = torch.promote_types(x.dtype, torch.float32)  # the angles of far positions need it, also for bfloat16
    cos, sin = (torch.as_tensor(table, dtype=wide, device=x.device)[:, :, None, :] for table in (cos, sin))
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)
    rotated = (a * cos - b * sin, b * cos + a * sin)
    y = torch.stack(rotated, dim=-1).flatten(-2) if interleaved else torch.cat(rotated, dim=-1)
    y = y.to(x.dtype)
    return y if behind is None else torch.cat((y, behind), dim=2)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Both pairings; angles shared by the batch and angles per sequence; all heads and some."""
    x, angles = rng.normal(size=(2, 3, 2, 6)), rng.uniform(0, 6, size=(2, 3, 3))
    shared = {"cos": np.cos(angles[:1]), "sin": np.sin(angles[:1])}
    own = {"cos": np.cos(angles), "sin": np.sin(angles)}
    yield Sample("halves", (x,), {**shared, "interleaved": False})
    yield Sample("interleaved", (x,), {**shared, "interleaved": True})
    yield Sample("halves, positions per sequence", (x,), {**own, "interleaved": False})
    yield Sample("interleaved, positions per sequence", (x,), {**own, "interleaved": True})
    for interleaved in (False, True):
        label = f"{'interleaved' if interleaved else 'halves'}, some heads"
        yield Sample(label, (x,), {**shared, "interleaved": interleaved, "heads": 1})
    x, angles = rng.normal(size=(3, 67, 5, 34)), rng.uniform(0, 60, size=(1, 67, 17))
    many = {"cos": np.cos(angles), "sin": np.sin(angles)}
    yield Sample("large, halves", (x,), {**many, "interleaved": False, "heads": 4}, large=True)
    yield Sample("large, interleaved", (x,), {**many, "interleaved": True}, large=True)


rope = define(
    "rope",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Su et al. 2021, arXiv:2104.09864, eq. 34",
)
