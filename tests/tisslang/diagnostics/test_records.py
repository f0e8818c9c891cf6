from __future__ import annotations

import json

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label, Severity
from quanta_tissu.tisslang.diagnostics.records import github, json_lines, sarif
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.parser import parse

SOURCE = SourceFile('STEP "é" {\n  STEP "b" {\n  }\n}\nRun "x"\n', "dir/a,b.tiss")
FOUND = [(one, SOURCE) for one in parse(SOURCE).diagnostics]


class TestJsonLines:
    def test_have_every_part_of_a_diagnostic(self):
        nested, misspelled = map(json.loads, json_lines(FOUND).splitlines())
        assert nested["code"] == "E010"
        assert nested["place"] == {
            "line": 2, "column": 3, "end_line": 2, "end_column": 7, "offset": 13, "length": 4,
        }  # fmt: skip
        assert nested["others"][0]["label"] == "enclosing STEP opened here"
        [edit] = misspelled["edits"]
        assert (edit["text"], edit["safe"], edit["place"]["line"]) == ("RUN", True, 5)
        assert misspelled["data"]["suggestion"] == "RUN"


class TestGithub:
    def test_has_a_command_for_each(self):
        first, second = github(FOUND).splitlines()
        assert first.startswith("::error file=dir/a%2Cb.tiss,line=2,endLine=2,col=3,endColumn=7,title=E010::")
        assert "%0Ahelp: close the outer STEP" in first
        assert "line=5" in second

    def test_notes_are_notices(self):
        note = Diagnostic("E008", "50 % done", Label(Span(0, 1)), Severity.NOTE)
        assert github([(note, SOURCE)]).startswith("::notice ")
        assert github([(note, SOURCE)]).endswith("::50 %25 done\n")


class TestSarif:
    def test_has_the_parts_that_the_standard_requires(self):
        log = json.loads(sarif(FOUND))
        assert log["version"] == "2.1.0"
        [run] = log["runs"]
        rules = run["tool"]["driver"]["rules"]
        assert [one["id"] for one in rules] == ["E009", "E010"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            [location] = result["locations"]
            assert location["physicalLocation"]["artifactLocation"]["uri"] == "dir/a,b.tiss"
        assert run["results"][0]["relatedLocations"][0]["message"]["text"] == "enclosing STEP opened here"
        assert run["columnKind"] == "unicodeCodePoints"
