from __future__ import annotations

import pytest

from quanta_tissu.tisslang.running.mock import MockPerformer
from tests.tisslang.engine.trying import Watching, folder, run


def variables(text, **about):
    with folder() as root:
        ending = run(text, root, **about)
    assert ending.status == "done", (ending.failure, ending.error, ending.question)
    return ending.variables


def failure(text, **about):
    with folder() as root:
        ending = run(text, root, **about)
    assert ending.status == "failed", ending.error
    return ending.failure


def commands(text, **about):
    watcher = Watching()
    with folder() as root:
        run(text, root, watcher=watcher, mock=MockPerformer(commands={"": 0}), **about)
    return [one.action for one in watcher.begun if one.action.op == "RUN"]


# --- ways --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "way"), [(1, "first"), (2, "second"), (3, "last")])
def test_if_goes_the_first_way_whose_condition_holds(n, way):
    text = (
        f'VAR n = {n}\nIF n == 1 {{\nVAR w = "first"\n}} ELSE IF n < 3 {{\nVAR w = "second"\n}}'
        ' ELSE {\nVAR w = "last"\n}'
    )
    assert variables(text)["w"] == way


def test_choose_does_what_a_person_says():
    text = 'CHOOSE {\nOPTION "a" {\nVAR w = 1\n}\nOPTION "b" {\nVAR w = 2\n}\n}'
    assert variables(text, answers=("b",))["w"] == 2


def test_for_goes_through_items_and_through_lines():
    text = 'VAR all = ""\nFOR n IN ["a", "b"] {\nVAR all = all + n\n}\nFOR n IN "c\\nd" {\nVAR all = all + n\n}'
    assert variables(text) == {"all": "abcd"}


def test_variables_of_blocks_are_afterwards_what_they_were_however_the_block_ends():
    text = 'VAR n = "outer"\nVAR e = "outer"\n'
    text += 'TRY {\nFOR n IN ["a", "b"] {\nASSERT n == "b"\n}\n} CATCH AS e {\nLOG n\n}'
    assert variables(text) == {"n": "outer", "e": "outer"}


def test_failure_is_only_known_in_the_prompt():
    text = 'VAR failure = "mine"\nRETRY MAX 2 {\nRUN "x"\nASSERT LAST_RUN.EXIT_CODE == 0\n}'
    text += ' FIX_WITH PROMPT_AGENT "m {{failure}}"'
    mock = MockPerformer(commands={"x": [1, 0]}, answers=["?"])
    assert variables(text, mock=mock)["failure"] == "mine"


# --- directives --------------------------------------------------------------------------------------------------


def test_directives_hold_until_the_end_of_their_block():
    text = 'STEP "a" {\n@network allow\nRUN "a"\n}\nRUN "b"'
    assert [one.network for one in commands(text, answers=("allow",))] == [True, False]


@pytest.mark.parametrize(
    "block", ['CHOOSE {\n@sandbox none\nOPTION "a" {\n}\n}', 'PARALLEL {\n@sandbox none\nSTEP "a" {\n}\n}']
)
def test_directives_of_choose_and_parallel_end_with_them(block):
    assert [one.sandbox for one in commands(f'{block}\nRUN "b"', answers=("a",))] == [None]


# --- failures ----------------------------------------------------------------------------------------------------


def test_finally_is_done_in_any_case():
    text = "TRY {\nTRY {\nASSERT 1 == 2\n} FINALLY {\nVAR a = 1\n}\n} CATCH {\nVAR b = 2\n}"
    assert variables(text) == {"a": 1, "b": 2}


def test_catch_knows_what_failed():
    assert variables("VAR c = 0\nTRY {\nASSERT 1 == 2\n} CATCH AS e {\nVAR c = [e.code, e.line]\n}")["c"] == [
        "R202",
        3,
    ]


FAILING = [{"EXIT_CODE": 1, "STDERR": said} for said in ("no module", "no name", "no name")]


def test_retry_stops_when_the_same_failure_comes_back():
    text = 'RETRY MAX 9 {\nRUN "x"\nASSERT LAST_RUN.EXIT_CODE == 0\n}'
    found = failure(text, mock=MockPerformer(commands={"x": FAILING}))
    assert "gave up after 3 attempts: the same failure came back" in found.diagnostic.notes[-1]


def test_retry_goes_on_with_what_did_not_fail():
    text = 'RETRY MAX 3 {\nRUN "x"\nASSERT LAST_RUN.EXIT_CODE == 0\nVAR n = 1\n}'
    assert variables(text, mock=MockPerformer(commands={"x": [FAILING[0], FAILING[1], 0]}))["n"] == 1


def test_a_failed_assertion_shows_its_values_and_the_command():
    found = failure('RUN "make"\nASSERT LAST_RUN.EXIT_CODE == 0', mock=MockPerformer(commands={"make": 3}))
    assert found.diagnostic.label.text == "LAST_RUN.EXIT_CODE is 3"
    assert found.diagnostic.others[0].text == "this command ended with 3"


# --- tasks -------------------------------------------------------------------------------------------------------


def test_a_task_knows_its_parameters_and_nothing_else():
    text = 'DEFINE_TASK "t"(a) {\nVAR b = a + "!"\nLOG b\n}\nVAR b = 1\nCALL "t"("x")'
    assert variables(text) == {"b": 1}


def test_tasks_that_call_each_other_without_end_fail():
    assert failure('DEFINE_TASK "t" {\nCALL "t"\n}\nCALL "t"').diagnostic.code == "R210"


def test_so_do_those_that_stand_in_many_blocks():
    depth = 30
    text = 'DEFINE_TASK "t"(n) {\n' + "IF n == n {\n" * depth + 'CALL "t"(n)\n' + "}\n" * depth + '}\nCALL "t"(1)'
    assert failure(text).diagnostic.code == "R210"


def test_a_step_on_a_copy_that_fails_leaves_nothing():
    mock = MockPerformer()
    text = 'STEP "b" {\n@sandbox txn\nWRITE "b" "b"\n}\nSTEP "a" {\n@sandbox txn\nWRITE "a" "a"\nASSERT 1 == 2\n}'
    with folder() as root:
        run(text, root, mock=mock)
    assert mock.files == {"b": "b"}
