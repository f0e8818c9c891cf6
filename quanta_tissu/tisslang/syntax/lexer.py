"""From characters to tokens, losslessly: the texts of all tokens, joined, are the script.

Nothing raises: what cannot be read is a token of its own kind, and a diagnostic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Edit, Label
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.tokens import (
    END,
    HEREDOC,
    NEWLINE,
    NUMBER,
    SYMBOL,
    UNKNOWN,
    WORD,
    Token,
    TokenKind,
)

_TOKEN = re.compile(
    r"""
    (?P<SPACE>      [ \t\f\v\u00a0]+ | \r(?!\n) )
  | (?P<WORD>       [^\W\d]\w* )
  | (?P<NEWLINE>    \r?\n )
  | (?P<HEADER>     \#TISS(?:!|_VERSION\b) )
  | (?P<COMMENT>    \#[^\r\n]* )
  | (?P<DURATION>   \d+(?:\.\d+)?(?:ms|s|m|h|d)\b )
  | (?P<NUMBER>     \d+(?:\.\d+)? )
  | (?P<DIRECTIVE>  @[^\W\d]\w* )
  | (?P<STRING>     "(?:[^"\\\r\n]|\\[^\r\n])*" | '(?:[^'\\\r\n]|\\[^\r\n])*' )
  | (?P<HEREDOC>    <<-?(?: [^\W\d]\w* | '[^\W\d]\w*' ) )
  | (?P<SYMBOL>     [=!<>]= | [{}()\[\],.:=<>+|-] )
  | (?P<OPEN>       ["'][^\r\n]* )
  | (?P<UNKNOWN>    [^\w\s"'\#@{}()\[\],.:=<>+|-]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)

_KINDS = [UNKNOWN, *(TokenKind["STRING" if name == "OPEN" else name] for name in _TOKEN.groupindex)]
"""Of the groups of the expression, by number; OPEN is a string that is never closed."""

_PLAIN = frozenset({TokenKind.SPACE, WORD, SYMBOL, TokenKind.COMMENT, NUMBER})
"""Kinds with which nothing is to be done."""

_HEREDOC = re.compile(r"<<(-?)('?)(\w+)'?")

_BLOCK_WORDS = re.compile(r"(TASK|SETUP|STEP|PARALLEL|CHOOSE|OPTION|DEFINE_TASK)\b|\}")


@dataclass(frozen=True, slots=True)
class Lexed:
    """What a script was cut into.

    Attributes:
        tokens: All, in order; the last is the END, which is empty.
        diagnostics: What could not be read.
        heredocs: The numbers of the tokens that ask for a heredoc.
    """

    tokens: list[Token]
    diagnostics: list[Diagnostic]
    heredocs: list[int]


def lex(source: SourceFile) -> Lexed:
    """Cut a script into tokens."""
    text = source.text
    tokens: list[Token] = []
    diagnostics: list[Diagnostic] = []
    heredocs: list[int] = []
    asked: list[Token] = []  # those whose text starts after this line
    at = 0
    if text.startswith("\ufeff"):
        tokens.append(Token(TokenKind.BYTE_ORDER_MARK, "\ufeff", 0))
        at = 1
    while at < len(text):
        for found in _TOKEN.finditer(text, at):  # one expression matches at every character, so nothing is skipped
            kind, piece = _KINDS[found.lastindex or 1], found.group()
            tokens.append(Token(kind, piece, at))
            at += len(piece)
            if kind in _PLAIN:
                continue
            if kind is NEWLINE:
                if asked:
                    break
            elif kind is HEREDOC:
                heredocs.append(len(tokens) - 1)
                asked.append(tokens[-1])
            elif kind is UNKNOWN:
                diagnostics.append(_unknown(piece, tokens[-1].start))
            elif found.lastgroup == "OPEN":
                tokens[-1].text = piece.rstrip()
                at = tokens[-1].end
                diagnostics.append(_open_string(tokens[-1].text, tokens[-1].start))
                break
        else:
            break
        if tokens[-1].kind is NEWLINE:
            for opening in asked:
                at = _heredoc(source, opening, at, tokens, diagnostics)
            asked.clear()
    for opening in asked:  # the script ends on the line that asks for them
        at = _heredoc(source, opening, at, tokens, diagnostics)
    tokens.append(Token(END, "", at))
    return Lexed(tokens, diagnostics, heredocs)


def heredoc_parts(text: str) -> tuple[bool, bool, str]:
    """What `<<-'TAG'` says: whether common indent is stripped, whether holes are left alone, and the tag."""
    found = _HEREDOC.fullmatch(text)
    assert found is not None
    dash, quote, tag = found.groups()
    return bool(dash), bool(quote), tag


def _heredoc(
    source: SourceFile, opening: Token, at: int, tokens: list[Token], diagnostics: list[Diagnostic]
) -> int:
    """Add the text of a heredoc, and the line that ends it.

    Returns:
        The offset after both.
    """
    indented, _, tag = heredoc_parts(opening.text)
    before = r"[ \t]*" if indented else ""
    closing = re.compile(rf"^{before}{re.escape(tag)}(?:>>)?(?:\r?\n|\Z)", re.MULTILINE)
    found = closing.search(source.text, at)
    opening.body = len(tokens)
    if found is None:
        end, why = _where_it_seems_to_end(source, opening, at)
        diagnostics.append(_open_heredoc(source, opening, at, end, why))
        tokens.append(Token(TokenKind.HEREDOC_BODY, source.text[at:end], at))
        return end
    tokens.append(Token(TokenKind.HEREDOC_BODY, source.text[at : found.start()], at))
    tokens.append(Token(TokenKind.HEREDOC_END, found.group(), found.start()))
    return found.end()


def _where_it_seems_to_end(source: SourceFile, opening: Token, at: int) -> tuple[int, Span | None]:
    """Where the text of a heredoc without end seems to give way to the script again.

    That is the next line, not deeper than the one that asked for it, that ends a block or starts one.
    """
    line = source.position(opening.start).line
    depth = _indent(source.line_text(line))
    for number in range(line + 1, source.line_count + 1):
        text = source.line_text(number)
        if (
            source.line_span(number).start >= at
            and _indent(text) <= depth
            and (found := _BLOCK_WORDS.match(text.lstrip()))
        ):
            start = source.line_span(number).start
            shown = start + len(text) - len(text.lstrip())
            return start, Span(shown, shown + len(found.group()))
    return len(source.text), None


def _open_heredoc(source: SourceFile, opening: Token, at: int, end: int, why: Span | None) -> Diagnostic:
    indented, _, tag = heredoc_parts(opening.text)
    nearly = re.compile(rf"^[ \t]*({re.escape(tag)}(?:>>)?)[ \t]*(?=\r?$)", re.MULTILINE).search(
        source.text, at, end
    )
    others: tuple[Label, ...]
    if nearly is not None:
        others = (Label(Span(*nearly.span()), f"this line is not exactly `{tag}`: it has spaces"),)
        edit = Edit(Span(*nearly.span()), nearly.group(1), "Take the spaces away", safe=True)
    else:
        others = () if why is None else (Label(why, "a block seems to end here without it"),)
        edit = Edit(Span(end, end), f"{tag}\n", f"Close the heredoc with `{tag}`")
    return Diagnostic(
        "E003",
        f"heredoc `{tag}` is never closed",
        Label(opening.span, "heredoc starts here"),
        others=others,
        help=f"put `{tag}` alone on its own line" + ("" if indented else ", not indented"),
        edits=(edit,),
        data={"tag": tag},
    )


def _indent(line: str) -> int:
    return len(line.expandtabs(8)) - len(line.expandtabs(8).lstrip())


def _open_string(piece: str, at: int) -> Diagnostic:
    quote = piece[0]
    end = at + len(piece)
    return Diagnostic(
        "E002",
        "the string is never closed",
        Label(Span(at, end), "starts here"),
        help=f"close it with `{quote}` on the same line; text of several lines goes into a heredoc: `<<TAG`",
        edits=(Edit(Span(end, end), quote, f"Close the string with `{quote}`"),),
    )


def _unknown(piece: str, at: int) -> Diagnostic:
    return Diagnostic(
        "E001",
        f"`{piece}` is no part of the language" if piece.isprintable() else f"unreadable character {piece!r}",
        Label(Span(at, at + len(piece))),
        help='text belongs in quotes: `"…"`',
        data={"character": piece},
    )
