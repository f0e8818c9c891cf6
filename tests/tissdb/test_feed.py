"""Changes are seen as they come, from this process and from others."""

from __future__ import annotations

import threading
import time

import quanta_tissu.tissdb as tissdb


def test_the_log_gives_what_happened_since(db):
    db["a"].insert({}, id="x")
    seen = db.head().seq
    db["b"].insert({}, id="y")
    db["a"].delete("x")
    assert [(entry.action, entry.id) for entry in db.log(seen)] == [
        ("create collection", None),
        ("insert", "y"),
        ("delete", "x"),
    ]
    assert [entry.action for entry in db.log(seen, collection="a")] == ["delete"]
    assert list(db.log(db.head().seq)) == []


def test_a_watcher_gets_what_comes_and_ends_after_its_timeout(db):
    db["a"].insert({}, id="before")
    found, since = [], db.head().seq
    thread = threading.Thread(target=lambda: found.extend(entry.id for entry in db.watch(since, timeout=2.0)))
    thread.start()
    for id in ("x", "y"):
        time.sleep(0.02)
        db["a"].insert({}, id=id)
    thread.join()
    assert found == ["x", "y"]


def test_by_default_it_begins_now_and_refusals_are_no_changes(db):
    db["a"].insert({})
    watcher = db.watch(timeout=0.1)
    db.log_refusal("delete", why="no")
    assert list(watcher) == []


def test_changes_of_others_are_seen(path):
    with tissdb.open(path) as one, tissdb.open(path) as two:
        changes = one.watch(0, collection="a", timeout=5)
        two["a"].insert({}, id="x")
        assert next(changes).action == "create collection"
        assert next(changes).id == "x"
        two["b"].insert({})
        two["a"].delete("x")
        assert next(changes).action == "delete"
