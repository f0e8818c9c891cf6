"""The grammar of the language, made from the table of commands, for readers and for the decoders of models.

Both are the same rules. They differ in what is between words: a reader knows that blanks do not matter, while a
decoder writes every character, so its rules have blanks where the formatter writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quanta_tissu.tisslang.grammars.rules import EMPTY, Expr, Literal, Ref, Repeat, Rules, alt, many, maybe, seq
from quanta_tissu.tisslang.syntax.commands import COMMANDS, CONSTANTS
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
from quanta_tissu.tisslang.syntax.words import DIRECTIVES, LAST_RUN

_PLACES = {
    Inside.FILE: "file",
    Inside.STEPS: "steps",
    Inside.COMMANDS: "commands",
    Inside.PARALLEL: "parallel",
    Inside.CHOOSE: "choose",
}

_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">", "CONTAINS", "MATCHES", "NOT CONTAINS", "NOT MATCHES")


MISTAKEN = ("not",)
"""Words that the parser takes for an operator in the wrong letters: no script should have them as names."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """What is written between words.

    Attributes:
        gap: A blank between two words.
        slack: A blank that may be there.
        turn: A blank, or a new line where the statement goes on.
        soft: New lines, in brackets, if any.
        ends: What ends a line, with the empty lines after it and the indentation of the next.
        later: What may be before a word that may come on a later line.
        block: Makes a block of the names of the rules of a line and of a statement in it.
    """

    gap: Expr
    slack: Expr
    turn: Expr
    soft: Expr
    ends: Expr
    later: Expr
    block: Callable[[str, str], Expr]


class Builder:
    """Makes the rules.

    Args:
        spacing: What is written between words.
    """

    def __init__(self, spacing: Spacing) -> None:
        self._space = spacing

    def rules(self, line: Expr | None = None) -> Rules:
        """All rules but those of words.

        Args:
            line: What else may be a line where commands may stand, with its end.
        """
        found: Rules = {}
        for place, name in _PLACES.items():
            statement = seq(Ref(f"{name}-statement"), self._space.ends)
            body = statement if line is None or not _takes_commands(place) else alt(statement, line)
            found[f"{name}-line"] = body
            found[f"{name}-block"] = self._space.block(f"{name}-line", f"{name}-statement")
            found[f"{name}-statement"] = alt(*self._statements(place))
        found["command"] = alt(*(Ref(rule_name(one)) for one in COMMANDS if is_plain(one)))
        for command in COMMANDS:
            if is_fixed(command):
                found[rule_name(command)] = self.command(command, Inside.FILE)
            else:
                for place in Inside:
                    if place in command.where:
                        found[f"{rule_name(command)}-in-{_PLACES[place]}"] = self.command(command, place)
        found["directive"] = alt(*self._directives())
        found |= self._values("")
        found |= self._values("unbraced-")
        found |= self._values("next-")
        found |= self._parts_of_values()
        return found

    def _statements(self, place: Inside) -> Iterable[Expr]:
        if _takes_commands(place):
            yield Ref("command")
        for one in COMMANDS:
            if place in one.where and not is_plain(one):
                yield Ref(rule_name(one) if is_fixed(one) else f"{rule_name(one)}-in-{_PLACES[place]}")
        yield Ref("directive")

    def _directives(self) -> Iterable[Expr]:
        for one in DIRECTIVES.values():
            if one.values is None:
                value = alt(Ref("String"), Ref("Name"))
            elif one.values:
                value = alt(*one.values, *(f'"{word}"' for word in one.values))
            else:
                value = Ref("Number")
            yield seq(f"@{one.name}", self._space.gap, value)

    # --- commands ------------------------------------------------------------------------------------------------

    def command(self, command: Command, place: Inside) -> Expr:
        """A command in a kind of block."""
        return seq(command.keyword, self.parts(command.parts, place))

    def parts(
        self, parts: tuple[Part, ...], place: Inside, *, optional: bool = False, short: bool = False
    ) -> Expr:
        """Parts of a command, each with what is before it.

        Args:
            parts: They.
            place: What the command stands in.
            optional: Whether they may be left out together.
            short: Whether values in them must end on the line on which they begin.
        """
        found: list[Expr | str] = []
        for number, part in enumerate(parts):
            blocks = any(isinstance(one, Block) for one in parts[number:])
            if short:
                kind = "short-"
            elif blocks or (optional and number == 0):
                kind = "unbraced-"
            else:
                kind = "next-" if number and isinstance(parts[number - 1], Value) else ""
            found.append(self.part(part, place, kind))
        return seq(*found)

    def part(self, part: Part, place: Inside, kind: str = "") -> Expr:
        """A part of a command, with what is before it; a value of some kind."""
        space = self._space
        match part:
            case Word(text=text, next_line=next_line):
                return seq(space.later if next_line else space.gap, text)
            case Sign(text=","):
                return Literal(",")
            case Sign(text=text):
                return seq(space.gap, text)
            case Value():
                return seq(space.gap, Ref(f"{kind}value"))
            case NameOf(among=among):
                return seq(space.gap, alt(*among) if among else Ref("Name"))
            case Title():
                return seq(space.gap, Ref("String"))
            case Block(inside=inside):
                return seq(space.gap, Ref(f"{_PLACES[inside or place]}-block"))
            case Names():
                return maybe(space.slack, "(", self._list(Ref("Name")), ")")
            case Values():
                return maybe(space.slack, "(", self._list(Ref("value")), ")")
            case Maybe(parts=inner):
                return Repeat(self.parts(inner, place, optional=True, short=kind == "short-"), "?")
            case Many(parts=inner):
                return Repeat(self.parts(inner, place), "*")

    def _list(self, item: Expr) -> Expr:
        """Items in brackets, separated by commas; the last may have one, too."""
        soft = self._space.soft
        comma = seq(",", alt(self._space.ends, self._space.gap) if self._space.gap != EMPTY else soft)
        return seq(soft, maybe(item, soft, many(comma, item, soft), maybe(",", soft)))

    # --- values --------------------------------------------------------------------------------------------------

    def _values(self, kind: str) -> Rules:
        """Operators from loose to tight.

        Before a block a value does not begin with a brace ("unbraced"), and after another value not with what
        would go on with that one ("next").
        """
        gap, turn = self._space.gap, self._space.turn
        tests = seq(gap, maybe("NOT", gap), alt("EXISTS", "IS_EMPTY"))
        comparison = alt(*(seq(*_words(one, gap)) for one in _COMPARISONS))
        return {
            f"{kind}value": seq(Ref(f"{kind}conjunction"), many(gap, "OR", turn, Ref("conjunction"))),
            f"{kind}conjunction": seq(Ref(f"{kind}negation"), many(gap, "AND", turn, Ref("negation"))),
            f"{kind}negation": alt(seq("NOT", gap, Ref("negation")), Ref(f"{kind}comparison")),
            f"{kind}comparison": seq(Ref(f"{kind}test"), maybe(gap, comparison, turn, Ref("test"))),
            f"{kind}test": seq(Ref(f"{kind}sum"), maybe(tests)),
            f"{kind}sum": seq(Ref(f"{kind}signed"), many(gap, alt("+", "-"), turn, Ref("signed"))),
            f"{kind}signed": alt(
                *(() if kind == "next-" else (seq("-", Ref("signed")),)),
                seq("FILE", gap, Ref("reached")),
                Ref("constant"),
                Ref(f"{kind}reached"),
            ),
            f"{kind}reached": seq(Ref(f"{kind}primary"), many(Ref("reach"))),
        }

    def _parts_of_values(self) -> Rules:
        soft, gap = self._space.soft, self._space.gap
        colon = seq(":", alt(self._space.ends, gap) if gap != EMPTY else soft)
        entry = seq(alt(Ref("Word"), Ref("Key")), colon, Ref("value"))
        parenthesis = seq("(", soft, Ref("value"), soft, ")")
        return {
            "constant": alt(Ref("Duration"), Ref("Number"), *CONSTANTS),
            "reach": alt(seq(".", Ref("Word")), seq("[", Ref("value"), "]")),
            "primary": alt(Ref("simple"), Ref("list"), Ref("object")),
            "unbraced-primary": alt(Ref("simple"), Ref("list")),
            "next-primary": alt(Ref("simple"), Ref("object")),
            "simple": alt(Ref("String"), Ref("Name"), Ref("last-run"), "COST", parenthesis),
            "last-run": seq("LAST_RUN", ".", alt(*LAST_RUN)),
            "list": seq("[", self._list(Ref("value")), "]"),
            "object": seq("{", self._list(entry), "}"),
        }


def _words(text: str, gap: Expr) -> Iterable[Expr | str]:
    first, _, second = text.partition(" ")
    return (first, gap, second) if second else (first,)


def rule_name(command: Command) -> str:
    """What the rule of a command is called."""
    return command.keyword.lower().replace("_", "-")


def is_plain(command: Command) -> bool:
    """Whether a command may stand wherever commands may, and holds no block."""
    return command.block is None and Inside.COMMANDS in command.where


def is_fixed(command: Command) -> bool:
    """Whether what may stand in a command does not depend on where it stands itself."""
    return not _open_blocks(command.parts)


def _open_blocks(parts: tuple[Part, ...]) -> bool:
    return any(
        one.inside is None if isinstance(one, Block) else isinstance(one, Maybe | Many) and _open_blocks(one.parts)
        for one in parts
    )


def _takes_commands(place: Inside) -> bool:
    return all(place in one.where for one in COMMANDS if is_plain(one))
