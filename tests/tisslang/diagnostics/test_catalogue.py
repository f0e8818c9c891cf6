import re
from pathlib import Path

import pytest

import quanta_tissu.tisslang as package
from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.analysis.imports import imported_tasks
from quanta_tissu.tisslang.diagnostics.catalogue import BY_CODE, MISTAKES
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse

EACH = pytest.mark.parametrize(
    "mistake", [one for one in MISTAKES if not one.code.startswith("R")], ids=lambda one: one.code
)
FAILURES = pytest.mark.parametrize(
    "mistake", [one for one in MISTAKES if one.code.startswith("R")], ids=lambda one: one.code
)


def refuse(path):
    raise ScriptError(f"{path} is not there")


def codes(text):
    script = parse(SourceFile(text))
    tasks, missing = imported_tasks(script, refuse)
    return {one.code for one in (*script.diagnostics, *missing, *check(script, tasks))}


@EACH
def test_the_wrong_example_has_this_mistake_alone(mistake):
    assert codes(mistake.wrong) == {mistake.code}


@EACH
def test_the_right_example_has_none(mistake):
    assert codes(mistake.right) == set()


@FAILURES
def test_examples_of_failures_in_runs_have_no_error_before_them(mistake):
    for text in (mistake.wrong, mistake.right):
        assert not [code for code in codes(text) if code.startswith("E")]


def test_codes_are_in_order_and_each_is_there_once():
    all_codes = [one.code for one in MISTAKES]
    assert len(set(all_codes)) == len(all_codes)
    assert [code[1:] for code in all_codes] == sorted(code[1:] for code in all_codes)


def test_every_code_that_is_said_is_explained():
    root = Path(package.__file__).parent
    said = {code for path in root.rglob("*.py") for code in re.findall(r'"([EWR]\d{3})"', path.read_text())}
    assert said == set(BY_CODE)
