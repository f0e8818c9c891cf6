"""Documents: written, read, changed, refused. Every test runs on every engine."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import HealthCheck, given, settings

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import (
    ConflictError,
    DatabaseError,
    InvalidDocumentError,
    NotFoundError,
    UniqueError,
)
from tests.tissdb.test_values import DOCUMENTS


@pytest.fixture
def notes(db):
    return db.collection("notes")


def test_a_document_is_read_as_it_was_written(notes):
    when = dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC)
    written = notes.insert({"title": "one", "when": when, "raw": b"\0\xff", "big": 2**62})
    document = notes[written.id]
    assert document.value == {"title": "one", "when": when, "raw": b"\0\xff", "big": 2**62}
    assert document["title"] == "one"
    assert document.revision == written.revision
    assert abs(document.created / 1e6 - time.time()) < 60
    assert document.updated == document.created
    assert document.expires is None


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=DOCUMENTS.filter(lambda document: not any(key.startswith("_") for key in document)))
def test_any_document_survives(db, value):
    written = db["any"].insert(value)
    assert db["any"][written.id].value == value


def test_nothing_is_there_before_the_first_write(db, notes):
    assert notes.get("x") is None
    assert len(notes) == 0
    assert list(notes) == []
    assert notes.indexes == {}
    assert "x" not in notes
    assert db.collections() == []
    with pytest.raises(NotFoundError, match="'x' in 'notes'"):
        notes["x"]


def test_a_given_id_is_kept_and_cannot_be_used_twice(notes):
    assert notes.insert({"a": 1}, id="first").id == "first"
    with pytest.raises(ConflictError, match="'first'"):
        notes.insert({"a": 2}, id="first")
    assert notes["first"].value == {"a": 1}


def test_ids_that_are_made_are_in_order(notes):
    ids = [notes.insert({}).id for _ in range(5)]
    assert ids == sorted(ids)


def test_replace_patch_and_delete_give_higher_revisions(notes):
    first = notes.insert({"a": {"b": 1, "c": 2}}, id="x")
    second = notes.patch("x", {"a": {"b": None, "d": 3}})
    assert notes["x"].value == {"a": {"c": 2, "d": 3}}
    third = notes.replace("x", {"z": 1})
    assert notes["x"].value == {"z": 1}
    assert notes["x"].created <= notes["x"].updated
    fourth = notes.delete("x")
    assert notes.get("x") is None
    revisions = [first.revision, second.revision, third.revision, fourth.revision]
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize(
    "change",
    [
        lambda notes: notes.replace("none", {}),
        lambda notes: notes.patch("none", {}),
        lambda notes: notes.delete("none"),
    ],
)
def test_what_is_not_there_cannot_be_changed(notes, change):
    with pytest.raises(NotFoundError):
        change(notes)
    notes.insert({})
    with pytest.raises(NotFoundError):
        change(notes)


def test_a_change_of_an_old_revision_is_refused_and_changes_nothing(notes):
    seen = notes.insert({"n": 1}, id="x").revision
    notes.patch("x", {"n": 2})
    for change in (
        lambda: notes.replace("x", {"n": 3}, revision=seen),
        lambda: notes.patch("x", {"n": 3}, revision=seen),
        lambda: notes.delete("x", revision=seen),
    ):
        with pytest.raises(ConflictError, match="changed meanwhile"):
            change()
    assert notes["x"].value == {"n": 2}


def test_a_document_that_was_deleted_and_made_anew_has_another_revision(notes):
    seen = notes.insert({"n": 1}, id="x").revision
    notes.delete("x")
    notes.insert({"n": 1}, id="x")
    with pytest.raises(ConflictError):
        notes.replace("x", {}, revision=seen)


def test_upsert_inserts_and_then_replaces(notes):
    first = notes.upsert("x", {"n": 1})
    created = notes["x"].created
    second = notes.upsert("x", {"n": 2})
    assert second.revision > first.revision
    assert notes["x"].value == {"n": 2}
    assert notes["x"].created == created


def test_many_documents_with_and_without_ids(notes):
    written = notes.insert_many([{"n": 1}, {"_id": "mine", "n": 2}, tissdb.NewDocument("other", {"n": 3})])
    assert [one.id for one in written][1:] == ["mine", "other"]
    assert [document["n"] for document in notes] == [1, 2, 3]
    assert notes.insert_many([]) == []


def test_a_scan_gives_everything_in_the_order_of_insertion(notes):
    notes.insert_many({"n": n} for n in range(2345))
    assert [document["n"] for document in notes.scan()] == list(range(2345))
    assert len(notes) == 2345


def test_a_bad_document_among_many_undoes_its_batch_only(notes):
    values = [{"n": n} for n in range(700)]
    values[600]["n"] = float("nan")
    with pytest.raises(InvalidDocumentError):
        notes.insert_many(values)
    assert len(notes) == 500


@pytest.mark.parametrize("field", ["_id", "_rev", "_created", "_updated", "_expires", "_score"])
def test_names_of_the_database_itself_are_refused(notes, field):
    with pytest.raises(InvalidDocumentError, match="kept by the database"):
        notes.insert({field: 1})


def test_a_key_makes_a_write_happen_once(notes):
    first = notes.insert({"n": 1}, key="request 1")
    assert notes.insert({"n": 1}, key="request 1") == first
    assert len(notes) == 1
    changed = notes.patch(first.id, {"n": 2}, key="request 2")
    notes.patch(first.id, {"n": 3})
    assert notes.patch(first.id, {"n": 2}, key="request 2") == changed
    assert notes[first.id]["n"] == 3
    assert notes.delete(first.id, key="request 3") == notes.delete(first.id, key="request 3")


def test_a_key_is_for_one_thing(notes):
    first = notes.insert({"n": 1}, id="a", key="k")
    for other in (
        lambda: notes.delete("a", key="k"),
        lambda: notes.replace("a", {}, key="k"),
        lambda: notes.upsert("a", {}, key="k"),
    ):
        with pytest.raises(ConflictError, match="'k' was used for something else"):
            other()
    notes.patch("a", {"n": 2}, key="l")
    notes.insert({}, id="b")
    with pytest.raises(ConflictError, match="something else"):
        notes.patch("b", {"n": 2}, key="l")
    assert notes.insert({"n": 1}, id="a", key="k") == first


def test_many_under_one_key_go_on_where_they_were_interrupted(notes):
    def interrupted():
        for n in range(1200):
            if n == 700:
                raise RuntimeError("power is out")
            yield {"n": n}

    with pytest.raises(RuntimeError):
        notes.insert_many(interrupted(), key="load")
    assert len(notes) == 500
    notes.insert_many(({"n": n} for n in range(1200)), key="load")
    assert [document["n"] for document in notes] == list(range(1200))


def test_a_key_of_a_write_that_failed_is_free(notes):
    with pytest.raises(InvalidDocumentError):
        notes.insert({"n": float("nan")}, key="k")
    notes.insert({"n": 1}, key="k")
    assert len(notes) == 1


def wait_until_gone(collection, id):
    """Wait until a document has expired, however busy the machine is."""
    deadline = time.monotonic() + 30
    while id in collection:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestExpiry:
    def test_a_document_is_gone_after_its_time(self, notes):
        notes.insert({"n": 1}, id="x", expires=dt.timedelta(seconds=1))
        notes.insert({"n": 2}, id="y")
        wait_until_gone(notes, "x")
        assert len(notes) == 1
        assert [document.id for document in notes] == ["y"]
        with pytest.raises(NotFoundError):
            notes.patch("x", {})
        notes.insert({"n": 3}, id="x")
        assert notes["x"].value == {"n": 3}

    def test_a_moment_may_be_given_and_changed(self, notes):
        past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        notes.insert({}, id="x", expires=past)
        assert "x" not in notes
        notes.insert({}, id="y", expires=dt.timedelta(hours=1))
        before = notes["y"].expires
        assert before > notes["y"].created
        notes.patch("y", {"n": 1})
        assert notes["y"].expires == before
        notes.patch("y", {"n": 1}, expires=past)
        assert "y" not in notes

    def test_a_collection_may_have_a_time_to_live(self, db):
        hour = db.create_collection("hour", ttl=3600)
        hour.insert({}, id="x")
        assert hour["x"].expires == hour["x"].created + 3600 * 10**6
        brief = db.create_collection("brief", ttl=0.05)
        brief.insert({}, id="x")
        wait_until_gone(brief, "x")

    @pytest.mark.parametrize("bad", [dt.datetime(2026, 1, 1), 5, "tomorrow"])
    def test_what_is_no_moment_is_refused(self, notes, bad):
        with pytest.raises(DatabaseError, match="no moment"):
            notes.insert({}, expires=bad)


class TestUnique:
    def test_a_second_document_of_the_same_value_is_refused(self, notes):
        notes.create_index("email", kind="unique", fields="contact.email")
        notes.insert({"contact": {"email": "a@b"}}, id="x")
        with pytest.raises(UniqueError, match=r"contact\.email = 'a@b'"):
            notes.insert({"contact": {"email": "a@b"}})
        y = notes.insert({"contact": {"email": "c@d"}})
        with pytest.raises(UniqueError):
            notes.patch(y.id, {"contact": {"email": "a@b"}})
        notes.delete("x")
        notes.patch(y.id, {"contact": {"email": "a@b"}})

    def test_missing_values_do_not_count(self, notes):
        notes.create_index("email", kind="unique")
        notes.insert_many([{}, {"email": None}, {"other": 1}])

    def test_values_of_different_kinds_are_different(self, notes):
        notes.create_index("v", kind="unique")
        notes.insert_many([{"v": 1}, {"v": True}, {"v": "1"}, {"v": [1]}, {"v": "[1]"}, {"v": {"a": 1}}])
        for again in (1.0, True, "1", [1], {"a": 1}):
            with pytest.raises(UniqueError):
                notes.insert({"v": again})

    def test_several_fields_are_unique_together(self, notes):
        notes.create_index("place", kind="unique", fields=["row", "seat"])
        notes.insert_many([{"row": 1, "seat": 1}, {"row": 1, "seat": 2}])
        with pytest.raises(UniqueError, match="row = 1, seat = 2"):
            notes.insert({"row": 1, "seat": 2})

    def test_an_index_over_what_is_not_unique_is_refused(self, notes):
        notes.insert_many([{"a": 1}, {"a": 1}])
        with pytest.raises(UniqueError):
            notes.create_index("a", kind="unique")
        assert notes.indexes == {}

    def test_the_right_document_of_a_batch_is_named(self, notes):
        notes.create_index("a", kind="unique")
        notes.insert({"a": 7})
        with pytest.raises(UniqueError, match="a = 7"):
            notes.insert_many([{"a": 1}, {"a": 7}, {"a": 8}])
        assert len(notes) == 1


class TestIndexes:
    def test_they_are_listed_and_dropped(self, notes):
        notes.create_index("price")
        notes.create_index("words", kind="text", fields=["title", "body"])
        notes.create_index("near", kind="vector", dimension=3)
        assert {name: index.kind for name, index in notes.indexes.items()} == {
            "price": "value",
            "words": "text",
            "near": "vector",
        }
        notes.insert({"title": "x", "price": 2}, vectors={"near": [1, 2, 3]}, id="x")
        notes.patch("x", {"title": "y"}, vectors={"near": [3, 2, 1]})
        notes.delete("x")
        for name in ("price", "words", "near"):
            notes.drop_index(name)
        assert notes.indexes == {}
        with pytest.raises(NotFoundError, match="no index 'price'"):
            notes.drop_index("price")

    @pytest.mark.parametrize(
        "arguments",
        [
            {"kind": "magic"},
            {"kind": "vector"},
            {"kind": "vector", "dimension": 0},
            {"kind": "vector", "dimension": 3, "metric": "taxi"},
            {"kind": "vector", "dimension": 3, "fields": "a"},
            {"kind": "vector", "dimension": 3, "speed": 1},
            {"kind": "text", "speed": 1},
            {"kind": "value", "speed": 1},
            {"fields": "a..b"},
        ],
    )
    def test_what_cannot_be_done_is_refused(self, notes, arguments):
        with pytest.raises(DatabaseError):
            notes.create_index("x", **arguments)
        assert notes.indexes == {}

    def test_a_name_is_used_once(self, notes):
        notes.create_index("a")
        with pytest.raises(ConflictError):
            notes.create_index("a")

    @pytest.mark.parametrize("vector", [[1, 2], "abc", [1, 2, float("nan")], [0, 0, 0], [[1, 2, 3]]])
    def test_vectors_are_checked(self, notes, vector):
        notes.create_index("near", kind="vector", dimension=3)
        with pytest.raises(InvalidDocumentError, match="'near'"):
            notes.insert({}, vectors={"near": vector})
        with pytest.raises(DatabaseError, match="no vector index 'far'"):
            notes.insert({}, vectors={"far": [1, 2, 3]})
        assert len(notes) == 0


PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
}


class TestSchema:
    def test_documents_against_it_are_refused_with_the_path(self, db):
        people = db.create_collection("people", schema=PERSON)
        people.insert({"name": "Ada", "tags": ["x"]}, id="ada")
        with pytest.raises(InvalidDocumentError, match=r"tags\[1\]") as caught:
            people.insert({"name": "Bob", "tags": ["x", 1]})
        assert caught.value.path == "tags[1]"
        with pytest.raises(InvalidDocumentError, match="name"):
            people.patch("ada", {"name": None})
        assert people["ada"]["name"] == "Ada"

    def test_times_and_bytes_are_seen_as_they_are_stored(self, db):
        day = {"type": "object", "required": ["$date"]}
        events = db.create_collection("events", schema={"properties": {"day": day}})
        events.insert({"day": dt.date(2026, 1, 1)})
        with pytest.raises(InvalidDocumentError, match="day"):
            events.insert({"day": "2026-01-01"})

    def test_nothing_is_fetched_for_a_schema(self, db, tmp_path):
        (tmp_path / "other.json").write_text('{"type": "object"}')
        for address in (f"file://{tmp_path}/other.json", "http://127.0.0.1:9/other.json"):
            with pytest.raises(DatabaseError, match="not within the schema"):
                db.create_collection("events", schema={"$ref": address})

    def test_what_is_no_schema_is_refused(self, db):
        with pytest.raises(DatabaseError, match="no JSON Schema"):
            db.create_collection("people", schema={"type": "nonsense"})

    def test_making_a_collection_again_is_fine_if_it_is_the_same(self, db):
        db.create_collection("people", schema=PERSON)
        db.create_collection("people", schema=PERSON)
        with pytest.raises(ConflictError):
            db.create_collection("people")


@pytest.mark.parametrize("name", ["", "1a", "a b", "_log", "x" * 101, 'a"b', None])
def test_names_are_checked(db, name):
    with pytest.raises(DatabaseError, match="no name"):
        db.collection(name)


def test_collections_are_listed_and_dropped(db):
    db["b"].insert({})
    db.create_collection("a")
    assert db.collections() == ["a", "b"]
    db["b"].create_index("words", kind="text")
    db.drop_collection("b")
    assert db.collections() == ["a"]
    assert len(db["b"]) == 0
    with pytest.raises(NotFoundError, match="'b'"):
        db.drop_collection("b")
