"""Random documents and statements of TissQL."""

from __future__ import annotations

import datetime as dt
import random

from quanta_tissu.tissdb.documents import NewDocument, now
from quanta_tissu.tissdb.values import text_of

UTC = dt.UTC

NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    10,
    1.0,
    2.0,
    0.5,
    1.5,
    -2.5,
    0.1,
    0.2,
    0.30000000000000004,
    1e-7,
    100,
    5e-324,
    2.5e-310,
]
NUMBERS += [2**53, 2**53 + 1, float(2**53), 2**62, 2**63 - 1, -(2**63), 9.2e18, 1e16, 1e22, 1e300, -1e300, 1.7e308]
STRINGS = [
    "",
    "a",
    "b",
    "A",
    "ab",
    "abc",
    "a_b",
    "a%b",
    "ä",
    "z",
    "Z",
    "10",
    "1",
    "true",
    "null",
    "[x]",
    "*",
    "?",
    "]",
]
STRINGS += [
    "\U0001f600",
    "￿",
    "a\nb",
    "it's",
    'say "x"',
    "\\",
    "a\\b",
    "2026-01-01",
    '{"$date":"2026-01-01"}',
    "[1]",
]
DATES = [dt.date(2026, 1, 31), dt.date(2026, 1, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29)]
TIMES = [dt.time(0), dt.time(9, 30), dt.time(23, 59, 59, 999999)]
MOMENTS = [
    dt.datetime(2026, 1, 1, tzinfo=UTC),
    dt.datetime(2026, 1, 31, 9, 30, 15, 250000, tzinfo=UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    dt.datetime(1, 1, 1, tzinfo=UTC),
]
BYTES = [b"", b"\x00", b"abc", b"\xff"]
PATHS = [
    "a",
    "b",
    "c",
    "n.x",
    "n.y",
    "l[0]",
    "l[1].x",
    "l[0][0]",
    '"odd key"',
    'n."it\'s"',
    '"?"',
    "a.x",
    "a[0]",
    '"0"[0]',
]
COLLECTIONS = ("p", "q")
WORDS = ["a", "ab", "b z", "true", "10", '"a b"', "a -b", "+a b", "x*", "nothing"]

MOST_CHOICES = 3
"""CASE and COALESCE in one another."""


def indexable(value) -> bool:
    """Whether a value is small enough for a value index beside another."""
    return not isinstance(value, list | dict) or len(text_of(value)) < 150


class Maker:
    """Makes documents and statements of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.choices = 0  # CASE and COALESCE around what is being made

    def pick(self, items):
        return self.random.choice(items)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def number(self):
        kind = self.random.random()
        if kind < 0.6:
            return self.pick(NUMBERS)
        if kind < 0.8:
            return self.random.randint(-20, 20)
        if kind < 0.9:
            return round(self.random.uniform(-10, 10), self.random.randint(1, 15)) + 0.0
        return self.random.uniform(-1, 1) * 10.0 ** self.random.randint(-30, 30)

    def text(self) -> str:
        if self.chance(0.8):
            return self.pick(STRINGS)
        return "".join(self.pick("abAB%_*?[]^-!äß\U0001f600 '\"\\") for _ in range(self.random.randint(0, 6)))

    def scalar(self):
        kind = self.random.random()
        if kind < 0.35:
            return self.number()
        if kind < 0.6:
            return self.text()
        if kind < 0.7:
            return self.chance(0.5)
        return self.pick(
            [None, self.pick(DATES), self.pick(TIMES), self.pick(MOMENTS), self.pick(MOMENTS), self.pick(BYTES)]
        )

    def value(self, depth: int = 2):
        if depth and self.chance(0.12):
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        if depth and self.chance(0.12):
            return {
                self.pick(["x", "y", "it's", "0"]): self.value(depth - 1) for _ in range(self.random.randint(0, 2))
            }
        return self.scalar()

    def document(self) -> dict:
        out = {name: self.value() for name in ("a", "b", "c") if self.chance(0.85)}
        if self.chance(0.6):
            out["n"] = {name: self.value(1) for name in ("x", "y", "it's") if self.chance(0.7)}
        if self.chance(0.5):
            out["l"] = [self.value(1) for _ in range(self.random.randint(0, 3))]
        for name in ("odd key", "?", "0"):
            if self.chance(0.2):
                out[name] = self.value(1)
        return out if all(map(indexable, out.values())) else self.document()

    def documents(self, count: int) -> list[NewDocument]:
        past, future = now() - 10**6, now() + 10**13
        return [
            NewDocument(
                f"{number:03d}{self.pick(['', 'ä', 'Z', 'z'])}",
                self.document(),
                {},
                self.pick([None] * 6 + [past, future]),
            )
            for number in range(count)
        ]

    # Statements.

    def statement(self) -> tuple[str, list]:
        """A query and its parameters."""
        self.parameters: list = []
        if self.chance(0.12):
            text = self.union()
        elif self.chance(0.2):
            text = self.join()
        else:
            text = self.select()
        return text, self.parameters

    def literal(self, value=None, *, given: bool = False) -> str:
        value = value if given else self.scalar()
        if self.chance(0.35) or isinstance(value, bytes | list | dict):
            self.parameters.append(value)
            return "?"
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return str(value).upper()
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, dt.datetime):
            return f"TIMESTAMP '{value.isoformat()}'"
        if isinstance(value, dt.date):
            return f"DATE '{value.isoformat()}'"
        if isinstance(value, dt.time):
            return f"TIME '{value.isoformat()}'"
        return "'" + value.replace("'", "''") + "'"

    def path(self, source: str = "") -> str:
        if self.chance(0.15):
            return source + self.pick(["_id", "_rev", "_created", "_updated", "_expires"])
        if self.chance(0.6):
            return source + self.pick(["a", "b", "c"])
        return source + self.pick(PATHS)

    def expression(self, source: str = "", depth: int = 2) -> str:
        kind = self.random.random()
        if depth and kind < 0.2:
            left, right = self.expression(source, depth - 1), self.expression(source, depth - 1)
            return f"({left} {self.pick('+-*/')} {right})"
        if depth and kind < 0.24:
            return f"(- {self.expression(source, depth - 1)})"
        if depth and kind < 0.3:
            part = self.pick(["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"])
            return f"EXTRACT({part} FROM {self.expression(source, depth - 1)})"
        if depth and kind < 0.36:
            unit = self.pick(["YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS"])
            count = self.pick([1, 2, 13, 400, 5000])
            return f"({self.expression(source, depth - 1)} {self.pick('+-')} INTERVAL '{count} {unit}')"
        if depth and kind < 0.4:
            return f"{self.pick(['LOWER', 'UPPER', 'LENGTH'])}({self.expression(source, depth - 1)})"
        if depth and kind < 0.43:
            return f"({self.expression(source, depth - 1)} || {self.expression(source, depth - 1)})"
        if depth and kind < 0.5 and self.choices < MOST_CHOICES:
            self.choices += 1
            chosen = self.coalesce(source, depth) if kind < 0.46 else self.case(source, depth)
            self.choices -= 1
            return chosen
        return self.literal() if kind < 0.6 else self.path(source)

    def coalesce(self, source: str, depth: int) -> str:
        items = [self.expression(source, depth - 1) for _ in range(self.random.randint(1, 3))]
        return f"COALESCE({', '.join(items)})"

    def case(self, source: str, depth: int) -> str:
        subject = f" {self.path(source)}" if self.chance(0.3) else ""
        branches = ""
        for _ in range(self.random.randint(1, 2)):
            when = self.literal() if subject else self.condition(source, 0)
            branches += f" WHEN {when} THEN {self.expression(source, depth - 1)}"
        other = f" ELSE {self.expression(source, depth - 1)}" if self.chance(0.6) else ""
        return f"CASE{subject}{branches}{other} END"

    def condition(self, source: str = "", depth: int = 2) -> str:
        kind = self.random.random()
        if depth and kind < 0.2:
            return f"({self.condition(source, depth - 1)} AND {self.condition(source, depth - 1)})"
        if depth and kind < 0.4:
            return f"({self.condition(source, depth - 1)} OR {self.condition(source, depth - 1)})"
        if depth and kind < 0.52:
            return f"NOT {self.condition(source, depth - 1)}"
        if kind < 0.7:
            right = self.path(source) if self.chance(0.25) else self.literal()
            left = self.path(source) if self.chance(0.8) else self.expression(source)
            return f"{left} {self.pick(['=', '<>', '<', '<=', '>', '>='])} {right}"
        if kind < 0.76:
            pattern = self.pick(
                ["a%", "%b", "_", "%", "a_b", "%ä%", "[x]", "%*%", "a!%b", "%!_%", "!!", self.text()]
            )
            escape = " ESCAPE '!'" if self.chance(0.3) and not pattern.endswith("!") else ""
            return f"{self.path(source)} {self.pick(['', 'NOT '])}LIKE {self.literal(pattern, given=True)}{escape}"
        if kind < 0.84:
            if self.chance(0.2):
                self.parameters.append([self.scalar() for _ in range(self.random.randint(0, 4))])
                return f"{self.path(source)} {self.pick(['', 'NOT '])}IN ?"
            values = [self.scalar()] * 2 if self.chance(0.2) else None
            kinds = self.pick([lambda: self.scalar(), lambda: self.number(), lambda: self.text()])
            values = values or [kinds() for _ in range(self.random.randint(1, 4))]
            path, word = self.path(source), self.pick(["", "NOT "])
            return f"{path} {word}IN ({', '.join(self.literal(value, given=True) for value in values)})"
        if kind < 0.9:
            return f"{self.path(source)} {self.pick(['', 'NOT '])}BETWEEN {self.literal()} AND {self.literal()}"
        if kind < 0.95:
            return f"{self.expression(source)} IS {self.pick(['', 'NOT '])}NULL"
        if kind < 0.98:
            return f"{self.pick(['', 'NOT '])}EXISTS {source}{self.pick(PATHS)}"
        return self.pick(["TRUE", "FALSE", f"{source}a", f"NOT {source}a", f"{source}n.x"])

    def aggregate(self, source: str = "") -> str:
        function = self.pick(["COUNT", "SUM", "AVG", "MIN", "MAX", "STDDEV", "COUNT(*)", "COUNT(DISTINCT"])
        if function == "COUNT(*)":
            return function
        operand = self.path(source) if self.chance(0.7) else self.expression(source, 1)
        return f"COUNT(DISTINCT {operand})" if function == "COUNT(DISTINCT" else f"{function}({operand})"

    def where(self, source: str = "") -> str:
        if not self.chance(0.7):
            return ""
        condition = self.condition(source)
        for _ in range(self.random.choice([0] * 6 + [1, 1, 2])):
            match = f"{self.pick(['', 'NOT '])}MATCH({source}words, {self.literal(self.pick(WORDS), given=True)})"
            condition = f"({condition} {self.pick(['AND', 'OR'])} {match})"
        return f" WHERE {condition}"

    def limits(self) -> str:
        out = f" LIMIT {self.literal(self.random.randint(0, 12), given=True)}" if self.chance(0.35) else ""
        return out + (f" OFFSET {self.literal(self.random.randint(0, 5), given=True)}" if self.chance(0.2) else "")

    def direction(self) -> str:
        return self.pick(["", " ASC", " DESC"])

    def select(self) -> str:
        name = self.pick(COLLECTIONS)
        if self.chance(0.35):
            return self.grouped(name)
        if self.chance(0.15):
            return f"SELECT * FROM {name}{self.where()}{self.order(self.path)}{self.limits()}"
        if self.chance(0.15):  # a condition that settles the kind by which is sorted
            path = self.path()
            where = f"{path} {self.pick(['=', '<', '>=', '>', '<='])} {self.literal()}"
            where += f" AND {self.condition()}" if self.chance(0.5) else ""
            return f"SELECT _id, {path} FROM {name} WHERE {where} ORDER BY {path}{self.direction()}{self.limits()}"
        if self.chance(0.25):
            fixed = [self.path() for _ in range(self.random.randint(1, 3))]
            order = f" ORDER BY {fixed[0]}{self.direction()}" if self.chance(0.5) else ""
            return f"SELECT DISTINCT {', '.join(fixed)} FROM {name}{self.where()}{order}{self.limits()}"
        columns = [self.expression() for _ in range(self.random.randint(1, 3))]
        return f"SELECT {', '.join(columns)} FROM {name}{self.where()}{self.order(self.sorted_by)}{self.limits()}"

    def sorted_by(self) -> str:
        return self.path() if self.chance(0.6) else f"({self.expression()} + {self.path()})"

    def order(self, make) -> str:
        if not self.chance(0.6):
            return ""
        return " ORDER BY " + ", ".join(make() + self.direction() for _ in range(self.random.randint(1, 2)))

    def grouped(self, name: str) -> str:
        keys = [
            self.path() if self.chance(0.8) else f"({self.path()} + 1)" for _ in range(self.random.randint(0, 2))
        ]
        columns = [*keys, *(self.aggregate() for _ in range(self.random.randint(1, 3)))]
        if keys and self.chance(0.3):
            columns.append(f"{keys[0]} * 2")
        where = self.where()
        groups = f" GROUP BY {', '.join(keys)}" if keys else ""
        operators = ["=", "<>", "<", ">="]
        having = ""
        if self.chance(0.3):
            having = f" HAVING {self.aggregate()} {self.pick(operators)} {self.literal()}"
            if self.chance(0.3):
                having += f" OR {self.aggregate()} IS NOT NULL"
        order = ""
        if self.chance(0.5):
            by = self.pick(keys) if keys and self.chance(0.5) else self.aggregate()
            order = f" ORDER BY {by}{self.direction()}"
        return f"SELECT {', '.join(columns)} FROM {name}{where}{groups}{having}{order}{self.limits()}"

    def join(self) -> str:
        sources = ["x.", "y.", "z."][: self.random.randint(2, 3)]
        # All parts are made in the order in which they stand, since `?` are numbered so.
        if self.chance(0.2):
            columns = [self.aggregate(sources[-1]), "COUNT(*)"]
        else:
            columns = [self.path(self.pick(sources)) for _ in range(self.random.randint(1, 3))]
        text = f"{self.pick(COLLECTIONS)} AS x"
        for place, source in enumerate(sources[1:], 1):
            conditions = [f"{self.path(source)} = {self.path(self.pick(sources[:place]))}"]
            if self.chance(0.2):
                conditions.append(f"{self.path(source)} = {self.literal()}")
            word, name = self.pick(["JOIN", "LEFT JOIN"]), self.pick(COLLECTIONS)
            text += f" {word} {name} AS {source[0]} ON {' AND '.join(conditions)}"
        where = self.where(self.pick(sources))
        if columns[-1] == "COUNT(*)":
            return f"SELECT {', '.join(columns)} FROM {text}{where}"
        order = f" ORDER BY {self.path(self.pick(sources))}{self.direction()}" if self.chance(0.5) else ""
        return f"SELECT {', '.join(columns)} FROM {text}{where}{order}{self.limits()}"

    def union(self) -> str:
        count, sides = self.random.randint(1, 2), []
        for _ in range(self.random.randint(2, 3)):
            name = self.pick(COLLECTIONS)
            distinct = self.pick(["", "", "DISTINCT "])
            columns = ", ".join(f"{self.path()} AS k{place}" for place in range(count))
            sides.append(f"SELECT {distinct}{columns} FROM {name}{self.where()}")
        text = sides[0]
        for side in sides[1:]:
            text += self.pick([" UNION ", " UNION ALL "]) + side
        order = f" ORDER BY k{self.random.randrange(count)}{self.direction()}" if self.chance(0.6) else ""
        return text + order + self.limits()
