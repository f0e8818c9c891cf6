"""The stores that `db_vs_others` compares, each used as its own documentation shows, all with the same documents.

A store keeps records `{"id", "title", "body", "category", "n", "meta"}` with a vector each, and has an index of
(category, n), one of the words of title and body, and its vectors searchable exactly, where it can. What a store
cannot do raises `NotImplementedError`, and its column stays empty.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]
WIDTH = 384
BATCH = 1000


class Store(ABC):
    """One store in a folder of its own.

    Args:
        folder: Where; what is there already is opened.
    """

    packages: tuple[str, ...] = ()
    note = ""

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """Add all records, and make all indexes."""

    @abstractmethod
    def get(self, id: str) -> Any:
        """The document of an id."""

    @abstractmethod
    def insert(self, record: Record, vector: np.ndarray) -> None:
        """Add one record durably; called by many threads."""

    @abstractmethod
    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """The documents of a category whose n is from low to below high."""

    @abstractmethod
    def words(self, text: str) -> list[str]:
        """Ids of the ten best documents for any of some words."""

    @abstractmethod
    def nearest(self, vector: np.ndarray) -> list[str]:
        """Ids of the ten nearest documents."""

    @abstractmethod
    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """Ids of the ten best documents by both."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""


def fused(*lists: Sequence[str]) -> list[str]:
    """Lists joined by reciprocal ranks, for stores that have no way of their own."""
    scores: dict[str, float] = {}
    for ids in lists:
        for rank, id in enumerate(ids, 1):
            scores[id] = scores.get(id, 0) + 1 / (60 + rank)
    return sorted(scores, key=lambda id: -scores[id])[:10]


def batches(records: Sequence[Record], vectors: np.ndarray) -> Iterable[tuple[Sequence[Record], np.ndarray]]:
    """Records and vectors, a thousand at a time."""
    for start in range(0, len(records), BATCH):
        yield records[start : start + BATCH], vectors[start : start + BATCH]


def without_id(record: Record) -> Record:
    """The fields of a record."""
    return {key: value for key, value in record.items() if key != "id"}


class TissDB(Store):
    """TissDB through its public interface; every document is checked, logged and hash-chained as well."""

    packages = ("apsw-sqlite3mc",)

    def __init__(self, folder: Path) -> None:
        import quanta_tissu.tissdb as tissdb

        self.db = tissdb.open(folder / "tissdb.db")
        self.docs = self.db["docs"]

    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """As `Store`."""
        self.docs.create_index("place", fields=["category", "n"])
        self.docs.create_index("words", fields=["title", "body"], kind="text")
        self.docs.create_index("vector", kind="vector", dimension=WIDTH)
        pairs = zip(records, vectors, strict=True)
        self.docs.insert_many(
            without_id(record) | {"_id": record["id"], "_vectors": {"vector": vector}} for record, vector in pairs
        )

    def get(self, id: str) -> Any:
        """As `Store`."""
        return self.docs.get(id)

    def insert(self, record: Record, vector: np.ndarray) -> None:
        """As `Store`."""
        self.docs.insert(without_id(record), id=record["id"], vectors={"vector": vector})

    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """As `Store`."""
        sql = "SELECT * FROM docs WHERE category = ? AND n >= ? AND n < ?"
        return list(self.db.query(sql, (category, low, high)).rows)

    def words(self, text: str) -> list[str]:
        """As `Store`."""
        return [hit.document.id for hit in self.docs.search(text)]

    def nearest(self, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        return [hit.document.id for hit in self.docs.search(vector=vector)]

    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        return [hit.document.id for hit in self.docs.search(text, vector=vector)]

    def close(self) -> None:
        """As `Store`."""
        self.db.close()


class Apsw(Store):
    """The same tables by hand: SQLite through APSW, FTS5, vectors multiplied by NumPy. No log, no checks."""

    packages = ("apsw-sqlite3mc",)
    note = "no log, no checks of documents; clients take turns behind a lock"

    def __init__(self, folder: Path) -> None:
        import apsw

        self.raw = apsw.Connection(str(folder / "raw.db"))
        for pragma in ("journal_mode = wal", "synchronous = full", "cache_size = -65536"):
            self.raw.execute(f"PRAGMA {pragma}").fetchall()
        self.raw.execute(
            "CREATE TABLE IF NOT EXISTS docs (rid INTEGER PRIMARY KEY, id TEXT UNIQUE, doc BLOB, vector BLOB);"
            "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5"
            "(title, body, content='', contentless_delete=1, tokenize='porter unicode61')"
        ).fetchall()
        self.lock = threading.Lock()
        self.rids: list[int] = []
        self.matrix = np.empty((0, WIDTH), np.float32)

    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """As `Store`."""
        for part, numbers in batches(records, vectors):
            with self.raw:
                self._add(part, numbers)
        self.raw.execute(
            "CREATE INDEX place ON docs (json_extract(doc, '$.category'), json_extract(doc, '$.n'))"
        ).fetchall()

    def _add(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        last = self.raw.execute("SELECT coalesce(max(rid), 0) FROM docs").fetchall()[0][0]
        pairs = list(enumerate(zip(records, vectors, strict=True), last + 1))
        self.raw.executemany(
            "INSERT INTO docs VALUES (?, ?, jsonb(?), ?)",
            ((rid, one["id"], json.dumps(without_id(one)), vector.tobytes()) for rid, (one, vector) in pairs),
        ).fetchall()
        self.raw.executemany(
            "INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)",
            ((rid, one["title"], one["body"]) for rid, (one, _) in pairs),
        ).fetchall()

    def get(self, id: str) -> Any:
        """As `Store`."""
        return json.loads(self.raw.execute("SELECT json(doc) FROM docs WHERE id = ?", (id,)).fetchall()[0][0])

    def insert(self, record: Record, vector: np.ndarray) -> None:
        """As `Store`."""
        with self.lock:
            self.raw.execute("BEGIN IMMEDIATE").fetchall()
            self._add([record], vector[None])
            self.raw.execute("COMMIT").fetchall()

    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """As `Store`."""
        rows = self.raw.execute(
            "SELECT json(doc) FROM docs WHERE json_extract(doc, '$.category') = ? "
            "AND json_extract(doc, '$.n') >= ? AND json_extract(doc, '$.n') < ?",
            (category, low, high),
        )
        return [json.loads(text) for (text,) in rows]

    def words(self, text: str, k: int = 10) -> list[str]:
        """As `Store`."""
        found = self.raw.execute(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in text.split()), k),
        ).fetchall()
        return self._ids([rid for (rid,) in found])

    def _ids(self, rids: Sequence[int]) -> list[str]:
        rows = self.raw.execute(
            f"SELECT rid, id, json(doc) FROM docs WHERE rid IN ({','.join(map(str, rids))})"
        ).fetchall()
        ids = {rid: (id, json.loads(text))[0] for rid, id, text in rows}
        return [ids[rid] for rid in rids]

    def nearest(self, vector: np.ndarray, k: int = 10) -> list[str]:
        """As `Store`."""
        last = self.rids[-1] if self.rids else 0
        new = self.raw.execute("SELECT rid, vector FROM docs WHERE rid > ? ORDER BY rid", (last,)).fetchall()
        if new:
            numbers = np.frombuffer(b"".join(numbers for _, numbers in new), np.float32).reshape(-1, WIDTH)
            self.matrix = np.concatenate([self.matrix, numbers])
            self.rids += [rid for rid, _ in new]
        scores = self.matrix @ vector
        best = np.argpartition(scores, -k)[-k:]
        return self._ids([self.rids[place] for place in best[np.argsort(-scores[best])]])

    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        return fused(self.words(text, 50), self.nearest(vector, 50))

    def close(self) -> None:
        """As `Store`."""
        self.raw.close()
