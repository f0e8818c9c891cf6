"""Reads expressions: precedence climbing (V. R. Pratt, "Top down operator precedence", POPL 1973)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from quanta_tissu.tisslang.diagnostics.diagnostic import Edit, Label
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, CONSTANTS, RESERVED
from quanta_tissu.tisslang.syntax.expressions import (
    Binary,
    Constant,
    Duration,
    Entry,
    Expression,
    File,
    Item,
    List,
    Member,
    Negative,
    Not,
    Object,
    Operator,
    Test,
    Text,
    Variable,
)
from quanta_tissu.tisslang.syntax.offers import Want, Wanted
from quanta_tissu.tisslang.syntax.reader import MOST_DEPTH, Reader, Unreadable
from quanta_tissu.tisslang.syntax.texts import read_heredoc, read_string
from quanta_tissu.tisslang.syntax.times import parse_time
from quanta_tissu.tisslang.syntax.tokens import (
    DURATION,
    HEREDOC,
    NEWLINE,
    NUMBER,
    STRING,
    SYMBOL,
    WORD,
    Token,
)

_OR, _AND, _NOT, _COMPARE, _TEST, _ADD, _SIGN = range(1, 8)

_BINARY = {
    "OR": _OR,
    "AND": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "CONTAINS", "MATCHES"), _COMPARE),
    "+": _ADD,
    "-": _ADD,
}
_TESTS = ("EXISTS", "IS_EMPTY")
_MISTAKEN = {"=": "==", "and": "AND", "or": "OR", "contains": "CONTAINS", "matches": "MATCHES"}

_STEPS = frozenset({".", "["})

_VALUES = (
    STRING,
    HEREDOC,
    NUMBER,
    DURATION,
)


class ExpressionParser:
    """Reads expressions.

    Args:
        reader: The tokens.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._depth = 0
        self._by_symbol: dict[str, Callable[[], Expression]] = {
            "-": self._negative,
            "(": lambda: self._after(self._parenthesis()),
            "[": lambda: self._after(self._list()),
            "{": lambda: self._after(self._object()),
        }

    def starts(self) -> bool:
        """Whether an expression may start with the next token."""
        token = self._reader.token
        if token.kind is WORD:
            return token.text not in RESERVED or token.text in ("NOT", "FILE", "LAST_RUN", "COST", *CONSTANTS)
        return token.kind in _VALUES or (token.kind is SYMBOL and token.text in "([-{")

    def expression(self, what: str, least: int = 0) -> Expression:
        """Read an expression whose operators bind at least as strongly as asked.

        Raises:
            Unreadable: There is none.
        """
        reader = self._reader
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._too_deep()
        left = self._prefix(what)
        operators = 0
        while (found := self._operator()) is not None and found[1] >= least:
            operators += 1
            if operators > MOST_DEPTH:
                raise self._too_deep()
            name, strength, negated = found
            word = reader.take()
            if negated:
                word = reader.take()
            if name in _TESTS:
                left = Test("EXISTS" if name == "EXISTS" else "IS_EMPTY", left, _over(left.span, word))
            else:
                reader.skip_lines()
                right = self.expression(f"a value after `{name}`", strength + 1)
                left = Binary(cast("Operator", name), left, right, left.span.to(right.span))
                if strength == _COMPARE and (chained := self._operator()) and chained[1] == _COMPARE:
                    self._chained(left)
            if negated:
                left = Not(left, left.span)
        self._depth -= 1
        return left

    def _operator(self) -> tuple[str, int, bool] | None:
        """The operator that comes next: its name, how strongly it binds, whether NOT is before it."""
        reader = self._reader
        token = reader.token
        if token.kind is NEWLINE:
            return None
        if token.kind is not WORD and token.kind is not SYMBOL:
            reader.offer(Wanted(Want.OPERATOR))
            return None
        if token.text == "NOT":
            after = reader.ahead().text
            if after in ("CONTAINS", "MATCHES"):
                return after, _COMPARE, True
            return (after, _TEST, True) if after in _TESTS else None
        if token.text in _TESTS:
            return token.text, _TEST, False
        if token.text in _BINARY:
            return token.text, _BINARY[token.text], False
        if (meant := _MISTAKEN.get(token.text)) is not None:
            self._mistaken(token, meant)
            return meant, _BINARY[meant], False
        return None

    def _mistaken(self, token: Token, meant: str) -> None:
        self._reader.say(
            "E014",
            f"`{token.text}` is no operator",
            token.span,
            label=f"meant is probably `{meant}`",
            help=f"write `{meant}`",
            edits=(Edit(token.span, meant, f"Write `{meant}`", safe=True),),
        )

    def _prefix(self, what: str) -> Expression:
        reader = self._reader
        token = reader.token
        kind = token.kind
        if kind is WORD:
            return self._word(what)
        if kind is STRING:
            return self._after(read_string(reader.take(), reader.diagnostics))
        if kind is NUMBER:
            reader.take()
            return Constant(float(token.text) if "." in token.text else int(token.text), token.span)
        if kind is SYMBOL and (read := self._by_symbol.get(token.text)) is not None:
            return read()
        if kind is HEREDOC:
            return self._heredoc(reader.take())
        if kind is DURATION:
            reader.take()
            return Duration(parse_time(token.text), token.span)
        reader.offer(Wanted(Want.VALUE))
        raise reader.expected(what)

    def _word(self, what: str) -> Expression:
        reader = self._reader
        token = reader.token
        mistaken = token.text == "not" and reader.ahead().kind in (WORD, *_VALUES)
        if mistaken:
            self._mistaken(token, "NOT")
        if token.text == "NOT" or mistaken:
            reader.take()
            operand = self.expression("a condition after `NOT`", _NOT)
            return Not(operand, token.span.to(operand.span))
        if token.text == "FILE":
            reader.take()
            path = self._prefix("a path after `FILE`")
            return File(path, token.span.to(path.span))
        if token.text in CONSTANTS:
            reader.take()
            return Constant(CONSTANTS[token.text], token.span)
        if token.text in RESERVED and token.text not in ("LAST_RUN", "COST"):
            kind = "a command" if token.text in BY_KEYWORD else "a word of the language"
            raise reader.expected(what, help=f"`{token.text}` is {kind}, and no variable can have its name")
        reader.take()
        return self._after(Variable(token.text, token.span))

    def _after(self, value: Expression) -> Expression:
        """Members and items of a value."""
        reader = self._reader
        steps = 0
        while reader.token.text in _STEPS:
            steps += 1
            if steps > MOST_DEPTH:
                raise self._too_deep()
            if reader.take().text == ".":
                if reader.token.kind is not WORD:
                    reader.offer(Wanted(Want.FIELD, value))
                    raise reader.expected("the name of a field after `.`")
                name = reader.take()
                value = Member(value, name.text, _over(value.span, name))
            else:
                index = self.expression("an index")
                value = Item(value, index, _over(value.span, self._close("]", "[")))
        return value

    def _heredoc(self, opening: Token) -> Text:
        assert opening.body is not None
        return read_heredoc(opening, self._reader.tokens[opening.body], self._reader.diagnostics)

    def _negative(self) -> Negative:
        sign = self._reader.take()
        operand = self.expression("a number after `-`", _SIGN)
        return Negative(operand, sign.span.to(operand.span))

    def _parenthesis(self) -> Expression:
        reader = self._reader
        opening = reader.take()
        reader.skip_lines()
        inner = self.expression("a value in the parentheses")
        reader.skip_lines()
        self._close(")", "(", opening)
        return inner

    def _list(self) -> List:
        reader = self._reader
        opening = reader.take()
        items: list[Expression] = []
        reader.skip_lines()
        while not reader.is_sign("]"):
            items.append(self.expression("a value or `]`"))
            reader.skip_lines()
            if not reader.is_sign(","):
                break
            reader.take()
            reader.skip_lines()
        return List(tuple(items), _over(opening.span, self._close("]", "[", opening)))

    def _object(self) -> Object:
        reader = self._reader
        opening = reader.take()
        entries: list[Entry] = []
        reader.skip_lines()
        while not reader.is_sign("}"):
            entries.append(self._entry())
            reader.skip_lines()
            if not reader.is_sign(","):
                break
            reader.take()
            reader.skip_lines()
        return Object(tuple(entries), _over(opening.span, self._close("}", "{", opening)))

    def _entry(self) -> Entry:
        reader = self._reader
        key = reader.token
        if key.kind is STRING:
            plain = read_string(reader.take(), reader.diagnostics).plain
            if plain is None:
                reader.say("E005", "a key cannot have holes", key.span, help="write the key as it is")
            name = plain or ""
        elif key.kind is WORD:
            name = reader.take().text
        else:
            raise reader.expected("a key or `}`")
        if not reader.is_sign(":"):
            raise reader.expected(f"`:` after the key `{name}`")
        reader.take()
        reader.skip_lines()
        value = self.expression(f"the value of `{name}`")
        return Entry(name, value, key.span.to(value.span))

    def _close(self, sign: str, opened: str, opening: Token | None = None) -> Token:
        if not self._reader.is_sign(sign):
            others = () if opening is None else (Label(opening.span, f"`{opened}` opened here"),)
            raise self._reader.expected(f"`{sign}`", others=others)
        return self._reader.take()

    def _chained(self, left: Expression) -> None:
        token = self._reader.token
        self._reader.say(
            "E013",
            "comparisons cannot be chained",
            token.span,
            label="a second comparison",
            others=(Label(left.span, "the first one"),),
            help="join two comparisons with `AND`",
        )

    def _too_deep(self) -> Unreadable:
        self._reader.say(
            "E019",
            f"an expression of more than {MOST_DEPTH} operators or levels",
            self._reader.here(),
            help="take it apart: VAR gives parts of it a name",
        )
        return Unreadable()

    def reset(self) -> None:
        """Begin anew, after an expression that could not be read."""
        self._depth = 0


def _over(start: Span, last: Token) -> Span:
    return Span(start.start, last.end)
