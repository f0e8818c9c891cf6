"""The words of the language: the rules of names, numbers, texts, holes."""

from __future__ import annotations

from quanta_tissu.tisslang.grammars.rules import (
    Chars,
    Expr,
    Literal,
    Ref,
    Repeat,
    Rules,
    Without,
    alt,
    many,
    maybe,
    seq,
    some,
)
from quanta_tissu.tisslang.syntax.times import UNITS
from quanta_tissu.tisslang.syntax.words import FILTERS

_HEX = Chars("[0-9A-Fa-f]")


def word_rules() -> Rules:
    """The rules of all words but Name."""
    digits, rest = some(Chars("[0-9]")), many(Chars("[^#xA#xD]"))
    return {
        "Word": seq(Ref("Letter"), many(alt(Ref("Letter"), Chars("[0-9]")))),
        "Letter": alt(Chars("[A-Za-z_]"), Chars("[^#x0-#x7F]")),
        "Number": seq(digits, maybe(".", digits)),
        "Duration": seq(Ref("Number"), alt(*UNITS)),
        "String": alt(
            seq('"', text(Chars('[^"\\{#xA#xD]'), Ref("Hole")), '"'),
            seq("'", text(Chars("[^'\\{#xA#xD]"), Ref("SingleHole")), "'"),
        ),
        "Key": alt(seq('"', text(Chars('[^"\\{#xA#xD]')), '"'), seq("'", text(Chars("[^'\\{#xA#xD]")), "'")),
        "Escape": escape(),
        "Hole": hole(Ref("Word"), many(Chars("[ #x9]")), "'"),
        "SingleHole": hole(Ref("Word"), many(Chars("[ #x9]")), '"'),
        "Heredoc": seq("<<", maybe("-"), alt(Ref("Word"), seq("'", Ref("Word"), "'"))),
        "Comment": Without(seq("#", rest), seq("#TISS", alt("!", "_VERSION"), rest)),
        "Space": some(Chars("[ #x9]")),
        "Newline": seq(maybe(Chars("[#xD]")), Chars("[#xA]")),
    }


def text(plain: Expr, *holes: Expr) -> Expr:
    """What is in a string: two braces begin a hole, four stand for two."""
    own = alt(plain, Ref("Escape"))
    return seq(many(alt(own, *holes, "{{{{", seq("{", own))), maybe("{"))


def escape() -> Expr:
    """A backslash and what it stands for; numbers are those of characters."""
    code = alt(
        seq(_HEX, maybe(_HEX, maybe(_HEX))),
        seq(Chars("[0-9A-CE-Fa-ce-f]"), _HEX, _HEX, _HEX),
        seq(Chars("[Dd]"), Chars("[0-7]"), _HEX, _HEX),
        seq(Chars("[1-9A-Fa-f]"), _HEX, _HEX, _HEX, _HEX),
        seq("10", _HEX, _HEX, _HEX, _HEX),
    )
    return alt(seq(Literal("\\"), Chars("[ntr0\\\"'{}]")), seq("\\u{", code, "}"))


def hole(name: Expr, blank: Expr, quote: str) -> Expr:
    """A hole: a name, what is in it (keys in the quotes that its text has not), filters."""
    key = seq(quote, many(Chars("[^\"'\\#xA#xD]")), quote)
    step = alt(seq(".", Ref("Word")), seq("[", alt(some(Chars("[0-9]")), key), "]"))
    return seq("{{", blank, name, Repeat(step, "*"), blank, many("|", blank, alt(*FILTERS), blank), "}}")
