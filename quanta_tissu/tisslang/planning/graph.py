"""A script as a graph: steps as boxes with what they do, and the ways between them.

What is in the boxes comes from the plan, so that a picture shows what a run can do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, TypeAlias

from quanta_tissu.tisslang.engine.planning import Plan
from quanta_tissu.tisslang.engine.program import Program
from quanta_tissu.tisslang.planning.plan_report import Group, Row, grouped, row_of
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Expression

Kind = Literal["file", "run", "model", "person", "database"]
Shape = Literal["parallel", "choose", "if", "loop", "try", "task", "step"]

_KINDS: dict[str, Kind] = {
    "RUN": "run",
    "PROMPT_AGENT": "model",
    "ASK": "person",
    "QUERY_DB": "database",
    "INSERT_DOC": "database",
    "UPDATE_DOC": "database",
    "DELETE_DOC": "database",
}
ON_A_COPY = " (on a copy)"
"""Said of steps that work on a copy of the project."""

_MOST_ROWS = 12
_LONGEST = 46


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a box says is done.

    Attributes:
        kind: What is touched by it.
        op: The command.
        text: What it is about.
    """

    kind: Kind
    op: str
    text: str


@dataclass(frozen=True, slots=True)
class Box:
    """A step, or commands that stand together.

    Attributes:
        title: What the step is called; empty for commands.
        lines: What is done in it.
        copy: Whether it works on a copy of the project.
    """

    title: str
    lines: tuple[Line, ...]
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways of a block.

    Attributes:
        label: When it is gone; may be empty.
        nodes: What is done on it, one after the other.
    """

    label: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Ways that belong together.

    Attributes:
        shape: How: at the same time, one of them, again and again, ...
        label: What is said of all of them.
        ways: They.
        copy: Whether it is a step that works on a copy of the project.
    """

    shape: Shape
    label: str
    ways: tuple[Way, ...]
    copy: bool = False


Node: TypeAlias = "Box | Block"


def graph_of(program: Program, plan: Plan) -> tuple[Node, ...]:
    """The graph of a script.

    Args:
        program: It.
        plan: What it would do.
    """
    return _Builder(program, plan).nodes(program.main.statements, program.main.source, ())


class _Builder:
    def __init__(self, program: Program, plan: Plan) -> None:
        self._plan = plan
        self._tasks = {
            one.title.plain: (one, script.source)
            for script in (*program.others, program.main)
            for one in script.statements
            if isinstance(one, ast.DefineTask)
        }
        self._groups: dict[tuple[str, Span], list[Group]] = defaultdict(list)  # a task's step is in several
        for one in grouped(plan):
            if one.step is not None:
                self._groups[one.step.site.source.name, one.step.site.span].append(one)

    def nodes(self, body: ast.Body, source: SourceFile, calls: tuple[str, ...]) -> tuple[Node, ...]:
        """What a body does; commands that stand together become one box."""
        made: list[Node] = []
        for statement in body:
            node = self._node(statement, source, calls)
            if (
                isinstance(node, Box)
                and not node.title
                and made
                and isinstance(made[-1], Box)
                and not made[-1].title
            ):
                made[-1] = Box("", (*made[-1].lines, *node.lines))
            elif isinstance(node, tuple):
                made += node
            elif node is not None:
                made.append(node)
        return tuple(made)

    def _node(
        self, statement: ast.Statement, source: SourceFile, calls: tuple[str, ...]
    ) -> Node | tuple[Node, ...] | None:
        def way(label: str, body: ast.Body | None) -> Way:
            return Way(label, self.nodes(body or (), source, calls))

        match statement:
            case ast.DefineTask() | ast.Import():
                return None
            case ast.Task(body=body):
                return self.nodes(body or (), source, calls)
            case ast.EstimateCost(body=body):
                return self.nodes(body, source, calls)
            case ast.Setup() | ast.Step():
                return self._step(statement, source, calls)
            case ast.Parallel(body=body):
                return Block("parallel", "at the same time", self._branches(body, source, calls))
            case ast.Choose(body=body, question=question):
                label = "a person chooses" if question is None else _short(source[question.span].strip("\"'"))
                return Block("choose", label, self._branches(body, source, calls))
            case ast.If():
                ways = [way(f"if {_short(source[statement.condition.span])}", statement.body)]
                ways += [
                    way(f"or if {_short(source[one.condition.span])}", one.body) for one in statement.branches
                ]
                return Block("if", "", (*ways, way("otherwise", statement.otherwise)))
            case ast.For(name=variable, items=items, body=body):
                label = f"for each {variable.text} of {_short(source[items.span])}"
                return Block("loop", label, (way("", body),))
            case ast.Retry(times=times, body=body):
                fix = ", with a model's corrections" if statement.prompt is not None else ""
                label = f"up to {_short(source[times.span])} times{fix}"
                again = way("", body).nodes
                if statement.prompt is not None and (asked := self._lines(statement.prompt, source)):
                    again = (*again, Box("", asked))
                return Block("loop", label, (Way("", again),))
            case ast.Try():
                ways = [way("try", statement.body)]
                ways += [way("if it fails", statement.catch)] if statement.catch is not None else []
                tried = Block("try", "", tuple(ways))
                if statement.always is None:
                    return tried
                return tried, Block("try", "in any case", (way("", statement.always),))
            case ast.Call(title=title, arguments=arguments):
                name = title.plain or ""
                given = ", ".join(source[one.span] for one in arguments)
                if name in calls or name not in self._tasks:
                    return Block("task", f"“{name}” again", ())
                task, home = self._tasks[name]
                return Block(
                    "task",
                    _short(f"{name}({given})" if given else name),
                    (Way("", self.nodes(task.body, home, (*calls, name))),),
                )
            case _:
                lines = self._lines(statement, source)
                return Box("", lines) if lines else None

    def _branches(self, body: ast.Body, source: SourceFile, calls: tuple[str, ...]) -> tuple[Way, ...]:
        ways = []
        for one in body:
            if isinstance(one, ast.Option):
                title = _short(source[one.title.span].strip("\"'"))
                ways.append(Way(f"“{title}”", self.nodes(one.body, source, calls)))
            elif not isinstance(one, ast.Directive):
                ways.append(Way("", self.nodes((one,), source, calls)))
        return tuple(ways)

    def _step(self, step: ast.Setup | ast.Step, source: SourceFile, calls: tuple[str, ...]) -> Node:
        """A step as a box; one that calls tasks as a frame, with what these do where it calls them."""
        groups = self._groups.get((source.name, step.keyword), [])  # none: it is never come to
        title = _short("Setup" if isinstance(step, ast.Setup) else source[step.title.span].strip("\"'"))
        copy = any(one.transaction for one in groups)
        if any(isinstance(one, ast.Call) for one in ast.walk(step.body)):
            return Block("step", title, (Way("", self.nodes(step.body, source, calls)),), copy)
        return Box(title, _written([row for one in groups for row in one.rows]), copy)

    def _lines(self, statement: ast.Statement | Expression, source: SourceFile) -> tuple[Line, ...]:
        rows = [
            row_of(one)
            for one in self._plan.effects
            if one.effect.site.source is source
            and statement.span.start <= one.effect.site.span.start < statement.span.end
        ]
        return _written(list({(row.op, row.what): row for row in rows}.values()))


def _written(rows: Sequence[Row]) -> tuple[Line, ...]:
    lines = [Line(_KINDS.get(row.op, "file"), row.op, _short(row.what)) for row in rows]
    lines = list(dict.fromkeys(lines))
    if len(lines) > _MOST_ROWS:
        left = len(lines) - _MOST_ROWS + 1
        lines = [*lines[: _MOST_ROWS - 1], Line("file", "", f"and {left} more")]
    return tuple(lines)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


# --- as text for other programs ----------------------------------------------------------------------------------

_MARKS: dict[Kind, str] = {"file": "", "run": "⚙ ", "model": "✦ ", "person": "☺ ", "database": "⛁ "}


@dataclass(frozen=True, slots=True)
class _Style:
    """How a notation writes what graphs are made of."""

    node: str
    edge: str
    labelled: str
    opening: str
    closing: str
    new_line: str


_MERMAID = _Style(
    '{id}["{text}"]', "{a} --> {b}", '{a} -->|"{label}"| {b}', 'subgraph {id}["{text}"]', "end", "<br/>"
)
_DOT = _Style(
    '{id} [label="{text}"];',
    "{a} -> {b};",
    '{a} -> {b} [label="{label}"];',
    'subgraph cluster_{id} {{ label="{text}"; style=rounded; color=gray;',
    "}}",
    "\\l",
)


def as_mermaid(nodes: Sequence[Node], title: str) -> str:
    """A graph in the notation of Mermaid, which GitHub draws in Markdown."""

    def safe(text: str) -> str:
        return "".join(f"#{ord(one)};" if one in '"#<>&`{}[]|\\' else one for one in text)

    lines = ["flowchart TD", f'    start(["{safe(title)}"])']
    lines += [f"    {line}" for line in _Writer(_MERMAID, safe).whole(nodes)]
    return "\n".join([*lines, '    finish(["done"])']) + "\n"


def as_dot(nodes: Sequence[Node], title: str) -> str:
    """A graph in the notation of Graphviz."""

    def safe(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"')

    lines = [
        "digraph script {",
        '    node [shape=box, style=rounded, fontname="sans-serif"];',
        '    edge [fontname="sans-serif"];',
        f'    start [label="{safe(title)}", shape=oval];',
        '    finish [label="done", shape=oval];',
    ]
    lines += [f"    {line}" for line in _Writer(_DOT, safe).whole(nodes)]
    return "\n".join([*lines, "}"]) + "\n"


class _Writer:
    """Writes nodes, and edges between the ends of one and the beginnings of the next."""

    def __init__(self, style: _Style, safe: object) -> None:
        assert callable(safe)
        self._style = style
        self._safe = safe
        self._numbers = count(1)
        self._edges: list[str] = []

    def whole(self, nodes: Sequence[Node]) -> Iterator[str]:
        """All lines of a graph."""
        ends = [("start", "")]
        lines: list[str] = []
        for node in nodes:
            ends = self._node(node, ends, lines)
        self._join(ends, "finish")
        yield from lines
        yield from self._edges

    def _join(self, ends: list[tuple[str, str]], to: str) -> None:
        for one, label in ends:
            style = self._style.labelled if label else self._style.edge
            self._edges.append(style.format(a=one, b=to, label=self._safe(label)))

    def _node(self, node: Node, ends: list[tuple[str, str]], lines: list[str]) -> list[tuple[str, str]]:
        """Write a node after others; where it ends, each end with what is said of the way from there."""
        name = f"n{next(self._numbers)}"
        if isinstance(node, Box):
            said = [node.title + ON_A_COPY * node.copy] if node.title else []
            said += [f"{_MARKS[one.kind]}{one.op} {one.text}".strip() for one in node.lines]
            text = self._style.new_line.join(self._safe(one) for one in said) or "…"
            lines.append(self._style.node.format(id=name, text=text))
            self._join(ends, name)
            return [(name, "")]
        mark = {"choose": _MARKS["person"], "task": "task "}.get(node.shape, "")
        label = self._safe(f"{mark}{node.label}{ON_A_COPY * node.copy}")
        lines.append(self._style.opening.format(id=name, text=label))
        after: list[tuple[str, str]] = []
        before = ends
        for way in node.ways:
            reached = [(one, way.label or label) for one, label in before]
            for one in way.nodes:
                reached = self._node(one, reached, lines)
            after += reached
        if not node.ways:
            empty = f"{name}_0"
            lines.append(self._style.node.format(id=empty, text="…"))
            self._join(ends, empty)
            after = [(empty, "")]
        lines.append(self._style.closing.format())
        return after
