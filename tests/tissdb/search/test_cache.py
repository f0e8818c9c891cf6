"""Exact search gives what comparing with every vector gives, whatever was written and removed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quanta_tissu.tissdb.search.cache import Snapshot, nearest


def snapshot(vectors, rids=None):
    vectors = np.asarray(vectors, np.float32)
    rids = np.arange(1, len(vectors) + 1) if rids is None else np.asarray(rids)
    return Snapshot(rids, vectors, (vectors**2).sum(1))


@pytest.mark.parametrize("metric", ["dot", "l2", "cosine"])
@pytest.mark.parametrize("share", [None, 0.5, 0.05])
def test_the_nearest_are_those_that_a_loop_finds(metric, share):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(500, 8)).astype(np.float32)
    query = random.normal(size=8).astype(np.float32)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        query /= np.linalg.norm(query)
    allowed = None if share is None else random.choice(np.arange(1, 501), int(500 * share), replace=False)
    exact = vectors.astype(np.float64)
    scores = -np.linalg.norm(exact - query, axis=1) if metric == "l2" else exact @ query
    rows = range(1, 501) if allowed is None else allowed
    expected = sorted(((rid, scores[rid - 1]) for rid in rows), key=lambda pair: -pair[1])[:10]
    found = nearest(snapshot(vectors), query, metric, 10, allowed)
    assert [rid for rid, _ in found] == [rid for rid, _ in expected]
    assert np.allclose([score for _, score in found], [score for _, score in expected], rtol=1e-4, atol=1e-6)


def test_of_equally_near_ones_the_oldest_come_first():
    assert [rid for rid, _ in nearest(snapshot([[1.0]] * 9), np.ones(1, np.float32), "dot", 4)] == [1, 2, 3, 4]


def test_what_is_gone_is_not_found():
    found = nearest(snapshot([[3.0], [2.0], [1.0]], [-1, 2, 3]), np.ones(1, np.float32), "dot", 5)
    assert [rid for rid, _ in found] == [2, 3]
    assert nearest(snapshot(np.empty((0, 1))), np.ones(1, np.float32), "dot", 5) == []


STEP = st.tuples(st.sampled_from(["insert", "change", "delete", "search"]), st.integers(0, 30))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=60))
def test_it_follows_every_change(db, steps):
    name = f"c{len(db.collections())}"
    items = db[name]
    items.create_index("near", kind="vector", dimension=2, metric="dot")
    there = {}
    for number, (step, which) in enumerate(steps):
        id, vector = str(which), [float(which), float(number)]
        if step == "insert" and id not in there:
            items.insert({}, id=id, vectors={"near": vector})
            there[id] = vector
        elif step == "change" and id in there:
            items.patch(id, {}, vectors={"near": vector})
            there[id] = vector
        elif step == "delete" and id in there:
            items.delete(id)
            del there[id]
        else:
            found = items.search(vector=[1.0, 0.5], k=100)
            expected = {id: x + 0.5 * y for id, (x, y) in there.items()}
            assert {hit.document.id: hit.score for hit in found} == pytest.approx(expected)
