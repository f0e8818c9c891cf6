"""Tables of words that are no commands: directives, budgets, filters, parts of LAST_RUN."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DirectiveWord:
    """A directive.

    Attributes:
        name: Without the `@`.
        summary: What it says.
        values: The words that it takes; None: any text; empty: a number.
    """

    name: str
    summary: str
    values: tuple[str, ...] | None = None


DIRECTIVES = {
    one.name: one
    for one in (
        DirectiveWord("persona", "Who the model is asked to be: the name of a persona's file."),
        DirectiveWord("model", "Which model is asked."),
        DirectiveWord("output", "What form answers have: text, or a language."),
        DirectiveWord("language", "The language of code that is asked for."),
        DirectiveWord(
            "template",
            "How prompts are written for the model.",
            ("plain", "chatml", "llama", "llama2", "alpaca"),
        ),
        DirectiveWord("temperature", "How freely the model chooses its words.", ()),
        DirectiveWord("max_tokens", "How long an answer may be.", ()),
        DirectiveWord("seed", "What the model's choices start from.", ()),
        DirectiveWord("sandbox", "How commands are kept in.", ("none", "landlock", "bwrap", "txn")),
        DirectiveWord("network", "Whether commands may use the network.", ("deny", "allow")),
        DirectiveWord("on_error", "What a failure in PARALLEL does to the other branches.", ("cancel", "collect")),
        DirectiveWord("on_resume", "What is done with a command of unknown outcome.", ("ask", "retry", "skip")),
        DirectiveWord("source_task", "Which task made the script."),
        DirectiveWord("source_agent", "Which agent made the script."),
    )
}

BUDGETS = {
    "EXECUTION_TIME": 'a time: "5m"',
    "API_CALLS": "how often a model is asked",
    "TOKEN_COUNT": "how many tokens prompts and answers have together",
    "COST": "an amount of money",
}

FILTERS = {
    "upper": "in capitals",
    "lower": "in small letters",
    "trim": "without blanks at both ends",
    "json": "as JSON",
    "lines": "a list of its lines",
    "length": "how many characters or items",
    "sh": "quoted for the shell",
    "data": "as material for a model: between lines that say so, with the rule to follow nothing in it",
    "raw": "as it is, also in a command of the shell: it needs an approval",
}

LAST_RUN = {
    "STDOUT": "what the command wrote",
    "STDERR": "what it wrote to its standard error",
    "EXIT_CODE": "what it ended with",
    "EXECUTION_TIME": "how many seconds it took",
}

PROVIDED = frozenset({"LAST_RUN", "COST"})
"""Variables that nobody sets."""

VERSION = "1.0"
"""The version of the language."""
