"""Nearness on every engine is what NumPy finds in float64 by looking at everything, at the edges too."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.codes import decode, encode
from quanta_tissu.tissdb.search import nearest as module
from quanta_tissu.tissdb.search.nearest import Snapshot, columns_of, nearest

METRICS = ("cosine", "dot", "l2")

_numbers = count()


def scores(vectors, query, metric):
    """By the definition, in float64."""
    vectors, query = np.asarray(vectors, np.float64), np.asarray(query, np.float64)
    if metric == "l2":
        return -np.sqrt(((vectors - query) ** 2).sum(axis=1))
    return vectors @ query


def collection(db, vectors, **options):
    items = db[f"c{next(_numbers)}"]
    items.create_index("near", kind="vector", dimension=len(vectors[0]), **options)
    items.insert_many({"_id": f"{n:04}", "_vectors": {"near": vector}} for n, vector in enumerate(vectors))
    return items


def found(items, query, k):
    return [(int(hit.document.id), hit.score) for hit in items.search(vector=query, k=k)]


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# Small whole numbers: their products are exact in float32, so that equal scores are equal and ties are ties.
WHOLE = arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(-4, 4))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(vectors=WHOLE, query=arrays(np.float32, 3, elements=st.integers(-4, 4)), k=st.integers(1, 15))
@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_any_vectors_and_ties_in_the_order_in_which_they_came(db, metric, vectors, query, k):
    expected = scores(vectors, query, metric)
    order = np.lexsort((np.arange(len(vectors)), -expected))[:k]
    hits = found(collection(db, vectors, metric=metric), query, k)
    assert [n for n, _ in hits] == order.tolist()
    np.testing.assert_allclose([score for _, score in hits], expected[order], rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dimension", [1, 2, 4096])
def test_from_one_dimension_to_thousands(db, metric, dimension):
    random = np.random.default_rng(dimension)
    vectors = random.normal(size=(20, dimension)).astype(np.float32)
    query = random.normal(size=dimension).astype(np.float32)
    expected = scores(unit(vectors), unit(query), metric) if metric == "cosine" else scores(vectors, query, metric)
    hits = found(collection(db, vectors, metric=metric), query, 50)
    assert len(hits) == 20  # k beyond what there is
    order = np.array([n for n, _ in hits])
    # A sum of products is as exact as they are large, not as their sum is.
    size = 1 if metric == "cosine" else float(np.linalg.norm(vectors[0]) * np.linalg.norm(query))
    np.testing.assert_allclose([score for _, score in hits], expected[order], rtol=1e-6, atol=1e-7 * size)
    assert np.all(np.diff(expected[order]) <= 1e-7 * size)


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_zero_vectors_are_vectors_where_length_counts(db, metric):
    items = collection(db, [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], metric=metric)
    assert found(items, [0.0, 0.0], 3) == (
        [(0, 0), (1, 0), (2, 0)] if metric == "dot" else [(0, 0), (1, -1), (2, -1)]
    )
    assert [n for n, _ in found(items, [-0.9, 0.0], 3)] == [2, 0, 1]


def test_zero_vectors_have_no_direction(db):
    items = collection(db, [[1.0, 0.0]])
    for use in (lambda: items.insert({}, vectors={"near": [0.0, 0.0]}), lambda: items.search(vector=[0.0, 0.0])):
        with pytest.raises(InvalidDocumentError, match="is zero, which has no direction"):
            use()
    assert items.count() == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_no_number_is_neither_stored_nor_looked_for(db, metric, wrong):
    items = collection(db, [[1.0, 0.0]], metric=metric)
    with pytest.raises(InvalidDocumentError, match="NaN or infinity"):
        items.insert({}, vectors={"near": [wrong, 1.0]})
    with pytest.raises(InvalidDocumentError, match="NaN or infinity"):
        items.search(vector=[wrong, 1.0])
    assert items.count() == 1


@pytest.mark.parametrize("metric", ["dot", "l2"])
@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-25, 1e-15, 1e15, 1e25, 3e38])
@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_numbers_of_any_size_are_in_order(db, metric, scale, storage):
    ways = np.array([[1, 0.5], [0.9, -0.5], [0.2, 0.1], [-1, 0.3], [0, 0]])
    with np.errstate(all="ignore"):
        vectors = (ways * scale).astype(np.float32)
        stored = decode(encode(vectors, storage), storage, 2)
    query = vectors[0] if metric == "l2" else np.array([1, 0.5], np.float32)
    items = collection(db, vectors, metric=metric, storage=storage)
    expected = scores(stored, query, metric)
    hits = found(items, query, 5)
    assert [n for n, _ in hits] == np.lexsort((np.arange(5), -expected)).tolist()
    np.testing.assert_allclose([score for _, score in hits], expected[[n for n, _ in hits]], rtol=1e-5)


def test_directions_of_the_smallest_and_largest_numbers(db):
    items = collection(db, np.array([[1e-44, 0], [3e38, 3e38], [0, -1e-30]], np.float32))
    assert [n for n, _ in found(items, [1e-30, 1e-31], 3)] == [0, 1, 2]


NUMBERS = st.floats(-(2.0**60), 2.0**60, width=32) | st.floats(-1, 1, width=32)


@given(
    vectors=arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 9)), elements=NUMBERS),
    data=st.data(),
    storage=st.sampled_from(["float32", "int8"]),
    metric=st.sampled_from(["dot", "l2"]),
)
def test_ruling_out_rules_out_none_of_the_nearest(vectors, data, storage, metric):
    query = data.draw(arrays(np.float32, vectors.shape[1], elements=NUMBERS))
    k = data.draw(st.integers(1, len(vectors)))
    with np.errstate(all="ignore"):
        rows = encode(vectors, storage)
        columns = columns_of(rows, storage, vectors.shape[1])
    longest = float(np.sqrt(columns["squares"].max()))
    rids = np.arange(len(vectors))
    there = Snapshot(storage, vectors.shape[1], rids, np.empty(0, np.int64), longest, columns)
    many, few = module._MANY, module._FEW
    try:
        plain = nearest(there, query, metric, k)
        module._MANY = module._FEW = 0
        assert nearest(there, query, metric, k) == plain
    finally:
        module._MANY, module._FEW = many, few
    stored = decode(rows, storage, vectors.shape[1])
    expected = np.sort(scores(stored, query, metric))[::-1][:k]
    size = (
        float(np.abs(stored).max(initial=0)) * float(np.abs(query).max())
        if metric == "dot"
        else (float(np.abs(stored).max(initial=0)) + float(np.abs(query).max()))
    )
    np.testing.assert_allclose([score for _, score in plain], expected, rtol=1e-5, atol=size * 1e-5 + 1e-40)


@given(vectors=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 40)), elements=NUMBERS))
def test_a_byte_is_off_by_half_a_step_and_a_bit_by_no_sign(vectors):
    largest = np.abs(vectors).max(axis=1, keepdims=True).astype(np.float64)
    close = np.abs(decode(encode(vectors, "int8"), "int8", vectors.shape[1]) - vectors.astype(np.float64))
    ordinary = (largest > 1e-30)[:, 0]  # below, the step itself is rounded
    assert (close <= largest / 254 * (1 + 1e-4))[ordinary].all()
    signs = decode(encode(vectors, "bit"), "bit", vectors.shape[1])
    assert ((signs > 0) == (vectors > 0)).all()
    np.testing.assert_allclose(np.linalg.norm(signs, axis=1), 1, rtol=1e-6)
