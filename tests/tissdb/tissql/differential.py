"""Random statements on random documents: every engine must answer as the reference does, exactly.

python tests/tissdb/tissql/differential.py --statements 200000 --seed 1 --engines sqlite postgres
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.definitions import Term, TextQuery
from quanta_tissu.tissdb.documents import Document, now
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.search.text import text_at
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import legs_of, walk
from quanta_tissu.tissdb.tissql.parameters import bound
from quanta_tissu.tissdb.tissql.reference import Environment, evaluate, run_query
from quanta_tissu.tissdb.tissql.run import prepare

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.tissdb.tissql.statements import COLLECTIONS, Maker


def exact(value):
    """A form in which values are equal only if their types are, too."""
    if isinstance(value, list):
        return ("list", tuple(exact(item) for item in value))
    if isinstance(value, dict):
        return ("dict", tuple(sorted((key, exact(item)) for key, item in value.items())))
    return (type(value).__name__, repr(value))


def loose(query: ir.Query, rows) -> bool:
    """Whether the order among equal rows is open: between lists, where no `_id` decides."""
    combined = isinstance(query, ir.Union) or query.distinct or query.groups is not None
    return combined and any(isinstance(value, list | dict) for row in rows for value in row.values())


def expected_of(documents: dict[str, list[Document]], text: str, parameters: list) -> list[dict]:
    """What the reference says."""
    parsed = prepare(text).parsed
    env = Environment(bound(parsed, parameters), now())
    scores: dict[ir.Match | ir.Near, dict[str, float]] = {}
    for select in walk(parsed.statement):
        if isinstance(select, ir.Select):
            names = {source.alias: source.collection for source in select.sources}
            for leg in legs_of(select.where):
                query = parse_query(evaluate(leg.words, env))
                found = [one for one in documents[names[leg.source]] if matches(query, one)]
                scores[leg] = dict.fromkeys((one.id for one in found), 1.0)
    return run_query(parsed.statement, documents, replace(env, scores=scores))


def matches(query: TextQuery, document: Document) -> bool:
    """Whether words are found in a document's fields a and b, by another way than the engines'."""
    texts = [unicodedata.normalize("NFD", text_at(document.value, (name,)).lower()) for name in ("a", "b")]
    fields = [
        " ".join(re.findall(r"[^\W_]+", "".join(one for one in text if not unicodedata.combining(one))))
        for text in texts
    ]

    def there(term: Term) -> bool:
        end = "" if term.prefix else " "
        return any(f" {' '.join(term.words)}{end}" in f" {field} " for field in fields)

    if any(map(there, query.excluded)):
        return False
    return all(map(there, query.required)) if query.required else any(map(there, query.wanted))


def difference(db: tissdb.Database, expected: list[dict], text: str, parameters: list) -> str | None:
    """What an engine says otherwise than the reference, if anything."""
    query = prepare(text).parsed.statement
    result = db.query(text, parameters)
    star = any(column.value is None for column in getattr(query, "columns", ()))
    found = [{k: v for k, v in row.items() if not (star and v is None)} for row in result]
    if star:
        expected = [{k: v for k, v in row.items() if v is not None} for row in expected]
    a = [exact(row) for row in expected]
    b = [exact(row) for row in found]
    limited = query.limit is not None or query.offset is not None
    if loose(query, [*expected, *found]):
        same = len(a) == len(b) if limited else Counter(a) == Counter(b)
    elif query.order or limited:
        same = a == b
    else:
        same = Counter(a) == Counter(b)
    return (
        None
        if same
        else f"{text}\n  {parameters!r}\n  reference: {expected!r:.1500}\n  engine:    {found!r:.1500}"
    )


def filled(db: tissdb.Database, maker: Maker, count: int) -> dict[str, list[Document]]:
    """Documents in a new database, and as the reference sees them."""
    for name in COLLECTIONS:
        db.collection(name).insert_many(maker.documents(count))
    for name in COLLECTIONS:
        db.collection(name).create_index("words", kind="text", fields=["a", "b"], stemming=False)
    db.collection("p").create_index("a")
    db.collection("p").create_index("bc", fields=["b", "c"])
    db.collection("q").create_index("b")
    db.collection("q").create_index("nested", fields="n.x")
    return {name: list(db.collection(name).scan()) for name in COLLECTIONS}


def run(
    urls: list[str],
    statements: int,
    seed: int,
    *,
    per_round: int = 250,
    documents: int = 16,
    show: Callable[[str], None] = print,
) -> int:
    """Compare statements on ever new documents; how many answers differ.

    Args:
        urls: Databases; what is in them is dropped.
        statements: How many, each of which every database answers.
        seed: Of what is random.
        per_round: Statements for which documents stay the same.
        documents: Documents of a collection.
        show: Gets what differs, and how it goes.
    """
    differences = done = 0
    begun = time.monotonic()
    with ExitStack() as stack:
        databases = [stack.enter_context(tissdb.open(url)) for url in urls]
        while done < statements:
            known = []
            for db in databases:
                for name in db.collections():
                    db.drop_collection(name)
                maker = Maker(seed * 1_000_003 + done)
                known.append(filled(db, maker, documents))
            for _ in range(min(per_round, statements - done)):
                text, parameters = maker.statement()
                done += 1
                expected = None
                for db, there in zip(databases, known, strict=True):
                    try:
                        if expected is None or "_" in text:  # times and revisions of each database are its own
                            expected = expected_of(there, text, parameters)
                        found = difference(db, expected, text, parameters)
                    except Exception as error:
                        found = f"{text}\n  {parameters!r}\n  {type(error).__name__}: {error}"
                    if found:
                        differences += 1
                        show(f"--- {done} on {db.url}\n{found}")
            if done % (20 * per_round) == 0:
                show(f"{done:,} statements, {differences} differences, {time.monotonic() - begun:.0f} s")
    return differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engines", nargs="+", choices=("sqlite", "postgres"), default=["sqlite", "postgres"])
    options = parser.parse_args()
    with ExitStack() as stack:
        urls = [":memory:"] if "sqlite" in options.engines else []
        if "postgres" in options.engines:
            sys.path.insert(0, str(Path(__file__).parents[1]))
            from postgres_server import serving

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp"))
            urls.append(stack.enter_context(serving(Path(folder))) + "&schema=differential")
        found = run(urls, options.statements, options.seed)
    print(f"{options.statements:,} statements on {' and '.join(options.engines)}: {found} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
