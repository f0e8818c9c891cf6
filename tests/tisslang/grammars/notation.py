"""A second reader of the published grammars, which knows nothing of how they were made: it reads the files.

It reads W3C EBNF and GBNF into one shape, makes random sentences of it, and turns EBNF into a grammar for Lark.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

Tree = tuple
"""`("lit", text)`, `("ref", name)`, `("set", negated, ranges)`, `("seq", trees)`, `("alt", trees)`,
`("rep", tree, times)`, `("but", tree, exception)`."""

_BOTH = r"(?P<def>\w[\w-]*\s*::=)|(?P<ref>\w[\w-]*)|"
TOKENS = {
    "ebnf": re.compile(
        rf"\s+|/\*.*?\*/|{_BOTH}(?P<lit>\"[^\"]*\"|'[^']*')|(?P<set>\[[^\]]*\])|(?P<op>[()|?*+-])", re.DOTALL
    ),
    "gbnf": re.compile(
        rf"\s+|\#[^\n]*|{_BOTH}(?P<lit>\"(?:[^\"\\]|\\.)*\")|(?P<set>\[(?:[^\]\\]|\\.)*\])|(?P<op>[()|?*+])",
        re.DOTALL,
    ),
}


class Notation:
    """A grammar.

    Args:
        text: Its file.
        kind: `ebnf` or `gbnf`.
    """

    def __init__(self, text: str, kind: str) -> None:
        self.kind = kind
        self._tokens = []
        at = 0
        while at < len(text):
            found = TOKENS[kind].match(text, at)
            assert found, f"cannot read {text[at : at + 40]!r}"
            at = found.end()
            if found.lastgroup:
                self._tokens.append((found.lastgroup, found.group()))
        self._at = 0
        self.rules: dict[str, Tree] = {}
        while self._at < len(self._tokens):
            what, name = self._take()
            assert what == "def", name
            self.rules[name.split()[0].removesuffix("::=")] = self._alternatives()
        self.start = next(iter(self.rules))
        missing = {name for rule in self.rules.values() for name in refs(rule)} - set(self.rules)
        assert not missing, missing

    def _take(self):
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self):
        return self._tokens[self._at] if self._at < len(self._tokens) else ("def", "")

    def _alternatives(self) -> Tree:
        found = [self._sequence()]
        while self._peek() == ("op", "|"):
            self._take()
            found.append(self._sequence())
        return found[0] if len(found) == 1 else ("alt", found)

    def _sequence(self) -> Tree:
        found = []
        while self._peek()[0] != "def" and self._peek() not in (("op", "|"), ("op", ")")):
            item = self._item()
            if self._peek() == ("op", "-"):
                self._take()
                item = ("but", item, self._item())
            found.append(item)
        return found[0] if len(found) == 1 else ("seq", found)

    def _item(self) -> Tree:
        what, text = self._take()
        if text == "(" and what == "op":
            item = self._alternatives()
            assert self._take() == ("op", ")")
        elif what == "ref":
            item = ("ref", text)
        elif what == "lit":
            item = ("lit", text[1:-1] if self.kind == "ebnf" else _unescaped(text[1:-1]))
        else:
            assert what == "set", text
            item = self._set(text[1:-1])
        while self._peek()[0] == "op" and self._peek()[1] in "?*+":
            item = ("rep", item, self._take()[1])
        return item

    def _set(self, text: str) -> Tree:
        negated = text.startswith("^")
        text = text.removeprefix("^")
        code = r"#x([0-9A-F]+)" if self.kind == "ebnf" else r"\\x([0-9A-F]{2})"
        units = []
        at = 0
        while at < len(text):
            if found := re.compile(code).match(text, at):
                units.append(chr(int(found[1], 16)))
                at = found.end()
            elif self.kind == "gbnf" and text[at] == "\\":
                units.append(_unescaped(text[at : at + 2]))
                at += 2
            elif text[at] == "-" and units and at + 1 < len(text):
                units.append(None)
                at += 1
            else:
                units.append(text[at])
                at += 1
        ranges = []
        while units:
            first = units.pop(0)
            if units and units[0] is None:
                units.pop(0)
                ranges.append((first, units.pop(0)))
            else:
                ranges.append((first, first))
        return ("set", negated, ranges)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1]), text)


def refs(tree: Tree):
    match tree:
        case ("ref", name):
            yield name
        case ("seq" | "alt", items):
            for one in items:
                yield from refs(one)
        case ("rep", item, _):
            yield from refs(item)
        case ("but", item, other):
            yield from refs(item)
            yield from refs(other)


# --- random sentences --------------------------------------------------------------------------------------------


@dataclass
class Sentences:
    """Random sentences of a grammar.

    Args:
        grammar: It.
        seed: What the choices start from.
        size: After how many pieces only the shortest way on is taken.
    """

    grammar: Notation
    seed: int
    size: int = 300
    heights: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self.heights = {}
        changed = True
        while changed:
            changed = False
            for name, rule in self.grammar.rules.items():
                height = self._height(rule)
                if height < self.heights.get(name, 10**6):
                    self.heights[name] = height
                    changed = True

    def _height(self, tree: Tree) -> int:
        match tree:
            case ("ref", name):
                return 1 + self.heights.get(name, 10**6)
            case ("seq", items):
                return max(map(self._height, items), default=0)
            case ("alt", items):
                return min(map(self._height, items))
            case ("rep", item, times):
                return self._height(item) if times == "+" else 0
            case ("but", item, _):
                return self._height(item)
        return 0

    def pieces(self, tree: Tree, depth: int = 0):
        """The words of a random sentence: literals and, in EBNF, rules with a capital letter."""
        dice = self._dice
        self._count += 1
        short = self._count > self.size
        match tree:
            case ("lit", text):
                yield text
            case ("set", negated, ranges):
                yield self._character(negated, ranges)
            case ("ref", name):
                if self.grammar.kind == "ebnf" and name[0].isupper() and depth >= 0:
                    yield self._word(name)
                else:
                    yield from self.pieces(self.grammar.rules[name], depth + 1 if depth >= 0 else depth)
            case ("seq", items):
                for one in items:
                    yield from self.pieces(one, depth)
            case ("alt", items):
                low = min(map(self._height, items))
                fit = [one for one in items if self._height(one) <= low] if short else items
                yield from self.pieces(dice.choice(fit), depth)
            case ("rep", item, times):
                least, most = {"?": (0, 1), "*": (0, 3), "+": (1, 3)}[times]
                for _ in range(least if short else dice.randint(least, most)):
                    yield from self.pieces(item, depth)
            case ("but", item, other):
                while True:
                    found = "".join(self.pieces(item, depth))
                    if not re.fullmatch(regex(self.grammar, other), found):
                        break
                yield found

    def _word(self, name: str) -> str:
        return "".join(self.pieces(self.grammar.rules[name], -1))

    def _character(self, negated: bool, ranges) -> str:
        if not negated:
            low, high = self._dice.choice(ranges)
            return chr(self._dice.randint(ord(low), ord(high)))
        while True:
            one = self._dice.choice("abcxyzAEPTXYn01 .,;:!?()[]{}<>=+-*/'\"\\|#@$%&é日😀")
            if ord(one) > 127 or not any(low <= one <= high for low, high in ranges):
                if any(high == "\x7f" for _, high in ranges) and not one.isidentifier():
                    continue  # letters beyond ASCII are meant
                if not any(low <= one <= high for low, high in ranges):
                    return one

    def sentence(self) -> str:
        """A sentence; in EBNF with blanks between words, comments, and the texts of heredocs."""
        rule = self.grammar.rules[self.grammar.start]
        self._count = 0
        if self.grammar.kind == "gbnf":
            return "".join(self.pieces(rule))
        out: list[str] = []
        asked: list[str] = []
        for piece in [*self.pieces(rule), "\n"]:
            if piece.strip("\r\n"):
                out.append(piece + " ")
                if piece.startswith("<<"):
                    asked.append(re.sub(r"\W", "", piece))
                continue
            if self._dice.random() < 0.1:
                out.append("# why")
            out.append(piece)
            for tag in asked:
                out.append(f"  a text\n\n  }} {{ # of {tag} it says\n{tag}\n")
            asked.clear()
        return "".join(out)


# --- for Lark ----------------------------------------------------------------------------------------------------


def regex(grammar: Notation, tree: Tree) -> str:
    """A regular expression of a rule that refers to no other in a circle."""
    match tree:
        case ("lit", text):
            return re.escape(text)
        case ("set", negated, ranges):
            shown = "".join(_code(low) if low == high else f"{_code(low)}-{_code(high)}" for low, high in ranges)
            return f"[{'^' if negated else ''}{shown}]"
        case ("ref", name):
            return f"(?:{regex(grammar, grammar.rules[name])})"
        case ("seq", items):
            return "".join(regex(grammar, one) for one in items)
        case ("alt", items):
            return f"(?:{'|'.join(regex(grammar, one) for one in items)})"
        case ("rep", item, times):
            return f"(?:{regex(grammar, item)}){times}"
        case ("but", item, other):
            return rf"(?!(?:{regex(grammar, other)})(?!\w)){regex(grammar, item)}"
    raise AssertionError(tree)


def _code(character: str) -> str:
    if character.isprintable() and character not in "\"'":  # Lark has rules of its own for quotes
        return re.escape(character)
    return rf"\x{ord(character):02x}"


def lark_grammar(grammar: Notation) -> str:
    """An EBNF as Lark writes grammars: capital letters begin terminals, blanks and comments are ignored."""
    lines = []
    for name, rule in grammar.rules.items():
        if name[0].isupper():
            if name not in ("Reserved", "Letter", "Escape", "Hole", "SingleHole"):
                expression = regex(grammar, rule).replace("/", r"\/")
                lines.append(f"{name.upper()}: /{expression}/")
        else:
            lines.append(f"{_lark_name(name)}: {_lark(rule)}")
    return "\n".join([*lines, "%ignore SPACE", "%ignore COMMENT"])


def _lark_name(name: str) -> str:
    return name.upper() if name[0].isupper() else "r_" + name.replace("-", "_")


def _lark(tree: Tree) -> str:
    match tree:
        case ("lit", text):
            if text.isidentifier():  # no part of a longer word
                return rf"/{re.escape(text)}(?!\w)/"
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case ("ref", name):
            return _lark_name(name)
        case ("seq", items):
            return f"({' '.join(map(_lark, items))})" if items else ""
        case ("alt", items):
            return f"({' | '.join(map(_lark, items))})"
        case ("rep", item, times):
            return f"({_lark(item)}){times}"
    raise AssertionError(tree)
