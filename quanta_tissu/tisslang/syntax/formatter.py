"""One way to write a script: only blanks and ends of lines change, and that is proved each time.

Blocks are indented by four columns; one of a single statement may stay on its line; at most one empty line stands
between statements. Comments stay where they are, and the text of heredocs as it is, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import RESERVED
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.tokens import Token, TokenKind
from quanta_tissu.tisslang.syntax.tree import Node, NodeKind, Script

INDENT = "    "

_CLAUSES = ("ELSE", "CATCH", "FINALLY", "FIX_WITH")
"""They go on with a statement on the line on which the block before them ends."""

_VALUE_ENDS = (TokenKind.STRING, TokenKind.NUMBER, TokenKind.DURATION, TokenKind.HEREDOC)


def format_script(script: Script) -> str:
    """The text of a script as it should be written.

    Args:
        script: A script without errors.

    Raises:
        ScriptError: It has some, so nobody knows what was meant.
    """
    if not script.ok:
        raise ScriptError(
            f"{script.source.name} has errors, so it is left as it is", hint="tissu lang check shows them"
        )
    text = _Formatter(script).text()
    again = parse(SourceFile(text, script.source.name))
    if not again.ok or list(_meaning(again)) != list(_meaning(script)):  # pragma: no cover - a bug of ours
        raise AssertionError(f"formatting would change {script.source.name}; please report it with the script")
    return text


def _meaning(script: Script) -> Iterator[str]:
    """What formatting must not change: all tokens but blanks and ends of lines, comments among them."""
    for token in script.tokens:
        if token.kind in (TokenKind.COMMENT, TokenKind.HEREDOC_END):
            yield token.text.rstrip()
        elif token.kind not in (TokenKind.SPACE, TokenKind.NEWLINE):
            yield token.text


class _Formatter:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._tokens = script.tokens
        self._line_end = "\r\n" if "\r\n" in script.source.text else "\n"
        self._opens: set[int] = set()
        self._closes: set[int] = set()
        self._inline: set[int] = set()
        self._header: set[int] = set()
        self._inside: set[int] = set()  # ends of lines in the middle of a statement
        self._study(script.tree)
        self._out: list[str] = []
        self._line: list[str] = []
        self._before: Token | None = None
        self._depth = 0
        self._brackets: list[int] = []  # depth of the line on which each open one stands
        self._line_depth = 0
        self._empty_lines = 0
        self._ended = False  # whether the end of the line was written already, behind a comment
        self._is_sign = False  # whether the last token is the minus of a number
        self._may_be_empty = False  # whether an empty line may come next

    # --- what the tree says of tokens ----------------------------------------------------------------------------

    def _study(self, node: Node) -> None:
        if node.kind is NodeKind.HEADER:
            self._header.update(range(node.first, node.end))
        elif node.kind is NodeKind.STATEMENT:
            self._study_statement(node)
        elif node.kind is NodeKind.BLOCK:
            close = max(number for number in range(node.first, node.end) if self._is_brace(number))
            self._opens.add(node.first)
            self._closes.add(close)
            if self._stays_inline(node, close):
                self._inline.update((node.first, close))
        for child in node.children:
            self._study(child)

    def _study_statement(self, node: Node) -> None:
        at = node.first
        for start, end in (*((one.first, one.end) for one in node.children), (node.end, node.end)):
            self._inside.update(n for n in range(at, start) if self._tokens[n].kind is TokenKind.NEWLINE)
            at = end

    def _is_brace(self, number: int) -> bool:
        return self._tokens[number].kind is TokenKind.SYMBOL and self._tokens[number].text == "}"

    def _stays_inline(self, block: Node, close: int) -> bool:
        """Whether a block of one statement is on one line, and may stay there."""
        tokens = self._tokens[block.first : close]
        if any(one.kind in (TokenKind.NEWLINE, TokenKind.COMMENT) for one in tokens):
            return False
        return len(block.children) <= 1 and not any(one.children for one in block.children)

    # --- writing -------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The whole script."""
        for number, token in enumerate(self._tokens):
            match token.kind:
                case TokenKind.BYTE_ORDER_MARK:
                    self._out.append(token.text)
                case TokenKind.SPACE:
                    pass
                case TokenKind.COMMENT:
                    self._comment(token)
                case TokenKind.NEWLINE:
                    self._newline(number)
                case TokenKind.HEREDOC_BODY:
                    self._end_line()
                    self._out.append(token.text)
                case TokenKind.HEREDOC_END:
                    self._out.append(token.text.rstrip("\r\n") + self._line_end)
                    self._may_be_empty = True
                case TokenKind.END:
                    self._end_line()
                case _:
                    self._token(number, token)
        return "".join(self._out)

    def _token(self, number: int, token: Token) -> None:
        if number in self._closes:
            self._depth -= 1
            if number not in self._inline:
                self._end_line()
                self._empty_lines = 0
        if (
            self._brackets
            and token.text in ")]}"
            and token.kind is TokenKind.SYMBOL
            and number not in self._closes
        ):
            depth = self._brackets.pop()
            if not self._line:
                self._line_depth = depth
        gap = self._gap(number, token)
        self._is_sign = token.text == "-" and (self._before is None or not self._ends_value(self._before))
        self._write(token, gap)
        if token.kind is not TokenKind.SYMBOL:
            return
        if number in self._opens:
            self._depth += 1
            if number not in self._inline:
                self._end_line_after_comment(number)
        elif token.text in ("(", "[", "{") and number not in self._closes:
            self._brackets.append(self._line_depth)

    def _write(self, token: Token, gap: str) -> None:
        if self._line:
            self._line.append(gap)
        else:
            if self._empty_lines and self._may_be_empty:
                self._out.append(self._line_end)
            self._empty_lines = 0
            self._line.append(INDENT * self._line_depth)
        self._line.append(token.text)
        self._before = token

    def _comment(self, token: Token) -> None:
        comment = Token(token.kind, token.text.rstrip(), token.start)
        self._write(comment, "  ")
        self._end_line()
        self._ended = True

    def _newline(self, number: int) -> None:
        ended, self._ended = self._ended, False
        if ended:
            return
        if number in self._inside and not self._brackets:
            following = self._following(number)
            if following in self._opens or self._tokens[following].text in _CLAUSES:
                return
            self._end_line()
            if self._tokens[following].kind is not TokenKind.COMMENT:
                self._line_depth = self._depth + 1
            return
        if self._line:
            self._end_line()
        else:
            self._empty_lines += 1

    def _following(self, number: int) -> int:
        """The next token with a meaning; a comment counts, since it ends its line."""
        number += 1
        while self._tokens[number].kind in (TokenKind.SPACE, TokenKind.NEWLINE):
            number += 1
        return number

    def _end_line_after_comment(self, number: int) -> None:
        """End the line behind a brace, unless a comment or the text of a heredoc comes first."""
        number += 1
        while self._tokens[number].kind is TokenKind.SPACE:
            number += 1
        if self._tokens[number].kind not in (TokenKind.COMMENT, TokenKind.NEWLINE):
            self._end_line()

    def _end_line(self) -> None:
        if self._line:
            self._out.append("".join(self._line) + self._line_end)
            self._may_be_empty = self._before is None or not (
                self._before.kind is TokenKind.SYMBOL and self._before.text == "{" and not self._brackets
            )
            self._line = []
        self._line_depth = self._depth if not self._brackets else self._brackets[-1] + 1

    def _gap(self, number: int, token: Token) -> str:
        """What is between the token that was written last and this one."""
        before = self._before
        if before is None or not self._line:
            return ""
        if number in self._header:
            return "" if "=" in (before.text, token.text) else " "
        if number in self._opens or number in self._closes or self._is_open_brace(before):
            return " "
        first, second = before.text, token.text
        symbol = token.kind is TokenKind.SYMBOL
        if symbol and second in (",", ":", ")", "]", "}", "."):
            return ""
        if before.kind is TokenKind.SYMBOL and first in ("(", "[", "{", "."):
            return ""
        if symbol and second in ("(", "[") and self._ends_value(before) and token.start == before.end:
            return ""
        return "" if self._is_sign else " "

    def _is_open_brace(self, token: Token) -> bool:
        return token.kind is TokenKind.SYMBOL and token.text == "{" and not self._brackets

    def _ends_value(self, token: Token) -> bool:
        if token.kind is TokenKind.WORD:
            return token.text not in RESERVED
        return token.kind in _VALUE_ENDS or token.text in (")", "]")
