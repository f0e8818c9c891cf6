"""Running scripts in tests: what watches them, who answers, and scripts that nobody has written."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.effects import Effect, Notice, Outcome
from quanta_tissu.tisslang.engine.program import Program, read_program
from quanta_tissu.tisslang.running.lifecycle import Ending, Options, start
from quanta_tissu.tisslang.running.mock import MockPerformer
from quanta_tissu.tisslang.running.people import Answer, Nobody, Person, Prepared, Question
from quanta_tissu.tisslang.source import SourceFile

OPTIONS = Options(sandbox="bwrap")


class Watching:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.begun: list[Effect] = []
        self.ended: list[tuple[Effect, Outcome, bool]] = []

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    def begin(self, effect: Effect) -> None:
        self.begun.append(effect)

    def end(self, effect: Effect, outcome: Outcome, replayed: bool) -> None:
        self.ended.append((effect, outcome, replayed))

    def outcomes(self) -> dict[str, Any]:
        """What came of each effect."""
        return {effect.key: (outcome.value, outcome.problem) for effect, outcome, _ in self.ended}

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [dict(one.data) for one in self.notices if one.kind == kind]

    @property
    def logged(self) -> list[str]:
        return [one["text"] for one in self.said("note")]


def program(text: str, **others: str) -> Program:
    """A script that is right; others by their file names."""

    def read(path: Path) -> SourceFile:
        return SourceFile(others[path.stem], str(path))

    made = read_program(SourceFile(text, "plan.tiss"), read)
    assert made.ok, [one.message for one in made.diagnostics]
    return made


def run(
    text: str | Program,
    root: Path,
    *,
    mock: MockPerformer | None = None,
    answers: tuple[str, ...] = (),
    person: Person | None = None,
    watcher: Watching | None = None,
    **about: Any,
) -> Ending:
    """Run a script in memory; its journal is a real one."""
    return start(
        program(text) if isinstance(text, str) else text,
        root,
        OPTIONS,
        doer=lambda journal, options: mock or MockPerformer(),
        person=person or Prepared(answers, Nobody(), "tester"),
        watcher=watcher or Watching(),
        **about,
    )


class Anyone:
    """Answers anything that can be answered."""

    def __init__(self, seed: int) -> None:
        self._choice = random.Random(seed)

    def ask(self, question: Question) -> Answer:
        return Answer(choice=self._choice.choice(question.options), by="anyone")


def any_performer(seed: int) -> MockPerformer:
    """Does effects with outcomes that nobody could foresee."""
    choice = random.Random(seed)
    said = ["", "one", "two words", "a\nb", "../x", "*", "; rm -rf /", 'it\'s "quoted"']
    runs = [{"STDOUT": choice.choice(said), "EXIT_CODE": choice.choice([0, 0, 1])} for _ in range(300)]
    return MockPerformer(
        files={"a.txt": "text", "b.txt": "one\ntwo"},
        commands={"": runs},
        answers=[choice.choice(said) for _ in range(3000)],
        rows=[[{"title": choice.choice(said)}] for _ in range(3000)],
    )


@contextmanager
def folder() -> Iterator[Path]:
    """A folder in memory, where there is one, that is gone afterwards; Hypothesis needs one for each example."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="tiss-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


# --- scripts that nobody has written -----------------------------------------------------------------------------

NAMES = ("a", "b", "c")

PATHS = ['"a.txt"', '"b.txt"', '"out/{{a}}.txt"', '"{{b}}"', 'b + ".txt"', "c", '"x" + c', '"{{a}}{{b | trim}}"']
VALUES = [
    *PATHS,
    "1",
    '"two words"',
    '["p", "q"]',
    "[a, b]",
    "a + b",
    '"{{a | upper}}"',
    "LAST_RUN.STDOUT",
    "LAST_RUN.EXIT_CODE",
    'FILE "a.txt"',
    '"{{c | json}}"',
]
CONDITIONS = [
    "a == b",
    "a != b AND NOT b IS_EMPTY",
    "LAST_RUN.EXIT_CODE == 0",
    'FILE "a.txt" EXISTS OR FILE "{{b}}" EXISTS',
    '"{{a}}" CONTAINS "o"',
    "true == false",
    '"{{a}}" == "{{b}}" OR LAST_RUN.EXIT_CODE == 1',
]
COMMANDS = [
    "ls {{a}}",
    "echo 'say {{b}}' \\\"{{c}}\\\"",
    "{{a}} --version",
    "make all",
    "cat {{a | raw}}",
    "grep x {{c}} | wc -l",
]


def _block(lines: list[str]) -> str:
    return "{\n" + "\n".join(lines) + "\n}"


@st.composite
def statements(draw: Any, depth: int, *, call: str | None = None) -> list[str]:
    return [draw(statement(depth, call=call)) for _ in range(draw(st.integers(0, 3)))]


@st.composite
def statement(draw: Any, depth: int, *, call: str | None = None) -> str:
    pick = lambda found: draw(st.sampled_from(found))  # noqa: E731
    kinds = [
        "VAR",
        "READ",
        "WRITE",
        "APPEND",
        "DELETE",
        "RUN",
        "RUN",
        "PROMPT",
        "ASSERT",
        "QUERY",
        "INSERT",
        "ASK",
        "@",
    ]
    if depth:
        kinds += ["IF", "IF", "FOR", "TRY", "RETRY", "CHOOSE", "CALL", "ESTIMATE", "PARALLEL"]
    kind = pick(kinds)
    body = lambda: _block(draw(statements(depth - 1, call=call)))  # noqa: E731
    match kind:
        case "VAR":
            return f"VAR {pick(NAMES)} = {pick(VALUES)}"
        case "READ":
            return f"READ {pick(PATHS)} AS {pick(NAMES)}"
        case "WRITE" | "APPEND":
            text = pick([one for one in VALUES if not one.startswith("[")])  # that would be an item of the path
            return f"{kind} {pick(PATHS)} {text}"
        case "DELETE":
            return f"DELETE {pick(PATHS)}"
        case "RUN":
            return f'RUN "{pick(COMMANDS)}"'
        case "PROMPT":
            return f'PROMPT_AGENT "about {{{{{pick(NAMES)}}}}}" INTO {pick(NAMES)}'
        case "ASSERT":
            return f"ASSERT {pick(CONDITIONS)}"
        case "QUERY":
            return f'QUERY_DB "SELECT title FROM notes" INTO {pick(NAMES)}'
        case "INSERT":
            where = pick(["b", "c"])
            return f'VAR made = {{text: {pick(VALUES)}}}\nINSERT_DOC {where} + "s" FROM_VAR made'
        case "ASK":
            return pick(["PAUSE", f"REQUEST_REVIEW {pick(VALUES)}"])
        case "@":
            return pick(["@network allow", "@sandbox none", "@sandbox landlock", "SET_BUDGET API_CALLS = 3"])
        case "IF":
            ways = f"IF {pick(CONDITIONS)} {body()}"
            if draw(st.booleans()):
                ways += f" ELSE IF {pick(CONDITIONS)} {body()}"
            return ways + (f" ELSE {body()}" if draw(st.booleans()) else "")
        case "FOR":
            items = pick(["a", "b", '["u", "v"]', '["u", b]'])
            return f"FOR {pick(['n', 'a'])} IN {items} {body()}"
        case "TRY":
            ways = f"TRY {body()} CATCH{pick(['', ' AS e'])} {body()}"
            return ways + (f" FINALLY {body()}" if draw(st.booleans()) else "")
        case "RETRY":
            fix = f' FIX_WITH PROMPT_AGENT "mend {{{{failure}}}} {{{{a}}}}" INTO {pick(NAMES)}'
            return f"RETRY MAX {pick((1, 2, 3))} {body()}" + (fix if draw(st.booleans()) else "")
        case "CHOOSE":
            return f'CHOOSE {{\nOPTION "p" {body()}\nOPTION "q" {body()}\n}}'
        case "CALL":
            title = call or pick(["t", "u"])
            return f'CALL "{title}"({pick(VALUES)}, {pick(VALUES)})'
        case "ESTIMATE":
            return f"ESTIMATE_COST {body()}"
        case _:
            return _parallel(draw, depth)


def _parallel(draw: Any, depth: int) -> str:
    """Branches that do not get into each other's way."""
    left = f'RUN "make left"\nVAR a = {draw(st.sampled_from(["LAST_RUN.STDOUT", "a + b", "1"]))}'
    right = 'PROMPT_AGENT "on the right" INTO b\nWRITE "right.txt" b'
    if draw(st.booleans()):
        left += f"\nASSERT {draw(st.sampled_from(CONDITIONS))}"
    mode = draw(st.sampled_from(["cancel", "collect"]))
    branches = f'STEP "left" {_block([left])}\nSTEP "right" {_block([right])}'
    return f"PARALLEL {{\n@on_error {mode}\n{branches}\n}}"


@st.composite
def scripts(draw: Any) -> str:
    """Scripts with all kinds of statements, in which every variable has a value, and that come to an end."""
    first = "VAR a = {}\nVAR b = {}\nVAR c = {}"
    lines = ['RUN "start"', first.format(*(draw(st.sampled_from(['"one"', '"a.txt"', '"k"'])) for _ in NAMES))]
    body = draw(statements(3))
    tail = draw(statements(2))
    step = f'STEP "all"{{\n{draw(st.sampled_from(["", "@sandbox txn"]))}\n' + "\n".join([*lines, *body]) + "\n}"
    inner = "\n".join(draw(statements(1, call="u")))
    again = draw(st.sampled_from(["", 'IF a == b {\nCALL "u"(b + "x", c)\n}', 'CALL "u"(c, a)']))
    tasks = (
        f'DEFINE_TASK "t"(a, b) {{\nVAR c = "t"\nRUN "task"\n{inner}\n}}\n'
        f'DEFINE_TASK "u"(a, b) {{\nVAR c = a\nRUN "again"\n@seed 1\n{again}\nWRITE "u/{{{{a}}}}" b\n}}\n'
    )
    return f"{tasks}{step}\n" + "\n".join([*lines, *tail]) + "\n"
