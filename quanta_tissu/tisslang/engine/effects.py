"""What a script wants done, as data: the interpreter yields it; a driver does it, replays it or plans it.

An action says what; an `Effect` says for which place of the script, in which attempt, and within which limits.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias, TypeVar

from quanta_tissu.tisslang.engine.budgets import Budget, Usage
from quanta_tissu.tisslang.engine.values import Value
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.shapes import EffectClass


@dataclass(frozen=True, slots=True)
class Site:
    """A place of a script.

    Attributes:
        source: The script.
        span: Where in it.
    """

    source: SourceFile
    span: Span

    @property
    def text(self) -> str:
        """What is written there."""
        return self.source[self.span]

    @property
    def line(self) -> int:
        """The number of its first line."""
        return self.source.position(self.span.start).line


# --- actions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something to be done.

    Attributes:
        op: The command that wants it.
        cls: What it does to the world, which decides what happens when its fate is not known.
    """

    op: ClassVar[str]
    cls: ClassVar[EffectClass]

    def args(self) -> dict[str, Any]:
        """All that decides what is done, as JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile(Action):
    """The text of a file."""

    op = "READ"
    cls = EffectClass.READ
    path: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile(Action):
    """What there is at a path: "file", "directory", "other" or nothing."""

    op = "FILE"
    cls = EffectClass.READ
    path: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile(Action):
    """A file that holds a text, whatever was there before."""

    op = "WRITE"
    cls = EffectClass.WRITE
    path: Value
    text: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendFile(Action):
    """A text at the end of a file."""

    op = "APPEND"
    cls = EffectClass.WRITE
    path: Value
    text: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeFolder(Action):
    """A folder, and those above it."""

    op = "MKDIR"
    cls = EffectClass.WRITE
    path: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFile(Action):
    """No file, or no empty folder, at a path."""

    op = "DELETE"
    cls = EffectClass.WRITE
    path: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand(Action):
    """A command of the system.

    Attributes:
        command: Text for the shell, in which holes are `$TISS_1`, `$TISS_2`.
        variables: What the holes stand for.
        raw: Whether a part of the text was not written in the script.
        timeout: Seconds; None: no other limit than the run's.
        sandbox: The level; None: the run's.
        network: Whether it may use the network.
        on_resume: What is done if nobody knows whether it was done.
    """

    op = "RUN"
    cls = EffectClass.RUN
    command: Value
    variables: Mapping[str, Value]
    raw: bool
    timeout: float | None
    sandbox: str | None
    network: bool
    on_resume: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel(Action):
    """An answer of a model.

    Attributes:
        prompt: The question.
        schema: What the answer must be, as JSON; None: any text.
        settings: What directives say: persona, model, template, temperature, ...
    """

    op = "PROMPT_AGENT"
    cls = EffectClass.MODEL
    prompt: Value
    schema: Value
    settings: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPerson(Action):
    """An answer of a person.

    Attributes:
        what: "pause", "review" or "choose".
        shown: What the person sees; the answer is bound to it.
        options: Of a choice: what can be chosen.
    """

    op = "ASK"
    cls = EffectClass.HUMAN
    what: str
    shown: Value
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDatabase(Action):
    """The rows of a query."""

    op = "QUERY_DB"
    cls = EffectClass.READ
    query: Value
    parameters: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertDocument(Action):
    """A new document; its id."""

    op = "INSERT_DOC"
    cls = EffectClass.DATABASE
    collection: Value
    document: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDocument(Action):
    """Other fields of a document."""

    op = "UPDATE_DOC"
    cls = EffectClass.DATABASE
    collection: Value
    id: Value
    change: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDocument(Action):
    """A document less."""

    op = "DELETE_DOC"
    cls = EffectClass.DATABASE
    collection: Value
    id: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateBlock(Action):
    """A sentence about what a block costs at most.

    Attributes:
        commands: How many commands it runs at most; None: nobody knows.
        prompts: What models are asked in it, each with how often at most.
    """

    op = "ESTIMATE_COST"
    cls = EffectClass.READ
    commands: int | None
    prompts: tuple[tuple[AskModel, int | None], ...]

    def args(self) -> dict[str, Any]:
        """What the estimate is made of."""
        prompts = [{**ask.args(), "at_most": times} for ask, times in self.prompts]
        return {"commands": self.commands, "prompts": prompts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Action):
    """A copy of the project that the effects of a step work on."""

    op = "BEGIN"
    cls = EffectClass.PURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(Action):
    """What was done on the copy is done to the project."""

    op = "COMMIT"
    cls = EffectClass.WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard(Action):
    """What was done on the copy is forgotten."""

    op = "DISCARD"
    cls = EffectClass.PURE


# --- what is yielded ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """An action in its place.

    Attributes:
        action: What is to be done.
        key: Names it within the run: the path of statements to it, with the numbers of rounds and attempts.
        site: Where it is written.
        transaction: The key of the step on whose copy of the project it works; None: on the project.
        budgets: What limits it; shared with whatever runs beside it.
        seconds_left: Until the time that may be spent is over; None: no limit.
        at_most: How often it is done; None: nobody knows. Plans say it.
    """

    action: Action
    key: str
    site: Site
    transaction: str | None = None
    budgets: tuple[Budget, ...] = ()
    seconds_left: float | None = None
    at_most: int | None = 1


FileChange: TypeAlias = tuple[str, str, str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an effect.

    Attributes:
        value: What it gives.
        problem: Why it failed: a code of the catalogue, and a sentence; None if it did not.
        help: What to do about it.
        seconds: How long it took; of people nothing is counted.
        usage: What it cost.
        files: What it changed in the project: "A", "M" or "D", the path, the digests before and after.
    """

    value: Value = None
    problem: tuple[str, str] | None = None
    help: str | None = None
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    files: tuple[FileChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened in the script itself, for who watches and for the record.

    Attributes:
        kind: step.begin, step.end, decision, assert, budget, note or diagnostic.
        key: As of an effect.
        site: Where.
        data: What is to be said.
    """

    kind: str
    key: str
    site: Site
    data: Mapping[str, Any] = field(default_factory=dict)


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Ways that are gone at the same time.

    Attributes:
        key: Of the PARALLEL.
        branches: What is done on each; they never raise, and give what came of them.
        cancel: Whether a failure of one ends the others.
    """

    key: str
    branches: tuple[Doing[Any], ...]
    cancel: bool


Request: TypeAlias = Effect | Notice | Fork
"""What an interpreter yields; it is sent an Outcome, None, or a list of what came of the branches."""

Doing: TypeAlias = Generator[Request, Any, T]
"""A part of a script that is being done."""
