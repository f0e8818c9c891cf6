"""Approximate search: only where it was measured on the very vectors, and exact beside what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import CorruptionError, DatabaseError, InvalidDocumentError, NotFoundError
from quanta_tissu.tissdb.search import areas as areas_module
from quanta_tissu.tissdb.search import tuning
from quanta_tissu.tissdb.search.areas import Areas, Division

COUNT, WIDTH = 1_200, 8


@pytest.fixture
def small(monkeypatch):
    """Tuning of few vectors, whatever the clock says of it."""
    monkeypatch.setattr(tuning, "FEWEST", 100)
    monkeypatch.setattr(tuning, "LEAST", 1)
    monkeypatch.setattr(areas_module, "LEAST", 1)
    monkeypatch.setattr(tuning, "_GAIN", float("inf"))


def vectors(count=COUNT):
    random = np.random.default_rng(0)
    return (
        random.normal(size=(30, WIDTH))[np.arange(count) % 30] * 3 + random.normal(size=(count, WIDTH))
    ).astype(np.float32)


def empty(db, **options):
    db["a"].create_index("near", kind="vector", dimension=WIDTH, **options)
    return db["a"]


def filled(db, **options):
    items = empty(db, **options)
    items.insert_many(
        {"_id": str(n), "_vectors": {"near": vector}, "third": n % 3} for n, vector in enumerate(vectors())
    )
    return items


def ids(hits):
    return [hit.document.id for hit in hits]


class TestTuning:
    @pytest.mark.usefixtures("small")
    @pytest.mark.parametrize("options", [{}, {"metric": "l2"}, {"metric": "dot"}, {"storage": "int8"}])
    def test_the_recall_that_was_asked_for_is_reached(self, db, options):
        items = filled(db, **options)
        random = np.random.default_rng(1)
        queries = vectors()[random.integers(0, COUNT, 300)] + 0.3 * random.normal(size=(300, WIDTH))
        exact = [ids(items.search(vector=query)) for query in queries]
        found = items.tune_index("near", recall=0.9, queries=queries)
        assert (found.search, found.queries, found.vectors, found.k) == ("approximate", 300, COUNT, 10)
        assert 0.9 <= found.at_least < found.recall <= 1
        assert found.look_at < COUNT
        near = [ids(items.search(vector=query)) for query in queries]
        recall = np.mean([len({*one} & {*other}) / 10 for one, other in zip(exact, near, strict=True)])
        assert recall == pytest.approx(
            found.recall, abs=0.02
        )  # tuning counts among equal ones what search does not
        assert near != exact

    @pytest.mark.usefixtures("small")
    def test_stored_vectors_are_looked_for_without_themselves(self, db):
        found = filled(db).tune_index("near", recall=0.95, k=5)
        assert found.search == "approximate"
        assert found.queries == min(tuning.QUERIES, COUNT)

    @pytest.mark.usefixtures("small")
    def test_what_was_measured_is_kept_with_the_index(self, db):
        items = filled(db)
        found = items.tune_index("near", recall=0.9)
        tuned = items.indexes["near"].options["tuned"]
        assert (tuned["recall"], tuned["look_at"]) == (found.recall, found.look_at)
        assert "tune index" in [entry.action for entry in db.log()]
        items.tune_index("near", recall=1)
        assert "tuned" not in items.indexes["near"].options

    def test_few_vectors_are_searched_exactly(self, db):
        items = empty(db)
        found = items.tune_index("near")
        assert (found.search, found.recall, found.at_least) == ("exact", 1, 1)
        assert "from 20,000 on" in found.why
        assert "tuned" not in items.indexes["near"].options

    @pytest.mark.usefixtures("small")
    def test_a_recall_that_so_few_queries_cannot_show_stays_exact(self, db):
        found = filled(db).tune_index("near", recall=0.99, queries=vectors()[:20])
        assert (found.search, found.queries) == ("exact", 20)
        assert "give more of them" in found.why

    @pytest.mark.usefixtures("small")
    def test_what_is_not_faster_stays_exact(self, db, monkeypatch):
        monkeypatch.setattr(tuning, "_GAIN", 0.0)
        found = filled(db).tune_index("near", recall=0.9)
        assert (found.search, found.recall) == ("exact", 1)
        assert "not faster" in found.why

    @pytest.mark.parametrize("wrong", [{"recall": 0}, {"recall": 1.5}, {"recall": "high"}, {"k": 0}, {"k": 1.0}])
    def test_refusals(self, db, wrong):
        with pytest.raises(DatabaseError, match=r"is no (share|number)"):
            empty(db).tune_index("near", **wrong)

    @pytest.mark.usefixtures("small")
    def test_queries_must_be_vectors_of_the_index(self, db):
        items = filled(db)
        with pytest.raises(InvalidDocumentError, match="8 numbers"):
            items.tune_index("near", queries=[[1.0, 2.0]])
        with pytest.raises(DatabaseError, match="no queries"):
            items.tune_index("near", queries=[])

    def test_the_index_must_be_one_of_vectors(self, db):
        items = empty(db)
        items.create_index("third")
        with pytest.raises(DatabaseError, match="is a value index"):
            items.tune_index("third")
        with pytest.raises(NotFoundError, match="no index 'far'"):
            items.tune_index("far")

    def test_nobody_can_say_so_without_measuring(self, db):
        with pytest.raises(DatabaseError, match="no option 'tuned'"):
            db["a"].create_index("near", kind="vector", dimension=3, tuned={"look_at": 5})


@pytest.mark.usefixtures("small")
class TestSearch:
    def test_what_came_or_changed_later_is_always_found(self, db):
        items = filled(db)
        items.tune_index("near", recall=0.5)
        items.search(vector=np.ones(WIDTH))
        far = -10 * np.ones(WIDTH)
        items.insert({}, id="new", vectors={"near": far})
        assert ids(items.search(vector=far, k=1)) == ["new"]
        items.patch("7", {}, vectors={"near": far + np.eye(WIDTH)[0]})
        assert ids(items.search(vector=far, k=2)) == ["new", "7"]
        items.delete("new")
        assert ids(items.search(vector=far, k=1)) == ["7"]
        with db.transaction() as transaction:
            transaction["a"].insert({}, id="newer", vectors={"near": far})
            assert ids(transaction["a"].search(vector=far, k=1)) == ["newer"]

    def test_so_is_it_after_much_was_removed_and_everything_moved(self, db):
        items = filled(db)
        items.tune_index("near", recall=0.5)
        items.search(vector=np.ones(WIDTH))
        for n in range(400):
            items.delete(str(n))
        for n in (500, 900):
            items.patch(str(n), {"changed": True}, vectors={"near": 10 * vectors()[n]})
            assert ids(items.search(vector=vectors()[n], k=1)) == [str(n)]
        assert len(items.search(vector=np.ones(WIDTH), k=COUNT)) == COUNT - 400

    def test_k_hits_are_k_hits_under_a_condition(self, db):
        items = filled(db)
        items.tune_index("near", recall=0.5)
        for k in (1, 10, 399, 400, 500):
            hits = items.search(vector=np.ones(WIDTH), k=k, where="third = 1")
            assert len(hits) == min(k, 400)
            assert all(hit.document.value["third"] == 1 for hit in hits)

    def test_a_condition_that_only_far_ones_suit_is_searched_until_as_many_were_looked_at(self, db):
        items = filled(db)
        query = vectors()[0]
        last = items.search(vector=query, k=COUNT)[-300:]
        for hit in last:
            items.patch(hit.document.id, {"far": True})
        expected = ids(items.search(vector=query, where="far", k=10))
        items.tune_index("near", recall=0.9)
        assert ids(items.search(vector=query, where="far", k=10)) == expected

    def test_it_holds_when_the_database_is_opened_again(self, path):
        with tissdb.open(path) as db:
            items = filled(db)
            items.tune_index("near", recall=0.8)
            items.patch("3", {}, vectors={"near": -10 * np.ones(WIDTH)})
            before = [[(hit.document.id, hit.score) for hit in items.search(vector=one)] for one in vectors(50)]
        with tissdb.open(path) as db:
            again = [[(hit.document.id, hit.score) for hit in db["a"].search(vector=one)] for one in vectors(50)]
            assert again == before
            assert ids(db["a"].search(vector=-np.ones(WIDTH), k=1)) == ["3"]

    def test_a_view_sees_its_own_state(self, db):
        items = filled(db)
        items.tune_index("near", recall=0.8)
        far = -10 * np.ones(WIDTH)
        with db.view() as view:
            items.insert({}, id="new", vectors={"near": far})
            assert ids(items.search(vector=far, k=1)) == ["new"]
            assert ids(view["a"].search(vector=far, k=1)) != ["new"]

    def test_areas_that_were_damaged_are_not_used(self, path):
        with tissdb.open(path) as db:
            items = filled(db)
            items.tune_index("near", recall=0.8)
        with tissdb.open(path) as db:
            number = db["a"].indexes["near"].number
            db.write(
                lambda changes: changes.connection.run(
                    f"UPDATE v_{number}_areas SET part = zeroblob(length(part)) WHERE name = 'areas'"
                )
            )
            with pytest.raises(CorruptionError, match="areas of a vector index"):
                db["a"].search(vector=np.ones(WIDTH))
            db["a"].tune_index("near", recall=0.8)
            assert len(db["a"].search(vector=np.ones(WIDTH))) == 10

    def test_a_copy_is_exact_until_it_is_tuned_itself(self, db):
        items = filled(db)
        items.tune_index("near", recall=0.8)
        with tissdb.open(":memory:") as other:
            tissdb.copy(db, other)
            assert "tuned" not in other["a"].indexes["near"].options
            assert ids(other["a"].search(vector=vectors()[3], k=1)) == ["3"]

    def test_an_index_that_was_tuned_can_be_dropped(self, db):
        items = filled(db)
        items.tune_index("near", recall=0.8)
        items.drop_index("near")
        assert items.indexes == {}
        assert db.check() == []


class TestAreas:
    def test_the_nearest_areas_are_looked_at_until_it_is_enough(self, monkeypatch):
        monkeypatch.setattr(areas_module, "LEAST", 1)
        centres = np.array([[0.0], [10.0], [20.0]], np.float32)
        areas = Areas(centres, np.array([0, 3, 6, 9]), look_at=4)  # places 9 and up belong to none
        query = np.array([19.0], np.float32)
        assert set(areas.near(query, "l2", 1, 11, None)) == {3, 4, 5, 6, 7, 8, 9, 10}
        assert set(areas.near(query, "l2", 7, 11, None)) == set(range(11))
        suits = np.isin(np.arange(11), [0, 1, 2, 4, 6, 10])
        assert set(areas.near(query, "l2", 1, 11, suits)) == {0, 1, 2, 4, 6, 10}

    @given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), share=st.floats(0, 1))
    def test_as_many_as_asked_for_suit_if_so_many_are_there(self, seed, count, share):
        random = np.random.default_rng(seed)
        starts = np.sort(np.concatenate([[0], random.integers(0, count + 1, 6)]))
        areas = Areas(random.normal(size=(6, 2)).astype(np.float32), starts, look_at=1)
        suits = random.random(count) < share
        least, areas_module.LEAST = areas_module.LEAST, 1
        try:
            for k in (1, 5, count):
                found = areas.near(np.ones(2, np.float32), "dot", k, count, suits)
                assert len(set(found)) == len(found) >= min(k, suits.sum())
                assert suits[found].all()
        finally:
            areas_module.LEAST = least

    def test_what_is_kept_is_what_was_divided(self):
        division = Division(np.ones((2, 3), np.float32), np.array([4, 9]), np.array([1, 0], np.int32))
        kept = Division.from_bytes(division.to_bytes(), 3)
        assert all((getattr(kept, name) == getattr(division, name)).all() for name in ("centres", "rids", "areas"))
        order, starts = kept.order(np.array([9, 4, 5, 4]), fresh=np.array([5]))
        assert order.tolist() == [0, 1, 3, 2]
        assert starts.tolist() == [0, 1, 3]


@pytest.mark.parametrize(("share", "count", "bound"), [(1.0, 1_000, 0.9973), (0.95, 400, 0.9288), (0.0, 10, 0.0)])
def test_the_bound_is_wilsons(share, count, bound):
    from scipy.stats import binomtest

    ours = tuning._bound(share, count)
    assert ours == pytest.approx(bound, abs=1e-4)
    theirs = binomtest(round(share * count), count).proportion_ci(0.9, method="wilson").low
    assert ours == pytest.approx(theirs, abs=1e-6)
