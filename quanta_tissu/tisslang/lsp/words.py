"""What is to be said of the words of the language, in Markdown: made from its tables."""

from __future__ import annotations

from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD
from quanta_tissu.tisslang.syntax.notation import notation
from quanta_tissu.tisslang.syntax.shapes import Command
from quanta_tissu.tisslang.syntax.words import BUDGETS, DIRECTIVES, FILTERS, LAST_RUN

OPERATORS = {
    "AND": "both conditions hold",
    "OR": "one of two conditions holds",
    "NOT": "a condition does not hold",
    "CONTAINS": "a text is in a text, or a value in a list",
    "MATCHES": "a text matches a regular expression",
    "IS_EMPTY": "a text, list or object with nothing in it",
    "EXISTS": "whether a file is there",
    "FILE": 'a file of the project: `FILE "path" EXISTS`; as a value, its text',
}

PROVIDED = {
    "LAST_RUN": "What came of the command that ran last.",
    "COST": "What has been spent so far.",
    "failure": "What failed, in the prompt that asks for a correction.",
}


def command(one: Command) -> str:
    """A command: how it is written, what it does, where it may stand, an example."""
    places = " or ".join(sorted(place.value for place in one.where))
    return (
        f"```tiss\n{notation(one)}\n```\n{one.summary}\n\nIt stands in {places}. Effect: {one.effect.value}.\n\n"
        f"```tiss\n{one.example}\n```"
    )


def directive(name: str) -> str | None:
    """A directive."""
    if (one := DIRECTIVES.get(name)) is None:
        return None
    values = "any text" if one.values is None else " or ".join(f"`{word}`" for word in one.values) or "a number"
    return f"`@{one.name}`: {one.summary}\n\nIt takes {values}."


def keyword(word: str) -> str | None:
    """Any other word, wherever it may stand."""
    if word in BY_KEYWORD:
        return command(BY_KEYWORD[word])
    if word in PROVIDED:
        return f"`{word}`: {PROVIDED[word]}"
    return f"`{word}`: {OPERATORS[word]}" if word in OPERATORS else None


def budget(word: str) -> str | None:
    """What can be limited."""
    return f"`{word}`: {BUDGETS[word]}" if word in BUDGETS else None


def last_run(word: str) -> str | None:
    """A part of LAST_RUN."""
    return f"`LAST_RUN.{word}`: {LAST_RUN[word]}" if word in LAST_RUN else None


def filter_(word: str) -> str | None:
    """A filter of a hole."""
    return f"`| {word}`: {FILTERS[word]}" if word in FILTERS else None
