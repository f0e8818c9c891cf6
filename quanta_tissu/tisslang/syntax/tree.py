"""The tree of a script: always there, whatever is wrong with the script, and without loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Severity
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.statements import Statement
from quanta_tissu.tisslang.syntax.tokens import Token


class NodeKind(Enum):
    """What a node is."""

    SCRIPT = "script"
    HEADER = "header"
    STATEMENT = "statement"
    BLOCK = "block"
    ERROR = "error"
    """What could not be read."""


@dataclass(slots=True)
class Node:
    """Some tokens of a script, and the nodes in it.

    Attributes:
        kind: What it is.
        first: The number of its first token.
        end: The number of the token after its last.
        children: The nodes in it, in order.
        statement: Of a STATEMENT: what it says; None if a part of it is missing.
    """

    kind: NodeKind
    first: int
    end: int
    children: list[Node] = field(default_factory=list)
    statement: Statement | None = None

    def walk(self) -> Iterator[Node]:
        """This node and all in it, from the outside in."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Setting:
    """`name = value` of the header.

    Attributes:
        name: Its name.
        value: What it is set to.
        span: Both.
    """

    name: str
    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was read.

    Attributes:
        source: Its text.
        tokens: All its tokens, in order.
        tree: What they are, whatever is wrong.
        header: What its first line sets.
        statements: What it says; what could not be read is left out.
        diagnostics: What is wrong with how it is written.
    """

    source: SourceFile
    tokens: list[Token]
    tree: Node
    header: tuple[Setting, ...]
    statements: tuple[Statement, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with how it is written."""
        return not any(one.severity is Severity.ERROR for one in self.diagnostics)

    def pieces(self, node: Node) -> Iterator[Node | Token]:
        """The nodes and tokens that a node is made of, in order: nothing is left out."""
        at = node.first
        for child in node.children:
            yield from self.tokens[at : child.first]
            yield child
            at = child.end
        yield from self.tokens[at : node.end]

    def text(self, node: Node) -> str:
        """The characters of a node."""
        return "".join(token.text for token in self.tokens[node.first : node.end])
