"""What statements are: frozen views with spans. The table of commands says how each is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax.expressions import Expression, Text


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a statement gives or takes."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement.

    Attributes:
        span: From its first token to its last.
        keyword: Where its first word is.
    """

    span: Span
    keyword: Span


Body = tuple[Statement, ...]
"""The statements of a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive(Statement):
    """`@name value`: how what follows in the same block is done."""

    name: Name
    value: Expression | Name | None


# --- blocks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Statement):
    """`TASK "title"`, with a block or followed by steps."""

    title: Text
    body: Body | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup(Statement):
    """`SETUP`: what is done before the steps."""

    title: Text | None
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Statement):
    """`STEP "title"`."""

    title: Text
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(Statement):
    """`PARALLEL`: steps that run at the same time."""

    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Choose(Statement):
    """`CHOOSE`: one of its options is done."""

    question: Expression | None
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Statement):
    """`OPTION "title"` of a CHOOSE."""

    title: Text
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Statement):
    """`ELSE IF condition` of an IF."""

    condition: Expression
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Statement):
    """`IF condition`, and what is done otherwise."""

    condition: Expression
    body: Body
    branches: tuple[Branch, ...]
    otherwise: Body | None


@dataclass(frozen=True, slots=True, kw_only=True)
class For(Statement):
    """`FOR name IN items`."""

    name: Name
    items: Expression
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Statement):
    """`TRY`, what is done if it fails, and what is done in any case."""

    body: Body
    error: Name | None
    catch: Body | None
    always: Body | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Statement):
    """`RETRY MAX times`: again, as long as it fails; a model may be asked for a correction in between."""

    times: Expression
    body: Body
    prompt: Expression | None
    into: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineTask(Statement):
    """`DEFINE_TASK "name"(parameters)`: what CALL does."""

    title: Text
    parameters: tuple[Name, ...]
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateCost(Statement):
    """`ESTIMATE_COST`: what its block would cost at most is said before it is done."""

    body: Body


# --- commands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Statement):
    """`CALL "name"(arguments)`."""

    title: Text
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Import(Statement):
    """`IMPORT "other.tiss"`: its DEFINE_TASKs can be called."""

    path: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Statement):
    """`READ path AS name`."""

    path: Expression
    into: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Statement):
    """`WRITE path text`."""

    path: Expression
    text: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(Statement):
    """`APPEND path text`."""

    path: Expression
    text: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Mkdir(Statement):
    """`MKDIR path`."""

    path: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Statement):
    """`DELETE path`."""

    path: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Statement):
    """`RUN command`."""

    command: Expression
    timeout: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assert(Statement):
    """`ASSERT condition`."""

    condition: Expression
    message: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Var(Statement):
    """`VAR name = value`."""

    name: Name
    value: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Statement):
    """`LOG value`."""

    value: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAgent(Statement):
    """`PROMPT_AGENT prompt INTO name AS JSON schema`."""

    prompt: Expression
    into: Name | None
    schema: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBudget(Statement):
    """`SET_BUDGET name = limit`."""

    name: Name
    limit: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Statement):
    """`PAUSE message`: a person says when it goes on."""

    message: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReview(Statement):
    """`REQUEST_REVIEW what`: a person approves, or the task ends."""

    what: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDb(Statement):
    """`QUERY_DB query WITH parameters INTO name`."""

    query: Expression
    parameters: Expression | None
    into: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertDoc(Statement):
    """`INSERT_DOC collection FROM_VAR name`."""

    collection: Expression
    source: Name
    into: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDoc(Statement):
    """`UPDATE_DOC collection DOC_ID id WITH_VAR name`."""

    collection: Expression
    id: Expression
    source: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDoc(Statement):
    """`DELETE_DOC collection DOC_ID id`."""

    collection: Expression
    id: Expression


def walk(body: Body) -> Iterator[Statement]:
    """All statements of a body, and those in their blocks, in the order in which they are written."""
    for statement in body:
        yield statement
        for name in ("body", "branches", "otherwise", "catch", "always"):
            yield from walk(getattr(statement, name, None) or ())
