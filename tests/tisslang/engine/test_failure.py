"""Failures of runs are what the catalogue says of them."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.diagnostics.catalogue import MISTAKES
from quanta_tissu.tisslang.engine.effects import Outcome, RunCommand
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.running.mock import MockPerformer
from tests.tisslang.engine.trying import Watching, folder, run

CODES = [one for one in MISTAKES if one.code.startswith("R")]


class World(MockPerformer):
    """Does effects in memory, but for those that fail.

    Args:
        code: With which code they fail.
        fails: Whether an action does.
    """

    def __init__(self, code="", fails=lambda action: False, **about):
        super().__init__(**about)
        self._code = code
        self._fails = fails

    def perform(self, effect, prepared, cancelled):
        sleeps = isinstance(effect.action, RunCommand) and effect.action.command == "sleep 60"
        if sleeps and cancelled.wait(0.3):
            return Outcome(problem=("R211", "given up"))
        if self._fails(effect.action):
            return Outcome(problem=(self._code, "it failed"), help="do something else")
        return super().perform(effect, prepared, cancelled)


def _long(action):
    return isinstance(action, RunCommand) and any(len(str(one)) > 1000 for one in action.variables.values())


WORLDS = {
    "R202": lambda: World(commands={"make": 2}),
    "R203": World,
    "R204": lambda: World(commands={"ls": 0}),
    "R205": lambda: World(answers=["red", "blue"]),
    "R206": lambda: World("R206", lambda action: action.op == "PROMPT_AGENT"),
    "R207": lambda: World(
        "R207", lambda action: getattr(action, "schema", None) is not None, answers=["not sure"]
    ),
    "R209": lambda: World("R209", lambda action: "SELEKT" in getattr(action, "query", ""), rows=[[]]),
    "R211": lambda: World(commands={"sleep": 0}),
    "R212": lambda: World("R212", lambda action: getattr(action, "timeout", 60) < 60, commands={"make": 0}),
    "R213": lambda: World("R213", lambda action: action.op == "COMMIT"),
    "R214": lambda: World("R214", _long, files={"book.txt": "word " * 1000}, commands={"wc": 0}),
}
ANSWERS = {"R204": ("deny",), "R208": ("reject: too short",)}


def end(code, text, watcher=None):
    with folder() as root:
        mock = WORLDS.get(code, World)()
        return run(text, root, mock=mock, answers=ANSWERS.get(code, ()), watcher=watcher or Watching())


@pytest.mark.parametrize("mistake", [one for one in CODES if one.code != "R211"], ids=lambda one: one.code)
def test_the_wrong_example_fails_with_this_code(mistake):
    ending = end(mistake.code, mistake.wrong)
    assert ending.status == "failed", ending.error
    assert ending.failure.diagnostic.code == mistake.code


@pytest.mark.parametrize("mistake", CODES, ids=lambda one: one.code)
def test_the_right_example_does_not_fail_in_the_same_world(mistake):
    ending = end(mistake.code, mistake.right)
    assert ending.status == "done", (ending.failure, ending.error)


def test_what_was_given_up_is_no_failure_of_its_own():
    watcher = Watching()
    wrong = next(one.wrong for one in CODES if one.code == "R211")
    ending = end("R211", wrong, watcher)
    assert ending.failure.diagnostic.code == "R202"
    assert "RUN" not in [effect.action.op for effect, _, _ in watcher.ended]


def test_failures_are_the_same_if_only_numbers_in_the_output_differ():
    site = end("", "ASSERT 1 == 2").failure.site

    def failure(label, note, message="it fails"):
        return Failure("R202", message, site, label=label, notes=(note,)).signature()

    first = failure("LAST_RUN.EXIT_CODE is 1", "ran 3 tests in 0.12 s at 0x7f01")
    assert first == failure("LAST_RUN.EXIT_CODE is 1", "ran 3 tests in 0.34 s at 0x7f02")
    assert first != failure("LAST_RUN.EXIT_CODE is 2", "ran 3 tests in 0.12 s at 0x7f01")
    assert first != failure("LAST_RUN.EXIT_CODE is 1", "ran out of memory")
    assert first != failure("LAST_RUN.EXIT_CODE is 1", "ran 3 tests in 0.12 s at 0x7f01", "it fails otherwise")


def test_a_failure_as_a_value_says_what_and_where():
    value = end("", 'LOG "x"\nASSERT 1 == 2, "no"').failure.value()
    assert value["code"] == "R202"
    assert (value["file"], value["line"], value["statement"]) == ("plan.tiss", 2, "1 == 2")
    assert value["message"] == "no (this does not hold: 1 == 2)"
