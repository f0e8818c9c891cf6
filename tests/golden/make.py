"""Write the golden databases of this version: what every later version must read.

    python tests/golden/make.py

A folder for each format holds a database as a program leaves it that was killed (file and write-ahead log), the
anchors of its log, and as JSON what must be found in it. Those of earlier formats are never written again.
"""

from __future__ import annotations

import datetime as dt
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.format import FORMAT
from quanta_tissu.tissdb.values import encode

HERE = Path(__file__).parent

KEY = bytes(range(32))
"""Of the encrypted one."""

VALUES = {
    "null": None,
    "true": True,
    "small": -1,
    "large": 2**63 - 1,
    "least": -(2**63),
    "real": 0.1,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "text": 'ünïcödé "quoted" \\ 🐚\n\t',
    "empty": "",
    "list": [1, [2, [3, {}]], []],
    "object": {"a": {"b": [{"c": 1}]}, "": 0, "dotted.name": 2},
    "binary": bytes(range(256)),
    "moment": dt.datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=dt.UTC),
    "date": dt.date(1969, 7, 20),
    "time": dt.time(23, 59, 59, 999999),
}

SEARCHES: tuple[dict[str, Any], ...] = (
    {"text": "running foxes", "text_index": "words"},
    {"text": "+river -sleep", "text_index": "words"},
    {"text": '"quick brown"', "text_index": "words"},
    {"text": "running", "text_index": "exact"},
    {"vector": [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 1.0], "vector_index": "float32"},
    {"vector": [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 1.0], "vector_index": "int8"},
    {"vector": [1.0, -2.0, 3.0, -4.0, 1.0, 1.0, -1.0, 1.0], "vector_index": "bit"},
)

QUERIES = (
    "SELECT n, text FROM notes WHERE n BETWEEN 10 AND 15 ORDER BY n",
    "SELECT kind, COUNT(*), SUM(n) FROM notes GROUP BY kind ORDER BY kind",
    "SELECT a.b FROM notes WHERE a.b = 'x7'",
)

_SENTENCES = (
    "The quick brown fox runs along the river.",
    "A lazy dog sleeps; foxes were running.",
    "Rivers run to the sea, slowly.",
    "Sleep is for those who do not run.",
)


def fill(db: tissdb.Database) -> None:
    """Every value type and every kind of index, changes of every kind, what is refused and what is over."""
    notes = db.create_collection("notes", schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    notes.create_index("n", kind="unique")
    notes.create_index("kind")
    notes.create_index("pair", fields=["kind", "a.b"])
    notes.create_index("words", kind="text", fields=["text", "title"], weights=[1.0, 2.0])
    notes.create_index("exact", kind="text", fields="text", stemming=False)
    notes.create_index("float32", kind="vector", dimension=8)
    notes.create_index("int8", kind="vector", dimension=8, storage="int8", metric="l2")
    notes.create_index("bit", kind="vector", dimension=8, storage="bit")
    for n in range(40):
        vector = [float((n * k) % 7 - 3 + (k == 0) * 0.5) for k in range(1, 9)]
        vectors = dict.fromkeys(("float32", "int8", "bit"), vector) if n % 4 else None
        document = {"n": n, "kind": n % 3, "a": {"b": f"x{n}"}, "text": _SENTENCES[n % 4], "title": f"Note {n}"}
        notes.insert(document, id=f"d{n}", vectors=vectors)
    notes.patch("d3", {"text": "Nothing here.", "title": None})
    notes.replace("d4", {"n": 104, "kind": 1})
    notes.delete("d5")
    values = db["values"]
    values.insert(dict(VALUES), id="all")
    values.insert({}, id="ü/ empty")
    values.insert({"n": 1}, id="keyed", key="a key")
    lasting = db.create_collection("lasting", ttl=3e10)
    lasting.insert({"n": 1}, id="by the collection")
    lasting.insert({"n": 2}, id="by itself", expires=dt.datetime(2900, 1, 1, tzinfo=dt.UTC))
    lasting.insert({"n": 3}, id="over", expires=dt.timedelta(microseconds=1))
    with db.transaction() as tx:
        tx["left"].insert({}, id="one")
        tx["right"].insert({}, id="one")
    db.as_actor("ada")["left"].insert({"by": "ada"}, id="ada")
    db.create_collection("dropped")
    db.drop_collection("dropped")
    db.log_refusal("delete", collection="notes", id="d6", why="a token may only read")


def fill_little(db: tissdb.Database) -> None:
    """For the encrypted one, which cannot be compressed."""
    db["notes"].insert_many({"_id": f"d{n}", "n": n} for n in range(10))


def content(db: tissdb.Database) -> dict[str, Any]:
    """What is found in it, as JSON."""
    notes = db["notes"]
    searches = SEARCHES if notes.indexes else ()
    return {
        "uuid": db.uuid,
        "collections": {
            name: {
                "documents": [
                    [one.id, one.revision, one.created, one.updated, one.expires, encode(one.value)]
                    for one in db[name]
                ],
                "vectors": [
                    [one.id, {index: [float(x) for x in vector] for index, vector in sorted(vectors.items())}]
                    for one, vectors in db[name].scan_with_vectors()
                    if vectors
                ],
                "indexes": {index.name: index.kind for index in db[name].indexes.values()},
            }
            for name in db.collections()
        },
        "searches": [[[hit.document.id, hit.score] for hit in notes.search(**one, k=5)] for one in searches],
        "queries": [[list(row) for row in db.query(statement).rows] for statement in QUERIES],
        "log": [
            [
                *(one.seq, one.time, one.actor, one.action, one.ok, one.collection, one.id),
                *(one.digest and one.digest.hex(), one.detail, one.hash.hex()),
            ]
            for one in db.log()
        ],
    }


def write(folder: Path, fill: Callable[[tissdb.Database], None], **options: Any) -> None:
    """Write one golden database."""
    with tempfile.TemporaryDirectory() as name:
        path, anchors = Path(name) / "golden.db", Path(name) / "anchors"
        with tissdb.open(path, actor="golden", **options) as db:
            fill(db)
            db.anchor(anchors)
        with tissdb.open(path, actor="golden", **options) as db:
            with db.transaction() as tx:  # these are in the write-ahead log only
                tx["notes"].insert({"n": 1000, "text": "A fox that came late."}, id="late")
                tx["notes"].delete("d6")
            expected = content(db)
            db.anchor(anchors)
            files = {file: Path(f"{path}{file}").read_bytes() for file in ("", "-wal")}
        folder.mkdir()
        for file, data in files.items():
            (folder / f"golden.db{file}.xz").write_bytes(lzma.compress(data, preset=9))
        (folder / "anchors").write_bytes(anchors.read_bytes())
        text = json.dumps(expected, ensure_ascii=False, indent=1)
        (folder / "expected.json.xz").write_bytes(lzma.compress(text.encode(), preset=9))


if __name__ == "__main__":
    write(HERE / f"format-{FORMAT}", fill)
    if FORMAT > 1:
        write(HERE / f"format-{FORMAT}-encrypted", fill_little, key=KEY)
