"""Statements that are nearly right, and bytes that are not: the answer is a result or an error of ours.

python tests/tissdb/tissql/fuzz.py --statements 100000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, QueryError

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.tissdb.tissql.differential import filled
from tests.tissdb.tissql.statements import Maker
from tests.tissdb.tissql.test_fuzz import WORDS, UndoError

_PARTS = re.compile(r"\s+|\w+|'[^']*'|.", re.DOTALL)
_WRITES = [
    "UPDATE p SET a = {} WHERE {}",
    "DELETE FROM q WHERE {1}",
    "INSERT INTO p (a, b) VALUES ({0}, 1)",
    "INSERT INTO q VALUES ({{'a': {0}}})",
]


class Fuzzer:
    """Makes statements of one seed, and breaks them."""

    def __init__(self, seed: int) -> None:
        self.maker = Maker(seed)
        self.random = random.Random(seed)

    def statement(self) -> tuple[str, list]:
        text, parameters = self.maker.statement()
        if self.random.random() < 0.2:
            value, condition = self.maker.literal(), self.maker.condition()
            text = self.random.choice(_WRITES).format(value, condition)
        for _ in range(self.random.choice([1, 1, 2, 5])):
            text = self.random.choice([self.words, self.words, self.characters, self.bytes])(text)
        return text, parameters

    def words(self, text: str) -> str:
        """Words taken out, doubled, exchanged, or put in."""
        parts = _PARTS.findall(text)
        place, other = self.random.randrange(len(parts) + 1), self.random.randrange(len(parts) + 1)
        first, last = sorted((place, other))
        word = f" {self.random.choice(WORDS)} "
        return "".join(
            self.random.choice(
                [
                    lambda: [*parts[:place], word, *parts[place:]],
                    lambda: [*parts[:place], *parts[place + 1 :]],
                    lambda: [*parts[:place], word, *parts[place + 1 :]],
                    lambda: [*parts[:first], *parts[last:]],
                    lambda: [*parts[:last], *parts[first:]],
                    lambda: parts[:place],
                ]
            )()
        )

    def characters(self, text: str) -> str:
        """A character that is another."""
        place = self.random.randrange(len(text) + 1)
        return (
            text[:place]
            + chr(self.random.choice([0, 39, 34, 40, 41, 0x2028, 0xD800, 0x1F600]))
            + text[place + 1 :]
        )

    def bytes(self, text: str) -> str:
        """A bit turned round."""
        data = bytearray(text.encode("utf-8", "surrogatepass"))
        if data:
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return data.decode("utf-8", "replace")


def run(urls: list[str], statements: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Ask, and undo what it does: how often which answer came, and what should not have come."""
    fuzzer, counts, found = Fuzzer(seed), Counter[str](), []
    with ExitStack() as stack:
        databases = [stack.enter_context(tissdb.open(url)) for url in urls]
        for db in databases:
            filled(db, fuzzer.maker, 8)
        for _ in range(statements):
            text, parameters = fuzzer.statement()
            for db in databases:
                begun = time.monotonic()
                try:
                    with db.transaction() as transaction:
                        transaction.query(text, parameters)
                        raise UndoError
                except UndoError:
                    counts["results"] += 1
                except QueryError:
                    counts["errors of the statement"] += 1
                except DatabaseError as error:
                    counts[type(error).__name__] += 1
                except Exception as error:
                    found.append(f"{db.url}: {text!r} {parameters!r}: {type(error).__name__}: {error}"[:2000])
                if time.monotonic() - begun > 10:
                    found.append(f"{db.url}: {text!r} took {time.monotonic() - begun:.0f} s"[:2000])
    return counts, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engines", nargs="+", choices=("sqlite", "postgres"), default=["sqlite", "postgres"])
    options = parser.parse_args()
    with ExitStack() as stack:
        urls = [":memory:"] if "sqlite" in options.engines else []
        if "postgres" in options.engines:
            sys.path.insert(0, str(Path(__file__).parents[1]))
            from postgres_server import serving

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp"))
            urls.append(stack.enter_context(serving(Path(folder))) + "&schema=fuzz")
        counts, found = run(urls, options.statements, options.seed)
    print(f"{options.statements:,} statements on {' and '.join(options.engines)}: {dict(counts)}")
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
