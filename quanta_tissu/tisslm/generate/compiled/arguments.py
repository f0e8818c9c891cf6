"""What the compiled forward pass is given, in groups.

Letters as in `kernels.py`, which also has the constants that are named here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Rotation(NamedTuple):
    """How queries and keys are turned by their positions.

    Attributes:
        kind: NO_ROTATION, HALVES or NEIGHBOURS.
        cos: By position (C, E/2); none (0, 0) without rotation.
        sin: The same.
    """

    kind: int
    cos: Array
    sin: Array


class Model(NamedTuple):
    """What does not change from pass to pass.

    Only `forward_pass` gets it whole: compiling a function takes the longer, the more its tuples hold.

    Attributes:
        weights: All parameters (P).
        offsets: Of the parameters of every block (L, BLOCK_OFFSETS).
        embedding: Offset of the token embedding (V, D).
        positions: Offset of the learned positions (C, D), or ABSENT.
        waves: Vectors added to the embedding by position (C, D), or none (0, 0).
        final_norm: Offset of the weight of the norm before the output matrix, or ABSENT.
        final_shift: Offset of its bias, or ABSENT.
        head: Offset of the output matrix (V, D).
        vocabulary: V.
        heads: H.
        wide: F.
        layer_norm: Whether norms subtract the mean.
        eps: Added to the variance in norms.
        residual_from_norm: Whether a sub-layer is added to its normalised input (norms after the sum).
        activation: SWIGLU, GELU, GELU_TANH or RELU.
        rotation: Of queries and keys.
        window: Positions that a token sees, 0 for all.
    """

    weights: Array
    offsets: NDArray[np.int64]
    embedding: int
    positions: int
    waves: Array
    final_norm: int
    final_shift: int
    head: int
    vocabulary: int
    heads: int
    wide: int
    layer_norm: bool
    eps: float
    residual_from_norm: bool
    activation: int
    rotation: Rotation
    window: int


class Workspace(NamedTuple):
    """Buffers of a pass; those with W are one for each thread, the others shared.

    M is N, padded as `padded` says; what stands in the rows beyond N does not matter, as long as it is finite.

    Attributes:
        x: The residual stream (M, D).
        qkv: Queries, keys and values (M, (H + 2K)·E).
        up: Output of the first feed-forward matrix (M, F); for SwiGLU the gate and the value (M, 2F).
        hidden: The same after the activation (M, F).
        y: Output of the matrices that write to the residual stream (M, D).
        partial: For every stretch of positions and every head the weighted sum of the values, the largest score
            and the sum of the weights (W, N, H, E + 2).
        normed: Normalised input of a sub-layer (W, M, D).
        mixed: Output of attention (W, M, H·E).
        query: Rotated queries of one token (W, H·E).
        scores: Of one group of heads (W, G, C).
        logits: (B, padded, V).
    """

    x: Array
    qkv: Array
    up: Array
    hidden: Array
    y: Array
    partial: Array
    normed: Array
    mixed: Array
    query: Array
    scores: Array
    logits: Array


class PromptWorkspace(NamedTuple):
    """Buffers of a pass over a prompt; those with W are one for each thread, the others shared.

    M is `products.whole_tiles` of N. What stands in the rows beyond N does not matter, nor what stands in the gaps
    between the rows of what is multiplied, which are there for `products.rows_lie_apart`.

    Attributes:
        taken: Items of every phase that have been taken, zero at first (phases).
        x: The residual stream (M, D).
        normed: Normalised input of a sub-layer (M, at least D).
        qkv: Queries, keys and values (M, (H + 2K)·E).
        queries: Rotated queries (M, H·E).
        mixed: Output of attention (M, at least H·E).
        up: Output of the first feed-forward matrix (M, F); for SwiGLU the gate and the value (M, 2F).
        hidden: The same after the activation (M, at least F).
        panels: See `products.add_product` (W, panels, TERMS, LANES).
        edge: The same (W, TALL_TILE_ROWS, LANES).
        lse: Logarithms of sums of attention's weights (W, 1, QUERIES, G).
        scores: Of one token and one group of heads (W, G, C).
        partial: Of one token, as in `Workspace` (W, 1, 1, H, E + 2).
    """

    taken: NDArray[np.int64]
    x: Array
    normed: Array
    qkv: Array
    queries: Array
    mixed: Array
    up: Array
    hidden: Array
    panels: Array
    edge: Array
    lse: Array
    scores: Array
    partial: Array


class Tokens(NamedTuple):
    """The tokens of a pass.

    Attributes:
        ids: (N).
        positions: (N).
        rows: Row of the cache that each belongs to (N).
        columns: Where in that row it is stored (N).
        starts: First column of that row that is no padding (N).
        last: The tokens whose logits are wanted (B).
        single: Whether no row has more than one token.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    last: NDArray[np.int64]
    single: bool
