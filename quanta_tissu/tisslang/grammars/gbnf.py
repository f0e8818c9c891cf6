"""The grammar in GBNF, the notation of llama.cpp, so that a model can only write scripts that can be read.

It allows what the formatter would write: a blank between words, four of them for a step of indentation (how many
steps, no context-free grammar can count). Names of variables begin with a small letter. Heredocs have one of a few
tags, since no context-free grammar can compare their beginning with their end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from quanta_tissu.errors import ConfigError
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
)
from quanta_tissu.tisslang.grammars.words import hole, word_rules
from quanta_tissu.tisslang.syntax.commands import COMMANDS, CONSTANTS
from quanta_tissu.tisslang.syntax.shapes import Inside, Value

TAGS = ("TEXT", "PY", "SH", "SQL", "MD", "JSON", "HTML")
"""Tags of heredocs, if nothing else is said."""

_HEAD = """\
# Scripts of TissLang in GBNF (llama.cpp): what a model can write under it is read without an error.
# Generated from the table of commands: python docs/generate.py; other tags of heredocs: tissu lang grammar --tag.

"""
_PLAIN = r"[^#x0-#x1F"


def gbnf(tags: Sequence[str] = TAGS) -> str:
    """The whole grammar.

    Args:
        tags: What heredocs may be called.

    Raises:
        ConfigError: A tag is none.
    """
    for tag in tags:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", tag):
            raise ConfigError(f"{tag!r} cannot be the tag of a heredoc here", hint="letters and digits, as in PY")
    gap, ends = Literal(" "), Ref("ends")
    turn = alt(gap, ends)
    builder = Builder(Spacing(gap, maybe(" "), turn, maybe(ends), ends, turn, _block))
    rules: Rules = {"root": _root()}
    rules |= builder.rules(Ref("heredoc-line"))
    rules["heredoc-line"] = alt(*_heredoc_lines(builder, tags))
    for tag in tags:
        rules |= _heredoc(tag)
    rules |= {
        "ends": seq(maybe("  ", Ref("Comment")), "\n", many(Ref("empty")), Ref("indent")),
        "empty": seq(maybe(Ref("indent"), Ref("Comment")), "\n"),
        "indent": many("    "),
        "setting": seq(" ", Ref("Word"), "=", alt(Ref("Number"), Ref("Word"), Ref("String"))),
        "Comment": seq("#", maybe(Chars("[^#x0-#x1FT!]"), many(Chars(f"{_PLAIN}]")))),
        "Name": other_than([*CONSTANTS, *MISTAKEN], Chars("[a-z_]"), Chars("[A-Za-z0-9_]")),
        "Word": seq(Chars("[A-Za-z_]"), many(Chars("[A-Za-z0-9_]"))),
        "ends-of-line": seq(maybe("  ", Ref("Comment")), "\n"),
        "short-value": alt(
            *map(Ref, ("String", "Name", "last-run", "constant", "short-list", "short-object")),
        ),
        "short-list": seq("[", _short(Ref("short-value")), "]"),
        "short-object": seq("{", _short(seq(alt(Ref("Word"), Ref("Key")), ": ", Ref("short-value"))), "}"),
        "rest": many(Chars(f"{_PLAIN}]")),
        "rest-with-holes": seq(many(_first("")), maybe("{")),
        "blanks": maybe(" "),
        "Hole": hole(alt(Ref("Name"), Ref("last-run"), "COST"), Ref("blanks"), "'"),
    }
    for name, rule in word_rules().items():
        if name in ("Number", "Duration", "Escape"):
            rules[name] = rule
        elif name in ("String", "Key") and isinstance(rule, Alt):
            rules[name] = rule.items[0]
    used = _reached(rules)
    return _HEAD + "".join(f"{_name(one)} ::= {_text(rule)}\n" for one, rule in rules.items() if one in used)


def _root() -> Expr:
    header = seq("#TISS!", many(Ref("setting")), "\n")
    return seq(maybe(header), many(Ref("empty")), many(Ref("file-line")), maybe(Ref("file-statement")))


def _block(line: str, statement: str) -> Expr:
    return seq("{", alt(seq(Ref("ends"), many(Ref(line))), seq(" ", maybe(Ref(statement), " "))), "}")


def _short(item: Expr) -> Expr:
    """Items on one line, separated by commas."""
    return maybe(item, many(", ", item))


# --- heredocs ----------------------------------------------------------------------------------------------------


def _heredoc_lines(builder: Builder, tags: Sequence[str]) -> Iterable[Expr]:
    """Commands that end with a long text, or go on a little after it: by what comes after it."""
    groups: dict[Expr, list[Expr]] = {}
    for command in COMMANDS:
        for number, part in enumerate(command.parts):
            if isinstance(part, Value) and part.long and command.block is None:
                before = seq(command.keyword, builder.parts(command.parts[:number], Inside.FILE), " ")
                after = builder.parts(command.parts[number + 1 :], Inside.FILE, short=True)
                groups.setdefault(after, []).append(before)
    for after, befores in groups.items():
        texts = (
            seq(opening, after, Ref("ends-of-line"), Ref(f"{kind}-{tag.lower()}"))
            for tag in tags
            for kind, opening in (("holes", f"<<{tag}"), ("raw", f"<<'{tag}'"), ("indented", f"<<-{tag}"))
        )
        yield seq(alt(*befores), alt(*texts))


def _heredoc(tag: str) -> Rules:
    """The texts that a tag ends."""
    end = seq(tag, "\n", many(Ref("empty")), Ref("indent"))
    own = tag.lower()
    return {
        f"holes-{own}": seq(many(Ref(f"holes-line-{own}"), "\n"), end),
        f"raw-{own}": seq(many(Ref(f"raw-line-{own}"), "\n"), end),
        f"indented-{own}": seq(many(Ref(f"indented-line-{own}"), "\n"), many(" "), end),
        f"holes-line-{own}": _line(tag, _first, Ref("rest-with-holes"), maybe("{")),
        f"raw-line-{own}": _line(tag, lambda without: Chars(f"{_PLAIN}{without}]"), Ref("rest"), EMPTY),
        f"indented-line-{own}": seq(
            many(" "), _line(tag, lambda without: _first(f"{without} "), Ref("rest-with-holes"), maybe("{"))
        ),
    }


def _first(without: str) -> Expr:
    """What a line with holes may begin with."""
    return alt(Chars(f"{_PLAIN}{{{without}]"), Ref("Hole"), "{{{{", seq("{", Chars(f"{_PLAIN}{{]")))


def _line(tag: str, first: Callable[[str], Expr], rest: Expr, alone: Expr) -> Expr:
    """A line that is neither the tag nor the tag and `>>`: letter by letter, it is different somewhere.

    Args:
        tag: The tag.
        first: Makes what a line may go on with, but for some letters.
        rest: The rest of a line.
        alone: What a line may end with.
    """
    word = f"{tag}>>"

    def beyond(at: int) -> Expr:
        ways: list[Expr] = [seq(first(word[at : at + 1]), rest)]
        if at not in (len(tag), len(word)):
            ways.append(alone)
        if at < len(word):
            ways.append(seq(word[at], beyond(at + 1)))
        return alt(*ways)

    return beyond(0)


def other_than(words: Iterable[str], first: Chars, later: Chars) -> Expr:
    """A word that is none of some: letter by letter, it is different somewhere."""

    def beyond(here: list[str], chars: Chars) -> Expr:
        letters = sorted({one[0] for one in here if one})
        ways: list[Expr] = [seq(_less(chars, letters), many(later))]
        if chars is later and "" not in here:
            ways.append(EMPTY)
        for letter in letters:
            left = [one[1:] for one in here if one.startswith(letter)]
            ways.append(seq(letter, beyond(left, later)))
        return alt(*ways)

    return beyond(list(words), first)


def _less(chars: Chars, letters: Sequence[str]) -> Chars:
    """A set of characters without some."""
    every = [chr(code) for code in range(128) if re.fullmatch(chars.set, chr(code))]
    runs: list[list[str]] = []
    for one in every:
        if one in letters:
            continue
        if runs and ord(one) == ord(runs[-1][-1]) + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return Chars(f"[{''.join(run[0] if len(run) == 1 else f'{run[0]}-{run[-1]}' for run in runs)}]")


# --- writing -----------------------------------------------------------------------------------------------------


def _reached(rules: Rules) -> set[str]:
    """The rules that are used."""
    found: set[str] = set()
    todo = ["root"]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _refs(rules[name])
    return found


def _refs(rule: Expr) -> Iterable[str]:
    match rule:
        case Ref(name=name):
            yield name
        case Seq(items=items) | Alt(items=items):
            for one in items:
                yield from _refs(one)
        case Repeat(item=item):
            yield from _refs(item)
        case _:
            pass


def _name(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z][a-z])", "-", name).lower() if name[0].isupper() else name


def _text(rule: Expr, *, inside: str = "") -> str:
    match rule:
        case Literal(text=text):
            escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case Ref(name=name):
            return _name(name)
        case Chars(set=chars):
            return _set(chars)
        case Seq(items=items):
            shown = " ".join(_text(one, inside="seq") for one in items if one != EMPTY) or '""'
            return f"({shown})" if inside == "repeat" and len(items) > 1 else shown
        case Alt(items=items):
            shown = " | ".join(_text(one, inside="alt") for one in items)
            return f"({shown})" if inside else shown
        case Repeat(item=item, times=times):
            return f"{_text(item, inside='repeat')}{times}"
        case Without():
            raise ValueError("GBNF has no rules with exceptions")


def _set(chars: str) -> str:
    """A set as GBNF writes it."""
    escaped = chars.replace("\\", "\\\\")
    return re.sub(r"#x([0-9A-F]+)", lambda found: f"\\x{int(found[1], 16):02X}", escaped)
