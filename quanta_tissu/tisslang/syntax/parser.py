"""Reads a script by the table of commands: recursive descent that never raises and always returns a tree.

A command that cannot be read on is left at the end of its line, or entered again at its block, so that one mistake
costs one statement. Where a brace is missing, indentation tells which block was meant to end.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from quanta_tissu.tisslang.collecting import uncollected
from quanta_tissu.tisslang.diagnostics.diagnostic import Edit, Label, in_order
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.commands import RESERVED
from quanta_tissu.tisslang.syntax.expression_parser import ExpressionParser
from quanta_tissu.tisslang.syntax.expressions import Expression, Text
from quanta_tissu.tisslang.syntax.header import read_header
from quanta_tissu.tisslang.syntax.keywords import CLAUSES_OF, check_place, take_command
from quanta_tissu.tisslang.syntax.offers import Offer, Want, Wanted
from quanta_tissu.tisslang.syntax.reader import MOST_DEPTH, Reader, Unreadable
from quanta_tissu.tisslang.syntax.shapes import (
    Block,
    Command,
    Inside,
    Many,
    Maybe,
    NameOf,
    Names,
    Part,
    Sign,
    Title,
    Value,
    Values,
    Word,
)
from quanta_tissu.tisslang.syntax.statements import Body, Directive, Name, Statement
from quanta_tissu.tisslang.syntax.texts import read_string
from quanta_tissu.tisslang.syntax.tokens import (
    DIRECTIVE,
    END,
    NEWLINE,
    STRING,
    SYMBOL,
    TRIVIA,
    UNKNOWN,
    WORD,
    Token,
    TokenKind,
)
from quanta_tissu.tisslang.syntax.tree import Node, NodeKind, Script

_STATEMENT, _BLOCK = NodeKind.STATEMENT, NodeKind.BLOCK  # as for kinds of tokens

_BRACES = {"{": 1, "}": -1}

_TELLING = frozenset({"}", "TASK", "SETUP", "STEP", "OPTION", "DEFINE_TASK", *CLAUSES_OF})
"""What tells by its indentation that a block is over: it never stands as deep as the block that it ends."""


def parse(source: SourceFile) -> Script:
    """Read a script.

    Args:
        source: Its text.

    Returns:
        What was read, and what is wrong; whatever the text is, nothing is raised.
    """
    with uncollected():
        script = _Parser(source, guess=False).script()
        if any(one.code in ("E006", "E007") for one in script.diagnostics):
            return _Parser(source, guess=True).script()
        return script


def offers(text: str) -> list[Offer]:
    """What may come where a text ends.

    Args:
        text: A script up to some place.

    Returns:
        All that the parser would have taken there.
    """
    parser = _Parser(SourceFile(text), guess=True)
    parser.script()
    return parser.offers


class _Open:
    """A block that is being read: what it belongs to, and where its brace is."""

    __slots__ = ("brace", "indent", "owner")

    def __init__(self, owner: Token, brace: Token, indent: int) -> None:
        self.owner = owner
        self.brace = brace
        self.indent = indent


class _Parser:
    """Reads one script.

    Args:
        source: Its text.
        guess: Whether braces do not agree, so that indentation has to tell which blocks were meant to end.
    """

    def __init__(self, source: SourceFile, guess: bool) -> None:
        self._source = source
        self._guess = guess
        self._reader = Reader(source)
        self._expressions = ExpressionParser(self._reader)
        self._open: list[_Open] = []
        self._unclosed_at: int | None = None  # the token before which a block was ended that had no brace

    @property
    def offers(self) -> list[Offer]:
        """What it could have read on with at the end."""
        return self._reader.offers

    def script(self) -> Script:
        """Read all of it."""
        reader = self._reader
        tree = Node(NodeKind.SCRIPT, 0, len(reader.tokens))
        header = read_header(reader, tree)
        body = self._statements(tree, Inside.FILE)
        return Script(self._source, reader.tokens, tree, header, body, tuple(in_order(reader.diagnostics)))

    # --- statements ----------------------------------------------------------------------------------------------

    def _statements(self, parent: Node, inside: Inside) -> Body:
        """Read statements up to the brace that ends their block, which is not taken, or to the end."""
        reader = self._reader
        found: list[Statement] = []
        while True:
            reader.skip_lines()
            token = reader.token
            if token.kind is END:
                reader.offer_statement(inside)
                return tuple(found)
            if self._guess and self._block_seems_over(token):
                return tuple(found)
            if token.kind is SYMBOL and token.text == "}":
                if self._open:
                    return tuple(found)
                reader.say("E007", "`}` closes nothing", token.span, help="remove it, or open its block before")
                first = reader.number
                reader.take()
                parent.children.append(Node(NodeKind.ERROR, first, reader.end_number))
                continue
            node = self._statement(inside, parent.children[-1] if parent.children else None)
            parent.children.append(node)
            if node.statement is not None:
                found.append(node.statement)

    def _block_seems_over(self, token: Token) -> bool:
        """Whether the brace that ends the innermost block is missing, as indentation shows."""
        if not self._open or token.text not in _TELLING or not self._reader.first_on_line(token):
            return False
        innermost = self._open[-1]
        indent = self._reader.indent(token.start)
        if token.text == "}":
            return indent < innermost.indent and any(one.indent == indent for one in self._open[:-1])
        return indent <= innermost.indent

    def _statement(self, inside: Inside, before: Node | None) -> Node:
        """Read a statement, which comes after another of the same block."""
        reader = self._reader
        number = reader.number
        node = Node(_STATEMENT, number, number)
        first = reader.token
        spec = None
        try:
            if first.kind is DIRECTIVE:
                node.statement = self._directive()
                self._end_of_statement("the directive", node, inside)
            else:
                unread = before is not None and before.statement is None
                spec = take_command(reader, clause_expected=unread or number == self._unclosed_at)
                if inside not in spec.where:
                    check_place(reader, spec, first, inside, [one.owner for one in self._open])
                node.statement = self._read_command(spec, node, inside)
                if reader.token.kind is not NEWLINE:
                    self._end_of_statement(f"`{spec.keyword}`", node, inside)
        except Unreadable:
            self._expressions.reset()
            self._recover(node, spec, inside)
        node.end = max(self._with_heredocs(node.first, reader.end_number), node.first + 1)
        if node.statement is None and not node.children:
            node.kind = NodeKind.ERROR
        return node

    def _with_heredocs(self, first: int, end: int) -> int:
        """The number after the text of the heredocs that the tokens ask for."""
        tokens, heredocs = self._reader.tokens, self._reader.heredocs
        for number in heredocs[bisect_left(heredocs, first) : bisect_left(heredocs, end)]:
            body = tokens[number].body
            if body is not None and body >= end and _only_line_end(tokens[end:body]):
                end = body + 1
                if end < len(tokens) and tokens[end].kind is TokenKind.HEREDOC_END:
                    end += 1
        return end

    def _directive(self) -> Directive:
        reader = self._reader
        token = reader.take()
        name = Name(token.text[1:], token.span)
        value: Expression | Name | None = None
        if reader.token.kind is WORD and reader.ahead().kind in (NEWLINE, END):
            if self._expressions.starts() and reader.token.text in ("true", "false", "null"):
                value = self._expressions.expression("a value")
            else:
                word = reader.take()
                value = Name(word.text, word.span)
        elif not reader.at_line_end() and not reader.is_sign("}"):
            value = self._expressions.expression(f"the value of `{token.text}`")
        else:
            reader.offer(Wanted(Want.SETTING, name.text))
        span = token.span if value is None else token.span.to(value.span)
        return Directive(span=span, keyword=token.span, name=name, value=value)

    def _end_of_statement(self, what: str, node: Node, inside: Inside) -> None:
        reader = self._reader
        if reader.number == self._unclosed_at or reader.at_line_end() or reader.is_sign("}"):
            return
        if reader.token.kind is UNKNOWN:  # the lexer has said so
            self._recover(node, None, inside)
            return
        reader.say(
            "E012",
            f"nothing more belongs to {what}, but found `{reader.token.text.strip()}`",
            reader.token.span,
            help="a statement ends with its line",
        )
        self._recover(node, None, inside)

    def _recover(self, node: Node, spec: Command | None, inside: Inside) -> None:
        """Go on after a statement that cannot be read: at its block, if it opens one, else at the next line."""
        reader = self._reader
        if reader.number > node.first and reader.previous.kind is NEWLINE and reader.starts_command():
            return  # an expression that went on beyond its line has run into the next statement
        opens = False
        start = node.children[-1].end if node.children else node.first
        depth = sum(_BRACES.get(token.text, 0) for token in reader.tokens[start : reader.number])
        while not reader.at_line_end():
            if reader.is_sign("{"):
                opens = self._ends_line()
                if opens:
                    break
            elif reader.is_sign("}") and self._ends_line() and depth <= 0:
                return
            depth += _BRACES.get(reader.take().text, 0)
        if not opens:
            return
        place = inside if spec is None or spec.block is None or spec.block.inside is None else spec.block.inside
        try:
            self._block(node, place, self._reader.tokens[node.first])
        except Unreadable:
            self._reader.skip_rest_of_line()

    def _ends_line(self) -> bool:
        return self._reader.ahead().kind in (NEWLINE, END)

    # --- the parts of a command ----------------------------------------------------------------------------------

    def _read_command(self, spec: Command, node: Node, inside: Inside) -> Statement:
        keyword = self._reader.tokens[node.first]
        fields = dict(spec.fields)
        self._parts(spec.parts, fields, node, inside, keyword)
        span = Span(keyword.start, self._reader.previous.end)
        return spec.make(span=span, keyword=keyword.span, **fields)

    def _parts(
        self, parts: tuple[Part, ...], fields: dict[str, Any], node: Node, inside: Inside, owner: Token
    ) -> None:
        for part in parts:
            match part:
                case Word(text=text):
                    self._word(part, text)
                case Sign(text=text):
                    if not self._reader.is_sign(text):
                        raise self._reader.expected(f"`{text}`")
                    self._reader.take()
                case Value(field=field, what=what):
                    if (
                        self._reader.is_sign("{")
                        and self._ends_line()
                        and any(isinstance(one, Block) for one in parts)
                    ):
                        raise self._reader.expected(what)
                    fields[field] = self._expressions.expression(what)
                case NameOf(field=field):
                    fields[field] = self._name(part)
                case Title(field=field, what=what):
                    fields[field] = self._title(what, owner)
                case Block(field=field, inside=place):
                    fields[field] = self._block(node, place or inside, owner)
                case Names(field=field, what=what):
                    fields[field] = self._in_parentheses(lambda what=what: self._name(NameOf("", what, True)))
                case Values(field=field, what=what):
                    fields[field] = self._in_parentheses(lambda what=what: self._expressions.expression(what))
                case Maybe(parts=inner):
                    if self._begins(inner):
                        self._parts(inner, fields, node, inside, owner)
                case Many(field=field, make=make, parts=inner):
                    made = []
                    while self._begins(inner):
                        first = self._reader.ahead(self._reader.beyond_lines())
                        own: dict[str, Any] = {}
                        self._parts(inner, own, node, inside, owner)
                        made.append(
                            make(span=Span(first.start, self._reader.previous.end), keyword=first.span, **own)
                        )
                    fields[field] = tuple(made)

    def _begins(self, parts: tuple[Part, ...]) -> bool:
        """Whether what may be left out is there."""
        reader = self._reader
        match parts[0]:
            case Word(text=text, next_line=next_line):
                count = reader.beyond_lines() if next_line else 0
                if (token := reader.ahead(count)).text != text:
                    if token.kind is END:
                        reader.offer(parts[0], count)
                    return False
                second = parts[1] if len(parts) > 1 else None
                return not isinstance(second, Word) or reader.ahead(count + 1).text == second.text
            case Block():
                return reader.ahead(reader.beyond_lines()).text == "{"
            case Sign(text=text):
                return reader.is_sign(text)
            case Title():
                return reader.token.kind is STRING
            case _:
                reader.offer(Wanted(Want.VALUE))
                return self._expressions.starts() and not reader.is_sign("{")

    def _word(self, part: Word, text: str) -> None:
        reader = self._reader
        if part.next_line and reader.ahead(reader.beyond_lines()).text == text:
            reader.skip_lines()
        if not reader.is_word(text):
            token = reader.token
            if token.kind is WORD and token.text.upper() == text:
                reader.say(
                    "E008",
                    f"expected `{text}`, but found `{token.text}`",
                    token.span,
                    help="words of the language are written in capitals",
                    edits=(Edit(token.span, text, f"Write `{text}`", safe=True),),
                )
            else:
                reader.offer(part)
                raise reader.expected(f"`{text}`")
        reader.take()

    def _name(self, part: NameOf) -> Name:
        reader = self._reader
        token = reader.token
        if token.kind is not WORD:
            reader.offer(part)
            raise reader.expected(part.what)
        if token.text in RESERVED and token.text not in part.among:
            reader.say(
                "E020",
                f"`{token.text}` cannot be a name",
                token.span,
                label="a word of the language",
                help="choose another name; small letters are never words of the language",
            )
        reader.take()
        return Name(token.text, token.span)

    def _title(self, what: str, owner: Token) -> Text:
        reader = self._reader
        if reader.token.kind is not STRING:
            reader.offer(Wanted(Want.TITLE, owner.text))
            raise reader.expected(f'{what} in quotes: `"..."`')
        return read_string(reader.take(), reader.diagnostics)

    def _in_parentheses(self, one: Any) -> tuple[Any, ...]:
        reader = self._reader
        if not reader.is_sign("("):
            return ()
        opening = reader.take()
        found = []
        reader.skip_lines()
        while not reader.is_sign(")"):
            found.append(one())
            reader.skip_lines()
            if not reader.is_sign(","):
                break
            reader.take()
            reader.skip_lines()
        if not reader.is_sign(")"):
            raise reader.expected("`,` or `)`", others=(Label(opening.span, "`(` opened here"),))
        reader.take()
        return tuple(found)

    def _block(self, parent: Node, inside: Inside, owner: Token) -> Body:
        reader = self._reader
        lines = reader.beyond_lines()
        if reader.ahead(lines).text != "{":
            reader.offer(Wanted(Want.BLOCK))
            self._no_brace(owner)
        else:
            reader.skip_lines()
        node = Node(_BLOCK, reader.number, reader.number)
        parent.children.append(node)
        brace = reader.take() if reader.is_sign("{") else owner
        if len(self._open) >= MOST_DEPTH:
            reader.say(
                "E019", f"blocks more than {MOST_DEPTH} deep", brace.span, help="take parts out: DEFINE_TASK"
            )
            while reader.token.kind is not END:
                reader.take()
            node.end = reader.end_number
            raise Unreadable
        self._open.append(_Open(owner, brace, reader.indent(owner.start)))
        body = self._statements(node, inside)
        self._open.pop()
        if reader.is_sign("}") and not self._belongs_further_out(reader.token, owner):
            reader.take()
        else:
            self._never_closed(owner, brace)
        node.end = max(self._with_heredocs(node.first, reader.end_number), node.first)
        return body

    def _belongs_further_out(self, token: Token, owner: Token) -> bool:
        """Whether a brace ends, by its indentation, a block around the one that is being ended."""
        if not self._guess or not self._reader.first_on_line(token):
            return False
        indent = self._reader.indent(token.start)
        return indent < self._reader.indent(owner.start) and any(one.indent == indent for one in self._open)

    def _no_brace(self, owner: Token) -> None:
        """Note that a block does not begin; if what follows is indented like one, it is read as one."""
        reader = self._reader
        unreadable = reader.expected(
            f"`{{` of the block of `{owner.text}`",
            edits=(Edit(Span(reader.previous.end, reader.previous.end), " {", "Open the block"),),
        )
        ahead = reader.ahead(reader.beyond_lines())
        if not reader.at_line_end() or reader.indent(ahead.start) <= reader.indent(owner.start):
            raise unreadable

    def _never_closed(self, owner: Token, brace: Token) -> None:
        reader = self._reader
        self._unclosed_at = reader.number
        end = reader.previous.end
        others = () if reader.token.kind is END else (Label(reader.token.span, "it seems to end before this"),)
        reader.say(
            "E006",
            f"the block of `{owner.text}` is never closed",
            brace.span,
            label="opened here",
            others=others,
            help="close it with `}`",
            edits=(Edit(Span(end, end), "\n" + " " * reader.indent(owner.start) + "}", "Close the block"),),
        )


def _only_line_end(tokens: list[Token]) -> bool:
    return all(token.kind in TRIVIA or token.kind is NEWLINE for token in tokens)
