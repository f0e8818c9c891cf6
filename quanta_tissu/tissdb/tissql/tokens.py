"""From text to sqlglot's syntax tree: limits are checked on the words, before anything recurses."""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot import parser as sqlglot_parser
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from quanta_tissu.errors import QueryError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
"""Of brackets; of words in a row that all wait for an operand, there may be twice as many."""

_MAX_RUN = 2 * MAX_DEPTH

MAX_JOINS = 8
MAX_UNIONS = 32

_BEGINNINGS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "("}
"""First words. WITH is none of TissQL's, which is said where its place is known."""

_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_AFTER_LISTS = {*_CLOSE, TokenType.FROM, TokenType.WHERE, TokenType.SEMICOLON}
_OPERANDS = {
    TokenType.VAR,
    TokenType.IDENTIFIER,
    TokenType.STRING,
    TokenType.NUMBER,
    TokenType.PLACEHOLDER,
}
_NO_PREFIX = _OPERANDS | _CLOSE | {TokenType.COMMA, TokenType.AND, TokenType.OR}
_EXPLAIN = re.compile(r"\s*EXPLAIN\b", re.IGNORECASE)
_PLACE = re.compile(r"Line (\d+), Col: (\d+)")


def _placeholder(parser: sqlglot_parser.Parser) -> exp.Placeholder:
    token = parser._prev
    found = exp.Placeholder()
    found.meta.update(start=token.start, end=token.end)
    return found


def _named_placeholder(parser: sqlglot_parser.Parser) -> exp.Placeholder | None:
    colon = parser._prev
    token = parser._curr
    if token is None or not re.fullmatch(r"[^\W\d]\w*", token.text) or token.start != colon.end + 1:
        return None
    parser._advance()
    found = exp.Placeholder(this=token.text)
    found.meta.update(start=colon.start, end=token.end)
    return found


class TissQL(Dialect):
    """sqlglot's own dialect, in which placeholders know their place and MATCH is a function like others."""

    class Parser(sqlglot_parser.Parser):  # noqa: D106 - sqlglot finds it by this name
        FUNCTION_PARSERS = {  # noqa: RUF012
            name: parser for name, parser in sqlglot_parser.Parser.FUNCTION_PARSERS.items() if name != "MATCH"
        }
        PLACEHOLDER_PARSERS = {  # noqa: RUF012
            TokenType.PLACEHOLDER: _placeholder,
            TokenType.COLON: _named_placeholder,
        }


def syntax_tree(text: str) -> tuple[exp.Expr, list[int], bool]:
    """The syntax tree of one statement.

    Returns:
        The tree; where the `?` stand, in order; and whether EXPLAIN came first.

    Raises:
        QueryError: It is no statement, several, too long or too deep.
    """
    _check_text(text)
    before = _EXPLAIN.match(text)
    # Blanks in its place, so that all else stays where it is.
    source = text if before is None else " " * before.end() + text[before.end() :]
    try:
        tokens = TissQL().tokenize(source)
    except TokenError as error:
        raise _error(text, _why(error), _location(text, str(error))) from None
    _check_tokens(text, tokens)
    tokens = _with_brackets(tokens)
    places = [token.start for token in tokens if token.token_type == TokenType.PLACEHOLDER]
    try:
        parser = TissQL().parser(error_level=ErrorLevel.IMMEDIATE)
        trees = parser.parse(tokens, source)
    except ParseError as error:
        raise _error(text, _why(error), _location(text, str(error))) from None
    except RecursionError:
        raise QueryError("the statement is nested too deeply", statement=text, hint="simplify it") from None
    except (TokenError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        # sqlglot stumbles over some words in places where it does not expect them.
        raise QueryError(
            f"this is not understood ({error})", statement=text, hint="see docs/tissql.md for the language"
        ) from None
    [tree] = trees if len(trees) == 1 else [None]
    if tree is None:
        raise QueryError("there is no statement", statement=text, hint="as in: SELECT * FROM notes LIMIT 10")
    return tree, places, before is not None


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise QueryError(f"a statement is text, not {type(text).__name__}", statement="")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise QueryError(
            "half of a surrogate pair is no character",
            statement=text.encode(errors="replace").decode(),
            start=error.start,
        ) from None
    if size > MAX_BYTES:
        raise QueryError(
            f"the statement takes {size:,} bytes; the limit is {MAX_BYTES:,}",
            statement=text[:80],
            hint="give values as parameters: ? or :name",
        )
    if "\0" in text:
        raise QueryError("a statement cannot hold NUL", statement=text.replace("\0", "␀"), start=text.index("\0"))


def _check_tokens(text: str, tokens: list[Token]) -> None:
    if not tokens or tokens[0].token_type == TokenType.SEMICOLON:
        raise QueryError("there is no statement", statement=text, hint="as in: SELECT * FROM notes LIMIT 10")
    if tokens[0].text.upper() not in _BEGINNINGS:
        raise _error(
            text,
            f"{tokens[0].text[:20]!r} begins no statement of TissQL",
            tokens[0],
            "SELECT, INSERT, UPDATE, DELETE, or EXPLAIN before one of them",
        )
    depth = run = joins = unions = 0
    for place, token in enumerate(tokens):
        kind = token.token_type
        if kind in _OPEN:
            depth += 1
        elif kind in _CLOSE:
            depth -= 1
        # Prefixes (NOT, -, INTERVAL ...) make the parser recurse, and only stop doing so at an operand.
        run = run + 1 if _is_prefix(token) else 0
        joins += kind == TokenType.JOIN
        unions += kind == TokenType.UNION
        if depth > MAX_DEPTH or run > _MAX_RUN:
            raise _error(text, f"the statement is nested more than {MAX_DEPTH} levels deep", token, "simplify it")
        if joins > MAX_JOINS or unions > MAX_UNIONS:
            raise _error(
                text, f"more than {MAX_JOINS} joins or {MAX_UNIONS} unions", token, "ask in several queries"
            )
        if kind == TokenType.COMMA and (place + 1 == len(tokens) or tokens[place + 1].token_type in _AFTER_LISTS):
            raise _error(text, "nothing comes after this comma", token, "leave it out")
        if kind == TokenType.SEMICOLON and place != len(tokens) - 1:
            raise _error(text, "there is more than one statement", tokens[place + 1], "run one at a time")
    if tokens[0].token_type == TokenType.INSERT and len(tokens) > 1 and tokens[1].token_type != TokenType.INTO:
        raise _error(text, "INTO is missing after INSERT", tokens[1], "INSERT INTO notes (title) VALUES ('...')")


def _is_prefix(token: Token) -> bool:
    """Whether an operand must still come after a word."""
    return token.token_type not in _NO_PREFIX


def _with_brackets(tokens: list[Token]) -> list[Token]:
    """EXISTS a.b[0] as EXISTS(a.b[0]), which sqlglot reads."""
    out: list[Token] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        place += 1
        out.append(token)
        if token.token_type != TokenType.EXISTS or place == len(tokens):
            continue
        end = _path_end(tokens, place)
        if end > place:
            first, last = tokens[place], tokens[end - 1]
            out.append(Token(TokenType.L_PAREN, "(", first.line, first.col, first.start, first.start))
            out += tokens[place:end]
            out.append(Token(TokenType.R_PAREN, ")", last.line, last.col, last.end, last.end))
            place = end
    return out


def _path_end(tokens: list[Token], place: int) -> int:
    """Behind the path that begins at a place, which is the same place if none does."""
    if tokens[place].token_type in _OPEN:
        return place
    end = place + 1
    while end < len(tokens):
        if tokens[end].token_type == TokenType.DOT and end + 1 < len(tokens):
            end += 2
        elif tokens[end].token_type == TokenType.L_BRACKET and end + 2 < len(tokens):
            end += 3
        else:
            break
    return end


def _why(error: Exception) -> str:
    first = getattr(error, "errors", None) or [{"description": str(error).split("\n")[0].split(" Line ")[0]}]
    said = str(first[0]["description"]).split("\n")[0].rstrip(".")
    if "Required keyword" in said:
        said = "something is missing here"
    if said.startswith("Error tokenizing"):
        said = "a quote or a comment is not closed"
    return said[:1].lower() + said[1:]


def _location(text: str, said: str) -> int:
    """The place of which sqlglot's message speaks: the column is that of the word's last character."""
    found = _PLACE.search(said)
    if found is None:
        return len(text)
    lines = text.split("\n")
    line = min(int(found[1]), len(lines))
    return sum(len(one) + 1 for one in lines[: line - 1]) + max(int(found[2]) - 1, 0)


def _error(text: str, message: str, place: Token | int, hint: str | None = None) -> QueryError:
    start, end = (place, place + 1) if isinstance(place, int) else (place.start, place.end + 1)
    return QueryError(
        message, statement=text, start=start, end=end, hint=hint or "see docs/tissql.md for the language"
    )
