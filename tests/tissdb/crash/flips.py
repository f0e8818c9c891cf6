"""Flip bits of a database's files, one at a time, and see that no wrong value is ever served.

    python tests/tissdb/crash/flips.py --flips 10000 [--encrypted]

After each flip everything is read in every way. An answer is either what it was before the flip, or an error that
names the file. If a page in use was hit, the database's own check says so.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

import apsw

from quanta_tissu.errors import CorruptionError, DatabaseError
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend
from quanta_tissu.tissdb.sqlite.protection import Secret

SECRET = Secret(key=bytes(range(32)))

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]


def fill(db: Database) -> None:
    """Documents with every kind of index, and pages of every type: of trees, of overflow, and free ones."""
    chance = random.Random(1)
    notes = db["notes"]
    notes.create_index("n", kind="unique")
    notes.create_index("kind")
    notes.create_index("words", kind="text", fields="text")
    notes.create_index("near", kind="vector", dimension=8)
    for part in range(4):
        notes.insert_many(
            {
                "_id": f"d{n}",
                "n": n,
                "kind": n % 5,
                "text": " ".join(chance.choices(WORDS, k=20)) + (" long" * 3000 if n % 50 == 0 else ""),
                "_vectors": {"near": [chance.random() + 0.1 for _ in range(8)]},
            }
            for n in range(part * 50, part * 50 + 50)
        )
    notes.delete("d100")


def questions(db: Database) -> Iterator[Callable[[], Any]]:
    """Every way to read it."""
    notes = db["notes"]
    yield db.collections
    yield lambda: [notes.get(f"d{n}") for n in range(200)]
    yield lambda: list(notes)
    yield notes.count
    yield lambda: db.query("SELECT n, text FROM notes WHERE kind = 3 ORDER BY n").rows
    yield lambda: db.query("SELECT kind, COUNT(*), SUM(n) FROM notes GROUP BY kind ORDER BY kind").rows
    yield lambda: db.query("SELECT n FROM notes WHERE n = 77").rows
    yield lambda: [(hit.document.id, hit.score) for hit in notes.search("alpha gamma", k=20)]
    yield lambda: [(hit.document.id, hit.score) for hit in notes.search(vector=[1.0] * 8, k=20)]
    yield lambda: list(db.log())
    yield db.head


def opened(path: Path, secret: Secret | None) -> Database:
    return Database(SqliteBackend(path, durable=False, busy_timeout=0.1, secret=secret))


def answers(path: Path, secret: Secret | None) -> tuple[list[Any], list[str]]:
    """What each question gives: an answer, or the error; and what the check finds."""
    with opened(path, secret) as db:
        found: list[Any] = []
        for question in questions(db):
            try:
                found.append(question())
            except DatabaseError as error:
                found.append(error)
        return found, db.check()


def outcome(path: Path, secret: Secret | None, right: list[Any]) -> str:
    """What a damaged file does: `harmless`, `refused` when it is opened, `found` later; anything else is wrong."""
    try:
        found, problems = answers(path, secret)
    except CorruptionError as error:
        return "refused" if path.name in str(error) else f"an error without the file: {error}"
    except DatabaseError as error:
        return f"another error: {error}"
    refused = 0
    for number, (answer, expected) in enumerate(zip(found, right, strict=True)):
        if isinstance(answer, DatabaseError):
            refused += 1
            if not isinstance(answer, CorruptionError) or path.name not in str(answer):
                return f"question {number} gives another error: {answer!r}"
        elif answer != expected:
            return f"question {number} gives a wrong answer"
    if refused and not problems:
        return "reads are refused, but the check finds nothing"
    return "found" if problems else "harmless"


def campaign(folder: Path, flips: int, seed: int, *, secret: Secret | None = None) -> collections.Counter[str]:
    """Flip bits of a database file and count what happens."""
    path = folder / "flipped.db"
    with opened(path, secret) as db:
        fill(db)
        db.compact()
        db["notes"].insert({"n": 1000, "text": "the last"}, id="last")
        db["notes"].delete("d150")
    right, problems = answers(path, secret)
    assert problems == []
    whole = path.read_bytes()
    counts: collections.Counter[str] = collections.Counter()
    chance = random.Random(seed)
    for number in range(flips):
        # One in ten in the first page, of which every byte counts.
        at = chance.randrange(4096 if number % 10 == 0 else len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        for file in folder.iterdir():
            file.unlink()
        path.write_bytes(damaged)
        result = outcome(path, secret, right)
        if result not in ("harmless", "refused", "found"):
            result = f"byte {at} (page {at // 4096 + 1}): {result}"
        counts[result] += 1
    return counts


def wrong(counts: collections.Counter[str]) -> list[str]:
    return [result for result in counts if result not in ("harmless", "refused", "found")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encrypted", action="store_true")
    arguments = parser.parse_args()
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="flips-", dir=shared) as folder:
        secret = SECRET if arguments.encrypted else None
        counts = campaign(Path(folder), arguments.flips, arguments.seed, secret=secret)
    print(f"SQLite {apsw.sqlite_lib_version()}:", ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    return 1 if wrong(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
