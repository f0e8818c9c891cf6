"""The grammar of TextMate, run by a small engine that knows the format and nothing of the language."""

from __future__ import annotations

import json
import re

import pytest

from quanta_tissu.tisslang.grammars.textmate import snippets
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import COMMANDS, CONSTANTS, OPERATORS
from quanta_tissu.tisslang.syntax.lexer import lex
from quanta_tissu.tisslang.syntax.tokens import TokenKind
from tests.tisslang.grammars.scripts import RIGHT, ROOT

FOLDER = ROOT / "editors" / "vscode"
GRAMMAR = json.loads((FOLDER / "syntaxes" / "tiss.tmLanguage.json").read_text(encoding="utf-8"))

KINDS = {
    TokenKind.COMMENT: "comment",
    TokenKind.HEADER: "meta.preprocessor",
    TokenKind.DIRECTIVE: "storage.modifier.directive",
    TokenKind.NUMBER: "constant.numeric",
    TokenKind.DURATION: "constant.numeric",
    TokenKind.STRING: "string.quoted",
    TokenKind.HEREDOC_BODY: "string.unquoted.heredoc",
}


class Engine:
    """Colours line by line: the first pattern at the earliest place counts, a region lasts until its end."""

    def __init__(self, grammar):
        self.repository = grammar["repository"]
        self.top = grammar["patterns"]

    def flat(self, patterns):
        for one in patterns:
            if "include" in one:
                found = self.top if one["include"] == "source.tiss" else [self.repository[one["include"][1:]]]
                yield from self.flat(found)
            elif "match" in one or "begin" in one:
                yield one
            else:
                yield from self.flat(one["patterns"])

    def colour(self, text):
        """The names of each character."""
        names = [[] for _ in text]
        regions, start = [], 0
        for line in text.splitlines(keepends=True):
            self.line(line.rstrip("\r\n"), start, names, regions)
            start += len(line)
        return names

    def line(self, line, start, names, regions):
        at = 0
        while True:
            inner = regions[-1] if regions else None
            best, rule = None, None
            if inner is not None:
                best, rule = inner[1].search(line, at), "end"
            for one in self.flat(inner[0].get("patterns", []) if inner else self.top):
                found = re.compile(one.get("match") or one["begin"]).search(line, at)
                if found and (best is None or found.start() < best.start()):
                    best, rule = found, one
            stop = len(line) if best is None else best.start()
            self.add(names, start + at, start + stop, self.content(inner))
            if best is None:
                return
            if rule == "end":
                self.captured(best, inner[0].get("endCaptures", {}), start, names, [inner[0].get("name")])
                regions.pop()
            elif "begin" in rule:
                self.captured(best, rule.get("beginCaptures", {}), start, names, [rule.get("name")])
                end = re.sub(r"\\(\d)", lambda number, found=best: re.escape(found[int(number[1])]), rule["end"])
                regions.append((rule, re.compile(end)))
            else:
                self.captured(
                    best, rule.get("captures", {}), start, names, [*self.content(inner), rule.get("name")]
                )
            if best.end() == at and best.end() == best.start() and rule != "end":
                at += 1
            else:
                at = best.end()
            if at > len(line):
                return
            if at == len(line) and not (regions and regions[-1][1].search(line, at) and rule != "end"):
                return

    def content(self, region):
        return [] if region is None else [region[0].get("name"), region[0].get("contentName")]

    def captured(self, found, captures, start, names, around):
        self.add(names, start + found.start(), start + found.end(), around)
        for number, one in captures.items():
            if found.span(int(number)) == (-1, -1):
                continue
            low, high = found.span(int(number))
            self.add(names, start + low, start + high, [one.get("name")])
            if "patterns" in one:
                inner = [[] for _ in range(high - low)]
                regions = []
                saved, self.top = self.top, list(self.flat(one["patterns"]))
                self.line(found.string[low:high], 0, inner, regions)
                self.top = saved
                for offset, extra in enumerate(inner):
                    names[start + low + offset] += extra

    def add(self, names, start, end, more):
        for offset in range(start, end):
            names[offset] += [one for one in more if one]


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_has_the_right_colours_and_none_of_a_mistake(name):
    text = RIGHT[name]
    names = Engine(GRAMMAR).colour(text)
    assert not [text[n] for n, one in enumerate(names) if any(x.startswith("invalid") for x in one)]
    commands = {one.keyword for one in COMMANDS}
    before, header = None, False
    for token in lex(SourceFile(text)).tokens:
        header = (header or token.kind is TokenKind.HEADER) and token.kind is not TokenKind.NEWLINE
        expected = "" if header and token.kind is not TokenKind.COMMENT else KINDS.get(token.kind)
        if token.kind is TokenKind.WORD and (before is None or before.text != "."):
            if token.text in OPERATORS:
                expected = "keyword.operator"
            elif token.text in commands:
                expected = "keyword"
            elif token.text in CONSTANTS:
                expected = "constant.language"
        if expected and token.text.strip():
            offset = token.start + len(token.text) - len(token.text.lstrip())
            assert any(one.startswith(expected) for one in names[offset]), (token, names[offset])
        if token.kind is not TokenKind.SPACE:
            before = token


def colours(text, piece):
    return Engine(GRAMMAR).colour(text)[text.index(piece)]


class TestPieces:
    @pytest.mark.parametrize(
        ("text", "piece", "expected"),
        [
            ('LOG "a {{b.c | upper}}"', "b.c", "variable.other.hole.tiss"),
            ('LOG "a {{b.c | upper}}"', "upper", "support.function.filter.tiss"),
            ('LOG "a\\n"', "\\n", "constant.character.escape.tiss"),
            ('LOG "a\\d"', "\\d", "invalid.illegal.escape.tiss"),
            ("LOG LAST_RUN.STDOUT", "STDOUT", "support.constant.property.tiss"),
            ("SET_BUDGET COST = 2", "COST", "support.constant.budget.tiss"),
            ("@sandbox none", "@sandbox", "storage.modifier.directive.tiss"),
            ("@sandboks none", "@sandboks", "invalid.deprecated.directive.tiss"),
            ("WRITE 'f' <<A  # why\nRUN {{x}}\nA\nRUN 'x'", "# why", "comment.line.number-sign.tiss"),
            ("WRITE 'f' <<A\nRUN {{x}}\nA\nRUN 'x'", "RUN {", "string.unquoted.heredoc.tiss"),
            ("WRITE 'f' <<A\nRUN {{x}}\nA\nRUN 'x'", "x}}", "variable.other.hole.tiss"),
            ("WRITE 'f' <<A\nRUN {{x}}\nA\nRUN 'x'", "RUN 'x'", "keyword.other.command.tiss"),
            ("WRITE 'f' <<-A\n  b\n  A\nRUN 'x'", "RUN", "keyword.other.command.tiss"),
            ("WRITE 'f' <<'A'\n{{x}}\n A\nA\nRUN 'x'", " A\nA", "string.unquoted.heredoc.tiss"),
        ],
    )
    def test_have_their_names(self, text, piece, expected):
        assert expected in colours(text, piece)

    def test_a_heredoc_that_is_quoted_has_no_holes(self):
        assert colours("WRITE 'f' <<'A'\n{{x}}\nA\n", "x}}") == ["string.unquoted.heredoc.tiss"]


class TestExtension:
    """The folder for VS Code: what its parts say of each other is so."""

    def test_all_files_that_it_names_are_there(self):
        package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
        says = package["contributes"]
        named = [says["languages"][0]["configuration"], says["grammars"][0]["path"], says["snippets"][0]["path"]]
        for name in named:
            json.loads((FOLDER / name).read_text(encoding="utf-8"))
        assert says["grammars"][0]["scopeName"] == GRAMMAR["scopeName"]

    def test_indentation_follows_braces(self):
        rules = json.loads((FOLDER / "language-configuration.json").read_text(encoding="utf-8"))[
            "indentationRules"
        ]
        assert re.search(rules["increaseIndentPattern"], "PARALLEL {  # why")
        assert not re.search(rules["increaseIndentPattern"], "LOG {a: 1}")
        assert re.search(rules["decreaseIndentPattern"], "  } ELSE {")

    def test_snippets_begin_every_command(self):
        assert set(json.loads(snippets())) == {one.keyword for one in COMMANDS}
