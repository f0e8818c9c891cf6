"""The grammar of TextMate, by which VS Code, GitHub and many others colour, and snippets of VS Code: as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from quanta_tissu.tisslang.syntax.commands import COMMANDS, CONSTANTS, OPERATORS
from quanta_tissu.tisslang.syntax.shapes import Many, Maybe, Part, Word
from quanta_tissu.tisslang.syntax.templates import template
from quanta_tissu.tisslang.syntax.times import UNITS
from quanta_tissu.tisslang.syntax.words import BUDGETS, DIRECTIVES, FILTERS, LAST_RUN, PROVIDED

_NAME = r"[^\W\d]\w*"
_STEP = rf"\.\s*{_NAME}|\[\s*\d+\s*\]|\[\s*\"[^\"]*\"\s*\]|\[\s*'[^']*'\s*\]"
_COMMENT = "Generated from the table of commands: python docs/generate.py"


def textmate() -> str:
    """The grammar."""
    grammar = {
        "comment": _COMMENT,
        "name": "TissLang",
        "scopeName": "source.tiss",
        "fileTypes": ["tiss"],
        "patterns": [{"include": f"#{name}"} for name in ("header", "comment", *_VALUES)],
        "repository": _repository(),
    }
    return json.dumps(grammar, indent=2, ensure_ascii=False) + "\n"


def snippets() -> str:
    """Every command as a snippet of VS Code."""
    found = {
        command.keyword: {
            "prefix": command.keyword,
            "body": template(command).replace("    ", "\t").split("\n"),
            "description": command.summary,
        }
        for command in COMMANDS
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


_VALUES = (
    "heredoc",
    "string",
    "directive",
    "last-run",
    "budget",
    "keyword",
    "number",
    "member",
    "variable",
    "symbol",
)


def _repository() -> dict[str, Any]:
    blocks = [one.keyword for one in COMMANDS if one.block is not None]
    plain = [one.keyword for one in COMMANDS if one.block is None]
    clauses = {word for one in COMMANDS for word in _words(one.parts)} - {*blocks, *plain}
    return {
        "header": _match(r"#TISS(?:!|_VERSION\b)[^#]*", "meta.preprocessor"),
        "comment": _match(r"#.*$", "comment.line.number-sign"),
        "directive": _either(
            _match(_any(DIRECTIVES, "@"), "storage.modifier.directive"),
            _match(rf"@{_NAME}", "invalid.deprecated.directive"),
        ),
        "last-run": {
            "match": rf"\b(LAST_RUN)\s*(\.)\s*({'|'.join(LAST_RUN)})\b",
            "captures": _captures("variable.language", "punctuation.accessor", "support.constant.property"),
        },
        "budget": {
            "match": rf"\b(SET_BUDGET)\s+({'|'.join(BUDGETS)})\b",
            "captures": _captures("keyword.other.command", "support.constant.budget"),
        },
        "keyword": _either(
            _match(_any(OPERATORS), "keyword.operator.word"),
            _match(_any(blocks), "keyword.control.block"),
            _match(_any(clauses), "keyword.control.clause"),
            _match(_any(plain), "keyword.other.command"),
            _match(_any(CONSTANTS), "constant.language"),
            _match(_any(PROVIDED), "variable.language"),
        ),
        "number": _match(rf"\b\d+(?:\.\d+)?(?:{'|'.join(UNITS)})?\b", "constant.numeric"),
        "member": {
            "match": rf"(\.)\s*({_NAME})",
            "captures": _captures("punctuation.accessor", "variable.other.property"),
        },
        "variable": _match(_NAME, "variable.other"),
        "symbol": _either(
            _match(r"[=!<>]=|[=<>+-]", "keyword.operator"), _match(r"[{}()\[\],:|]", "punctuation.separator")
        ),
        "escape": _either(
            _match(r"\\(?:u\{[0-9A-Fa-f]{1,6}\}|[ntr0\\\"'{}])", "constant.character.escape"),
            _match(r"\\.", "invalid.illegal.escape"),
        ),
        "hole": _hole(),
        "string": _either(_string('"', "double"), _string("'", "single")),
        "heredoc": _either(
            _heredoc(rf"(<<-)'({_NAME})'", r"^[ \t]*\2(?:>>)?$", holes=False),
            _heredoc(rf"(<<)'({_NAME})'", r"^\2(?:>>)?$", holes=False),
            _heredoc(rf"(<<-)({_NAME})", r"^[ \t]*\2(?:>>)?$", holes=True),
            _heredoc(rf"(<<)({_NAME})", r"^\2(?:>>)?$", holes=True),
        ),
    }


def _hole() -> dict[str, Any]:
    filters = {"match": _any(FILTERS), "name": "support.function.filter.tiss"}
    return _either(
        _match(r"\{\{\{\{", "constant.character.escape"),
        {
            "match": rf"(\{{\{{)\s*({_NAME})((?:{_STEP})*)\s*((?:\|\s*{_NAME}\s*)*)(\}}\}})",
            "name": "meta.embedded.hole.tiss",
            "captures": {
                **_captures(
                    "punctuation.section.embedded.begin", "variable.other.hole", "variable.other.property"
                ),
                "4": {"patterns": [filters]},
                "5": {"name": "punctuation.section.embedded.end.tiss"},
            },
        },
        _match(r"\{\{", "invalid.illegal.hole"),
    )


def _string(quote: str, kind: str) -> dict[str, Any]:
    return {
        "name": f"string.quoted.{kind}.tiss",
        "begin": quote,
        "end": rf"{quote}|$",
        "patterns": [{"include": "#escape"}, {"include": "#hole"}],
    }


def _heredoc(begin: str, end: str, *, holes: bool) -> dict[str, Any]:
    """A heredoc: what follows its beginning on the same line is still the script."""
    return {
        "begin": f"{begin}(.*)$",
        "beginCaptures": {
            "1": {"name": "keyword.operator.heredoc.tiss"},
            "2": {"name": "entity.name.tag.heredoc.tiss"},
            "3": {"patterns": [{"include": "source.tiss"}]},
        },
        "end": end,
        "endCaptures": {"0": {"name": "entity.name.tag.heredoc.tiss"}},
        "contentName": "string.unquoted.heredoc.tiss",
        "patterns": [{"include": "#hole"}] if holes else [],
    }


def _words(parts: tuple[Part, ...]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, Word):
            yield part.text
        elif isinstance(part, Maybe | Many):
            yield from _words(part.parts)


def _any(words: Iterable[str], before: str = r"\b") -> str:
    """One of some words; longer ones first, so that no beginning of another is taken."""
    return rf"{before}(?:{'|'.join(sorted(words, key=lambda one: (-len(one), one)))})\b"


def _match(expression: str, name: str) -> dict[str, Any]:
    return {"match": expression, "name": f"{name}.tiss"}


def _captures(*names: str) -> dict[str, Any]:
    return {str(number): {"name": f"{name}.tiss"} for number, name in enumerate(names, 1)}


def _either(*patterns: dict[str, Any]) -> dict[str, Any]:
    return {"patterns": list(patterns)}
