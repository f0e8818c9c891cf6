"""What is said of scripts before they run: code, and the characters that are marked."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse
from tests.tisslang.syntax.scripts import GOOD


def found(text: str) -> list[tuple[str, str]]:
    source = SourceFile(text)
    script = parse(source)
    assert script.diagnostics == ()
    return [(one.code, source[one.span]) for one in check(script)]


class TestVariables:
    @pytest.mark.parametrize(
        "text",
        [
            "IF a == 1 {\n VAR x = 1\n} ELSE {\n VAR x = 2\n}\nLOG x",
            "IF a == 1 {\n VAR x = 1\n} ELSE {\n ASSERT false\n}\nLOG x",
            "TRY {\n VAR x = 1\n} CATCH {\n VAR x = 2\n}\nLOG x",
            "TRY {\n LOG a\n} FINALLY {\n VAR x = 1\n}\nLOG x",
            "TRY {\n VAR x = 1\n} FINALLY {\n LOG a\n}\nLOG x",
            "TRY {\n LOG a\n} CATCH AS e {\n LOG e.message\n}",
            "FOR i IN [1, 2] {\n VAR x = i\n LOG x\n}",
            "FOR i IN [1] {\n VAR x = i\n}\nLOG x",
            'CHOOSE {\n OPTION "o" {\n  VAR x = 1\n }\n OPTION "p" {\n  VAR x = 2\n }\n}\nLOG x',
            'PARALLEL {\n STEP "o" {\n  VAR x = 1\n }\n STEP "p" {\n  VAR y = 2\n }\n}\nLOG "{{x}}{{y}}"',
            "RETRY MAX 2 {\n VAR x = 1\n}\nLOG x",
            'RETRY MAX 2 {\n LOG a\n} FIX_WITH PROMPT_AGENT "{{failure}} {{a}}" INTO a',
            'DEFINE_TASK "t"(p) {\n LOG p\n}\nCALL "t"(a)',
            "IF true {\n VAR x = 1\n}\nLOG x",
        ],
    )
    def test_that_are_set_on_every_way(self, text):
        assert found(f"VAR a = 1\n{text}") == []

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("LOG x", ("E101", "x")),
            ('LOG "a {{x.y}}"', ("E101", "x")),
            ("TRY {\n VAR x = 1\n} CATCH {\n}\nLOG x", ("W102", "x")),
            ("VAR l = [1]\nFOR i IN l {\n VAR x = 1\n}\nLOG x", ("W102", "x")),
            ("FOR i IN [] {\n VAR x = 1\n}\nLOG x", ("W102", "x")),
            ("TRY {\n VAR x = 1\n} FINALLY {\n LOG x\n}", ("W102", "x")),
            ("FOR i IN [1] {\n}\nLOG i", ("E101", "i")),
            ("TRY {\n} CATCH AS e {\n}\nLOG e", ("E101", "e")),
            ('CHOOSE {\n OPTION "o" {\n  VAR x = 1\n }\n OPTION "p" {\n }\n}\nLOG x', ("W102", "x")),
            ('VAR a = 1\nDEFINE_TASK "t" {\n LOG a\n}', ("E101", "a")),
            ('DEFINE_TASK "t" {\n VAR x = 1\n}\nCALL "t"\nLOG x', ("E101", "x")),
            ('INSERT_DOC "c" FROM_VAR x', ("E101", "x")),
            ('UPDATE_DOC "c" DOC_ID 1 WITH_VAR x', ("E101", "x")),
            ('RETRY MAX 2 {\n LOG 1\n} FIX_WITH PROMPT_AGENT "p" INTO x', ("W102", "x")),
        ],
    )
    def test_that_are_not(self, text, expected):
        assert found(text) == [expected]

    def test_what_a_round_sets_is_there_in_the_next(self):
        assert found("FOR i IN [1, 2] {\n IF i > 1 {\n  LOG x\n }\n VAR x = i\n}") == [("W102", "x")]


class TestLastRun:
    def test_is_there_after_a_command_on_every_way(self):
        assert found('IF 1 == 1 {\n RUN "a"\n} ELSE {\n RUN "b"\n}\nLOG LAST_RUN.STDOUT') == []

    def test_each_task_has_its_own(self):
        assert found('RUN "a"\nDEFINE_TASK "t" {\n LOG LAST_RUN.STDOUT\n}') == [("E103", "LAST_RUN.STDOUT")]

    def test_by_itself_is_no_value(self):
        assert found('RUN "a"\nLOG LAST_RUN') == [("E112", "LAST_RUN")]


class TestParallel:
    def test_branches_may_not_write_the_same_file(self):
        text = 'PARALLEL {\n STEP "a" {\n  WRITE "f" "1"\n }\n STEP "b" {\n  APPEND "f" "2"\n }\n}'
        assert found(text) == [("E105", '"f"')]

    def test_they_may_read_the_same(self):
        text = 'VAR a = 1\nPARALLEL {\n STEP "a" {\n  LOG a\n }\n STEP "b" {\n  LOG a\n }\n}'
        assert found(text) == []


class TestTaint:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ('PROMPT_AGENT "p" INTO x\nRUN x', "W130"),
            ('READ "f" AS x\nVAR y = x + "!"\nRUN "{{y | raw}}"', "W130"),
            ('RUN "a"\nMKDIR LAST_RUN.STDOUT', "W131"),
            ('QUERY_DB "q" INTO x\nFOR y IN x {\n READ "{{y.path}}" AS z\n}', "W131"),
            ('PROMPT_AGENT "p" INTO x\nQUERY_DB x INTO rows', "W132"),
            ('VAR x = FILE "a"\nDELETE x', "W131"),
        ],
    )
    def test_is_followed_from_where_it_comes(self, text, code):
        assert [one for one, _ in found(text)] == [code]

    @pytest.mark.parametrize(
        "text",
        [
            'PROMPT_AGENT "p" INTO x\nRUN "echo {{x}}"',
            'READ "f" AS x\nWRITE "g" x',
            'READ "f" AS x\nVAR same = x == "a"\nRUN "{{same | raw}}"',
            'VAR x = "ls"\nRUN x',
            'READ "f" AS x\nVAR x = "safe"\nDELETE x',
        ],
    )
    def test_is_not_where_it_cannot_be(self, text):
        assert found(text) == []


class TestReach:
    def test_what_follows_a_failure_is_never_reached(self):
        assert found("ASSERT false\nLOG 1\nLOG 2") == [("W108", "LOG")]
        assert found("IF true {\n LOG 1\n} ELSE IF 1 == 2 {\n LOG 2\n}") == [("W108", "LOG")]

    def test_a_failure_that_is_caught_ends_nothing(self):
        assert found("TRY {\n ASSERT false\n} CATCH {\n LOG 1\n}\nLOG 2") == []


class TestPlainValues:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("SET_BUDGET EXECUTION_TIME = 5", "E117"),
            ('SET_BUDGET EXECUTION_TIME = "0s"', "E117"),
            ("SET_BUDGET API_CALLS = 2.5", "E118"),
            ("SET_BUDGET API_CALLS = -1", "E118"),
            ("SET_BUDGET COST = true", "E118"),
            ("RETRY MAX 2s {\n}", "E118"),
            ("@temperature high", "E116"),
            ("@network", "E116"),
            ("#TISS_VERSION >= 2.0\nLOG 1", "E115"),
        ],
    )
    def test_that_are_wrong(self, text, code):
        assert [one for one, _ in found(text)] == [code]

    @pytest.mark.parametrize(
        "text",
        [
            "SET_BUDGET EXECUTION_TIME = 5m", "SET_BUDGET COST = 0.5", "@temperature 0.7", "@network deny",
            '@sandbox "txn"', "VAR n = 2\nRETRY MAX n {\n}", '@persona "x"', "#TISS! version=0.9\nLOG 1",
        ],
    )  # fmt: skip
    def test_that_are_right(self, text):
        assert found(text) == []


class TestScripts:
    def test_the_good_one(self):
        assert {code for code, _ in found(GOOD)} <= {"W102", "W130", "W131"}

    def test_of_a_broken_one_nothing_is_said(self):
        assert check(parse(SourceFile("LOG x\nSTEP {"))) == ()

    def test_imported_tasks_can_be_called(self):
        [task] = parse(SourceFile('DEFINE_TASK "t"(a) {\n}')).statements
        assert check(parse(SourceFile('IMPORT "other.tiss"\nCALL "t"(1)')), [task]) == ()

    def test_a_name_with_holes_cannot_be_called(self):
        assert found('VAR n = "t"\nCALL "{{n}}"') == [("E109", '"{{n}}"')]
