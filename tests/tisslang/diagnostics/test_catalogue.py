import re
from pathlib import Path

import pytest

import quanta_tissu.tisslang as package
from quanta_tissu.tisslang.diagnostics.catalogue import BY_CODE, MISTAKES
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse

EACH = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.code)


@EACH
def test_the_wrong_example_has_this_mistake_alone(mistake):
    assert {one.code for one in parse(SourceFile(mistake.wrong)).diagnostics} == {mistake.code}


@EACH
def test_the_right_example_has_none(mistake):
    assert parse(SourceFile(mistake.right)).diagnostics == ()


def test_codes_are_in_order_and_each_is_there_once():
    codes = [one.code for one in MISTAKES]
    assert codes == sorted(set(codes))


def test_every_code_that_is_said_is_explained():
    root = Path(package.__file__).parent
    said = {code for path in root.rglob("*.py") for code in re.findall(r'"([EW]\d{3})"', path.read_text())}
    assert said == set(BY_CODE)
