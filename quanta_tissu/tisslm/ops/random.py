"""The random masks of dropout, a pure function of a seed, so that every engine draws the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool


def keep_mask(shape: tuple[int, ...], p: float, seed: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """Draw which elements dropout keeps: True with probability 1 - p, independently.

    The generator is the counter-based Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
    1, 2, 3"), keyed by a hash of the whole seed, so that different seeds, however close, give unrelated masks.

    Args:
        shape: Shape of the mask.
        p: Probability of dropping an element, 0 <= p < 1.
        seed: Integers that name the mask: run, step, call site and so on.

    Returns:
        Boolean array of that shape.

    Raises:
        ValueError: p is not a probability below one.
    """
    return keep_mask_in_parts(p, seed)(shape)


def keep_mask_in_parts(p: float, seed: tuple[int, ...]) -> Callable[[tuple[int, ...]], Bool[np.ndarray, "..."]]:
    """Draw the same mask piece by piece, where the whole would take too much memory.

    Returns:
        A function that draws as many elements as a shape has, in row-major order, and goes on where its last call
        ended: pieces along the first axis, one after the other, are those of `keep_mask`.
    """
    if not 0 <= p < 1:
        raise ValueError(f"a dropout probability is at least 0 and below 1; it is {p}")
    # Not a SeedSequence, to which (1, 2) and (1, 2, 0) are the same.
    digest = hashlib.sha256(" ".join(str(int(part)) for part in seed).encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    return lambda shape: generator.random(shape, dtype=np.float32) >= p
