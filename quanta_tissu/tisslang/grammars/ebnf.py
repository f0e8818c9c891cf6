"""The grammar in the EBNF of the W3C, for people and for tools that draw it."""

from __future__ import annotations

from quanta_tissu.tisslang.grammars.language import MISTAKEN, Builder, Spacing
from quanta_tissu.tisslang.grammars.rules import (
    EMPTY,
    Alt,
    Chars,
    Expr,
    Literal,
    Ref,
    Repeat,
    Rules,
    Seq,
    Without,
    alt,
    many,
    maybe,
    seq,
    some,
)
from quanta_tissu.tisslang.grammars.words import word_rules
from quanta_tissu.tisslang.syntax.commands import RESERVED

_HEAD = """\
/* The grammar of TissLang, in the EBNF of the W3C (https://www.w3.org/TR/REC-xml/#sec-notation).
   It is generated from the table of commands: python docs/generate.py.

   Rules that begin with a capital letter are words (tokens). Between words may be blanks (Space), inside of
   them not. A Comment may stand before each Newline. The text of a Heredoc begins on the line after the one
   that asks for it, and ends before the first line that is exactly its tag, or its tag and >>; after <<- that
   line may be indented. No context-free grammar can say so. */
"""


def ebnf() -> str:
    """The whole grammar."""
    newlines = many(Ref("Newline"))
    spacing = Spacing(EMPTY, EMPTY, newlines, newlines, some(Ref("Newline")), newlines, _block)
    lines = seq(many(Ref("file-line")), maybe(Ref("file-statement")))
    rules: Rules = {"script": seq(newlines, many(Ref("header"), newlines), lines)}
    rules |= Builder(spacing).rules()
    rules["constant"] = alt(rules["constant"], Ref("Heredoc"))
    rules |= _header()
    rules |= word_rules()
    rules |= {"Name": Without(Ref("Word"), Ref("Reserved")), "Reserved": alt(*sorted({*RESERVED, *MISTAKEN}))}
    width = max(map(len, rules))
    return _HEAD + "\n" + "".join(f"{name:<{width}} ::= {_text(rule)}\n" for name, rule in rules.items())


def _block(line: str, statement: str) -> Expr:
    return seq("{", many(Ref("Newline")), many(Ref(line)), maybe(Ref(statement)), "}")


def _header() -> Rules:
    value = alt(Ref("Number"), Ref("Word"), Ref("String"))
    return {
        "header": seq(
            alt(seq("#TISS!", many(Ref("setting"))), seq("#TISS_VERSION", maybe(">="), Ref("Number"))),
            Ref("Newline"),
        ),
        "setting": seq(Ref("Word"), "=", value),
    }


def _text(rule: Expr, *, inside: str = "") -> str:
    """A rule; `inside` says what it is a part of, so that parentheses stand where they must."""
    match rule:
        case Literal(text=text):
            return f"'{text}'" if '"' in text else f'"{text}"'
        case Ref(name=name):
            return name
        case Chars(set=chars):
            return chars
        case Seq(items=items):
            shown = " ".join(_text(one, inside="seq") for one in items if one != EMPTY)
            return f"( {shown} )" if inside in ("repeat", "without") and " " in shown else shown
        case Alt(items=items):
            shown = " | ".join(_text(one, inside="alt") for one in items)
            return f"( {shown} )" if inside else shown
        case Repeat(item=item, times=times):
            return _text(item, inside="repeat") + times
        case Without(item=item, other=other):
            shown = f"{_text(item, inside='without')} - {_text(other, inside='without')}"
            return f"( {shown} )" if inside in ("seq", "repeat", "without") else shown
