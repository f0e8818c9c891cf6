"""Exact search gives what comparing with all vectors gives, however many there are and however they are stored."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from quanta_tissu.tissdb.codes import STORAGES, decode, encode
from quanta_tissu.tissdb.search import nearest as module
from quanta_tissu.tissdb.search.nearest import Snapshot, columns_of, nearest


def snapshot(vectors, storage="float32", rids=None, gone=()):
    vectors = np.asarray(vectors, np.float32)
    rids = np.arange(1, len(vectors) + 1) if rids is None else np.asarray(rids)
    dimension = vectors.shape[1]
    columns = columns_of(encode(vectors, storage), storage, dimension)
    longest = float(np.sqrt(columns["squares"].max(initial=0)))
    return Snapshot(storage, dimension, rids, np.array(gone, np.int64), longest, columns)


@pytest.fixture(params=["all are computed", "most are ruled out"])
def way(request, monkeypatch):
    """Both ways of searching, whatever the number of vectors."""
    if request.param == "most are ruled out":
        monkeypatch.setattr(module, "_MANY", 0)
        monkeypatch.setattr(module, "_FEW", 10**9)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("storage", "metric"),
    [*product(("float32", "int8"), ("dot", "l2", "cosine")), ("bit", "cosine")],  # bits have no length
)
@pytest.mark.parametrize("share", [None, 0.5, 0.05])
@pytest.mark.parametrize("dimension", [1, 8, 19, 384])
def test_the_nearest_are_those_that_a_loop_finds(storage, metric, share, dimension):
    random = np.random.default_rng(dimension)
    vectors = random.normal(size=(501, dimension)).astype(np.float32) * random.uniform(0.1, 9, (501, 1))
    query = random.normal(size=dimension).astype(np.float32)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        query /= np.linalg.norm(query)
    vectors = vectors.astype(np.float32)
    allowed = None if share is None else random.choice(np.arange(1, 502), int(501 * share), replace=False)
    exact = decode(encode(vectors, storage), storage, dimension).astype(np.float64)
    scores = -np.linalg.norm(exact - query, axis=1) if metric == "l2" else exact @ query
    rows = range(1, 502) if allowed is None else allowed
    expected = sorted((scores[rid - 1] for rid in rows if rid not in (7, 8)), reverse=True)[:10]
    found = nearest(snapshot(vectors, storage, gone=(6, 7)), query, metric, 10, allowed)
    assert np.allclose([score for _, score in found], expected, rtol=1e-5, atol=2e-6)
    assert all(np.isclose(scores[rid - 1], score, rtol=1e-5, atol=2e-6) for rid, score in found)
    assert len({rid for rid, _ in found}) == len(found)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("storage", STORAGES)
def test_of_equally_near_ones_the_oldest_come_first(storage):
    vectors = np.repeat(np.random.default_rng(0).normal(size=(1, 20)), 90, axis=0)
    vectors /= np.linalg.norm(vectors[0])
    found = nearest(snapshot(vectors, storage, rids=range(90, 0, -1)), np.float32(vectors[0]), "cosine", 4)
    assert [rid for rid, _ in found] == [1, 2, 3, 4]


@pytest.mark.usefixtures("way")
def test_what_is_gone_is_not_found():
    query = np.ones(1, np.float32)
    assert nearest(snapshot([[3.0], [2.0], [1.0]], gone=[0]), query, "dot", 1) == [(2, 2.0)]
    assert nearest(snapshot([[3.0], [2.0], [1.0]], gone=[0]), query, "dot", 5) == [(2, 2.0), (3, 1.0)]
    assert nearest(snapshot([[3.0]], gone=[0]), query, "dot", 5) == []
    assert nearest(snapshot(np.empty((0, 1))), query, "dot", 5) == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("scale", [1e-42, 1e-20, 1e15, 1e19])
@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_very_small_and_very_large_numbers(scale, metric):
    vectors = np.array([[1, 0], [0.9, 0], [0.1, 0], [-1, 0], [0, 0]]) * scale
    query = np.array([scale, 0], np.float32) if metric == "l2" else np.array([1, 0], np.float32)
    found = nearest(snapshot(vectors), query, metric, 2)
    assert found[0][0] == 1
    assert scale < 1e-19 or found[1][0] == 2  # squares of less are zero


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_a_query_of_zeros(metric):
    found = nearest(snapshot([[3.0, 0], [2.0, 0], [1.0, 0]]), np.zeros(2, np.float32), metric, 2)
    assert [rid for rid, _ in found] == ([3, 2] if metric == "l2" else [1, 2])


def test_many_are_shared_out_among_the_cores(monkeypatch):
    from quanta_tissu.tissdb.search import kernels

    monkeypatch.setattr(kernels, "_cores", lambda: 3)
    random = np.random.default_rng(0)
    rows = random.integers(-127, 128, (50_001, 7)).astype(np.int8)
    scales = random.uniform(size=50_001).astype(np.float32)
    query = random.integers(-30_000, 30_000, 7).astype(np.int16)
    expected = (rows.astype(np.int64) @ query) * scales.astype(np.float64)
    assert np.allclose(kernels.products_of_bytes(rows, scales, query), expected, rtol=1e-6)
    bits = random.integers(0, 256, (50_001, 3)).astype(np.uint8)
    signs = 2.0 * np.unpackbits(bits, axis=1, count=19, bitorder="little") - 1
    weights = random.normal(size=19).astype(np.float32)
    assert np.allclose(kernels.products_of_bits(bits, weights), signs @ weights, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("like", ["embeddings", "noise"])
def test_recall_is_one_on_ten_thousands(like):
    random = np.random.default_rng(0)
    count, dimension = 30_000, 384
    vectors = random.normal(size=(count, dimension))
    if like == "embeddings":
        topics = random.normal(size=(100, 40))[random.integers(0, 100, count)]
        latent = topics + 0.35 * random.normal(size=(count, 40))
        vectors = latent @ random.normal(size=(40, dimension)) + 0.3 * vectors
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    there = snapshot(vectors)
    for query in vectors[:20]:
        expected = np.lexsort((np.arange(count), -(vectors.astype(np.float64) @ query)))[:10] + 1
        assert [rid for rid, _ in nearest(there, query, "cosine", 10)] == expected.tolist()
