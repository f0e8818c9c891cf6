"""Scaled dot-product attention: causal, with grouped key-value heads, sliding window, padding mask and dropout.

Vaswani et al. 2017, arXiv:1706.03762, eq. 1. Grouped key-value heads: Ainslie et al. 2023, arXiv:2305.13245,
section 2.2. Sliding window: Beltagy et al. 2020, arXiv:2004.05150, section 3.1. The gradient: Dao et al. 2022,
arXiv:2205.14135, appendix B.2.

Inside, heads are grouped by the key-value head they read: queries are (B, K, G, T, E) and keys (B, K, 1, S, E),
with G = H / K, so that broadcasting over G shares keys and values without copying them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from quanta_tissu.tisslm.ops.op import Sample, define
from quanta_tissu.tisslm.ops.random import keep_mask


def forward(
    q: Float[np.ndarray, "B T H E"],
    k: Float[np.ndarray, "B S K E"],
    v: Float[np.ndarray, "B S K E"],
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
    key_mask: Bool[np.ndarray, "B S"] | None = None,
    dropout: float = 0.0,
    seed: tuple[int, ...] | None = None,
) -> tuple[Float[np.ndarray, "B T H E"], Any]:
    """Average the values, weighted by how well their keys fit the query: y = drop(softmax(scale · q kᵀ)) v.

    Query i stands at position S - T + i among the S keys (the T queries are the last ones). A query that may
    attend to nothing gives zeros.

    Args:
        q: Queries.
        k: Keys; query head h reads key-value head h // (H/K).
        v: Values.
        scale: Factor of the scores, 1 / sqrt(E) by default.
        causal: See no later position than one's own.
        window: See this many last positions only, one's own included; None for all.
        key_mask: True where a key may be attended to (padding is False); None for everywhere.
        dropout: Probability of dropping an attention weight.
        seed: Seed of the dropped weights (see `ops/random.py`); needed if `dropout` is not zero.

    Raises:
        ValueError: There is dropout but no seed.
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    p = _softmax_of_scores(q, k, scale, causal, window, key_mask)
    keep = _keep(p, dropout, seed)
    y = _ungroup((p if keep is None else p * keep) @ _group_keys(v))
    return y, (q, k, v, p, keep, scale)


def backward(saved: Any, dy: Float[np.ndarray, "B T H E"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    The steps of forward, for one head, are

        s = scale · q kᵀ      p = softmax(s)      w = p ⊙ keep      y = w v

    and backwards (sums over i run over queries, over j over keys):

        dv_j = Σ_i w_ij dy_i                            dw_ij = dy_i · v_j
        dp   = dw ⊙ keep
        ds_ij = p_ij (dp_ij - Σ_j' dp_ij' p_ij')        (softmax, see softmax.py; masked p_ij = 0 pass nothing)
        dq_i = scale · Σ_j ds_ij k_j                    dk_j = scale · Σ_i ds_ij q_i

    A key-value head serves G query heads and collects dk and dv from all of them.
    """
    q, k, v, p, keep, scale = saved
    kv_heads = k.shape[2]
    grouped_dy = _group_queries(dy, kv_heads)
    w = p if keep is None else p * keep
    dv = w.swapaxes(-1, -2) @ grouped_dy
    dp = grouped_dy @ _group_keys(v).swapaxes(-1, -2)
    if keep is not None:
        dp *= keep
    ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
    ds *= scale
    dq = ds @ _group_keys(k)
    dk = ds.swapaxes(-1, -2) @ _group_queries(q, kv_heads)
    return _ungroup(dq), _sum_groups(dk), _sum_groups(dv)


def attention_weights(
    q: Float[np.ndarray, "B T H E"],
    k: Float[np.ndarray, "B S K E"],
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
    key_mask: Bool[np.ndarray, "B S"] | None = None,
) -> Float[np.ndarray, "B H T S"]:
    """Return the weights that `attention` gives to the values, for inspection; arguments as there."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    p = _softmax_of_scores(q, k, scale, causal, window, key_mask)
    B, K, G, T, S = p.shape
    return p.reshape(B, K * G, T, S)


def visible(queries: int, keys: int, *, causal: bool, window: int | None) -> Bool[np.ndarray, "T S"]:
    """Say which key each query may see, by position alone."""
    position = np.arange(keys - queries, keys)[:, None]
    key = np.arange(keys)
    mask = np.ones((queries, keys), dtype=bool)
    if causal:
        mask &= key <= position
    if window is not None:
        mask &= key > position - window
    return mask


def _softmax_of_scores(
    q: np.ndarray,
    k: np.ndarray,
    scale: float,
    causal: bool,
    window: int | None,
    key_mask: np.ndarray | None,
) -> np.ndarray:
    """Attention weights (B, K, G, T, S): a softmax over the visible keys, zeros if there are none."""
    scores = _group_queries(q, k.shape[2]) @ _group_keys(k).swapaxes(-1, -2)
    scores *= scale
    mask = visible(q.shape[1], k.shape[1], causal=causal, window=window)
    if key_mask is not None:
        mask = mask & key_mask[:, None, None, None, :]
    scores = np.where(mask, scores, -np.inf)
    largest = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
    largest[np.isneginf(largest)] = 0
    weights: np.ndarray = np.exp(scores - largest)
    total = np.sum(weights, axis=-1, keepdims=True)
    total[total == 0] = 1
    weights /= total
    return weights


def _keep(p: np.ndarray, dropout: float, seed: tuple[int, ...] | None) -> np.ndarray | None:
    """Factors of the weights: 0 where dropped and 1 / (1 - dropout) elsewhere; None without dropout."""
    if dropout == 0:
        return None
    if seed is None:
        raise ValueError("attention with dropout needs a seed")
    B, K, G, T, S = p.shape
    mask = keep_mask((B, K * G, T, S), dropout, seed).reshape(p.shape)
    return mask.astype(p.dtype) / (1 - dropout)


def _group_queries(q: np.ndarray, kv_heads: int) -> np.ndarray:
    """(B, T, H, E) -> (B, K, G, T, E)."""
    B, T, H, E = q.shape
    return q.reshape(B, T, kv_heads, H // kv_heads, E).transpose(0, 2, 3, 1, 4)


def _group_keys(k: np.ndarray) -> np.ndarray:
    """(B, S, K, E) -> (B, K, 1, S, E)."""
    return k.transpose(0, 2, 1, 3)[:, :, None]


def _ungroup(y: np.ndarray) -> np.ndarray:
    """(B, K, G, T, E) -> (B, T, H, E)."""
    B, K, G, T, E = y.shape
    return y.transpose(0, 3, 1, 2, 4).reshape(B, T, K * G, E)


def _sum_groups(dk: np.ndarray) -> np.ndarray:
    """(B, K, G, S, E) -> (B, S, K, E)."""
    summed: np.ndarray = np.sum(dk, axis=2)
    return summed.transpose(0, 2, 1, 3)


def torch_twin(
    q: Any,
    k: Any,
    v: Any,
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
    key_mask: Any = None,
    dropout: float = 0.0,
    seed: tuple[int, ...] | None = None,
) -> Any:
    """The same in PyTorch, with the same mask of dropped weights; without a seed its own generator draws one."""
    import torch
    from torch.nn import functional

    (B, T, H, E), S = q.shape, k.shape[1]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    grouped = k.shape[1] != H
    fused = partial(functional.scaled_dot_product_attention, scale=scale, enable_gqa=grouped)
    if dropout == 0 or seed is None:
        fused = partial(fused, dropout_p=dropout)
        if window is None and key_mask is None and (not causal or T == S):
            return fused(q, k, v, is_causal=causal).transpose(1, 2)
    mask = torch.as_tensor(visible(T, S, causal=causal, window=window), device=q.device)[None, None]
    if key_mask is not None:
        mask = mask & torch.as_tensor(key_mask, device=q.device)[:, None, None, :]
    # A row without visible keys would be 0/0: let it see everything, then zero its result.
    sees_something = mask.any(dim=-1, keepdim=True)
    mask = mask | ~sees_something
    if dropout == 0 or seed is None:
        return (fused(q, k, v, attn_mask=mask) * sees_something).transpose(1, 2)
    k, v = (x.repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(E) if scale is None else scale)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    keep = torch.as_tensor(keep_mask((B, H, T, S), dropout, seed), device=q.device)
    return ((weights * keep / (1 - dropout)) @ v * sees_something).transpose(1, 2)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Multi-head, grouped-query and multi-query; each mask alone and all together; more keys than queries."""

    def qkv(T: int, S: int, H: int, K: int) -> tuple[np.ndarray, ...]:
        return rng.normal(size=(2, T, H, 4)), rng.normal(size=(2, S, K, 4)), rng.normal(size=(2, S, K, 4))

    padding = np.array([[False, False, True, True, True], [True, True, True, True, False]])
    yield Sample("causal", qkv(4, 4, 2, 2))
    yield Sample("not causal, scale", qkv(3, 4, 2, 2), {"causal": False, "scale": 0.3})
    yield Sample("grouped-query", qkv(3, 3, 4, 2))
    yield Sample("multi-query, cached keys", qkv(2, 5, 3, 1))
    yield Sample("one query, cached keys", qkv(1, 5, 4, 2))
    yield Sample("window", qkv(5, 5, 2, 1), {"window": 2})
    yield Sample("window, cached keys", qkv(2, 5, 2, 1), {"window": 3})
    yield Sample("padding, rows that see nothing", qkv(5, 5, 2, 1), {"key_mask": padding})
    yield Sample("not causal, padding", qkv(5, 5, 2, 2), {"causal": False, "key_mask": padding})
    yield Sample("dropout", qkv(4, 4, 2, 2), {"dropout": 0.4, "seed": (7,)})
    everything = {"window": 3, "key_mask": padding, "dropout": 0.3, "seed": (1, 2), "scale": 0.7}
    yield Sample("all together", qkv(4, 5, 4, 2), everything)
    yield Sample("large", qkv(150, 150, 4, 2), large=True)
    padding = np.arange(131) < np.array([[131], [70]])
    yield Sample(
        "large, not causal, padding", qkv(131, 131, 2, 2), {"causal": False, "key_mask": padding}, large=True
    )
    padding = np.arange(201) >= np.array([[0], [77]])
    everything = {"window": 65, "key_mask": padding, "dropout": 0.3, "seed": (3,)}
    yield Sample("large, all together", qkv(131, 201, 4, 2), everything, large=True)


attention = define(
    "attention",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Dao et al. 2022, arXiv:2205.14135, appendix B.2",
)
