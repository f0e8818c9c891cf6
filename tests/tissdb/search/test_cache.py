"""Vectors in memory follow every change of those in the database."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb import vector_tables
from quanta_tissu.tissdb.search import cache

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


def test_vectors_are_read_page_by_page(db, monkeypatch):
    monkeypatch.setattr(vector_tables, "_PAGE", 7)
    items = db["a"]
    items.create_index("near", kind="vector", dimension=1, metric="dot")
    items.insert_many({"_id": str(n), "_vectors": {"near": [n]}} for n in range(30))
    assert [hit.score for hit in items.search(vector=[1], k=50)] == list(range(29, -1, -1))
    items.insert_many({"_id": str(n), "_vectors": {"near": [n]}} for n in range(30, 44))
    assert [hit.score for hit in items.search(vector=[1], k=50)] == list(range(43, -1, -1))


def test_what_could_not_be_read_is_read_again(db, monkeypatch):
    items = db["a"]
    items.create_index("near", kind="vector", dimension=1, metric="dot")
    items.insert({}, vectors={"near": [1]})
    items.search(vector=[1])
    items.insert({}, vectors={"near": [2]})
    with monkeypatch.context() as patched:
        patched.setattr(cache, "columns_of", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            items.search(vector=[1])
    assert [hit.score for hit in items.search(vector=[1])] == [2, 1]


class TestStorage:
    @pytest.mark.parametrize("storage", ["int8", "bit"])
    def test_what_is_stored_is_searched_changed_and_exported(self, db, storage):
        random = np.random.default_rng(0)
        vectors = random.normal(size=(40, 33)).astype(np.float32)
        items = db["a"]
        items.create_index("near", kind="vector", dimension=33, storage=storage)
        items.insert_many({"_id": str(n), "_vectors": {"near": vector}} for n, vector in enumerate(vectors))
        for n in (3, 17):
            [hit] = items.search(vector=vectors[n], k=1)
            assert hit.document.id == str(n)
            assert hit.score == pytest.approx(1, abs=1e-2 if storage == "int8" else 0.4)
        items.patch("3", {}, vectors={"near": -vectors[3]})
        assert items.search(vector=-vectors[3], k=1)[0].document.id == "3"
        exported = {document.id: given["near"] for document, given in items.scan_with_vectors()}
        cosine = exported["17"] @ vectors[17] / np.linalg.norm(vectors[17])
        assert cosine > (0.99 if storage == "int8" else 0.6)
        items.delete("17")
        assert items.search(vector=vectors[17], k=1)[0].document.id != "17"

    @pytest.mark.parametrize("storage", ["int8", "bit"])
    def test_what_was_read_is_stored_the_same_again(self, db, storage):
        vector = np.random.default_rng(1).normal(size=20)
        for name in "ab":
            db[name].create_index("near", kind="vector", dimension=20, storage=storage)
        db["a"].insert({}, vectors={"near": vector})
        [(_, read)] = db["a"].scan_with_vectors()
        db["b"].insert({}, vectors=read)
        [(_, again)] = db["b"].scan_with_vectors()
        assert np.allclose(read["near"], again["near"], rtol=1e-6)

    def test_it_takes_as_much_room_as_it_says(self, db):
        sizes = {}
        for storage in ("float32", "int8", "bit"):
            items = db[storage]
            items.create_index("near", kind="vector", dimension=64, storage=storage)
            items.insert({}, vectors={"near": np.ones(64)})
            [index] = items.indexes.values()
            rows = db.read_connection(
                lambda connection, index=index: list(connection.dialect.vectors.changed(connection, index, -1))
            )
            sizes[storage] = rows[0][1].nbytes
        assert sizes == {"float32": 256, "int8": 68, "bit": 8}

    @pytest.mark.parametrize(
        "options",
        [{"dimension": 0}, {"dimension": "3"}, {"dimension": 3, "metric": "l1"}, {"dimension": 3, "lists": 5}],
    )
    def test_options_that_mean_nothing(self, db, options):
        with pytest.raises(DatabaseError, match=list(options)[-1]):
            db["a"].create_index("near", kind="vector", **options)

    def test_refusals(self, db):
        with pytest.raises(DatabaseError, match="storage = 'int4' is unknown"):
            db["a"].create_index("near", kind="vector", dimension=3, storage="int4")
        with pytest.raises(DatabaseError, match="no length, which 'l2' needs"):
            db["a"].create_index("near", kind="vector", dimension=3, storage="bit", metric="l2")
