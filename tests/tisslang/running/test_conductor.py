"""Runs that are recorded, replayed and gone on with; what does effects is in memory, the journal is a real one."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.budgets import Usage
from quanta_tissu.tisslang.engine.effects import Outcome
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.running.lifecycle import replay, resume
from quanta_tissu.tisslang.running.mock import MockPerformer
from quanta_tissu.tisslang.running.people import Answer, Denying, Nobody, Prepared
from quanta_tissu.tisslang.running.rules import Rule
from tests.tisslang.engine.trying import Anyone, Watching, any_performer, folder, program, run, scripts

ALLOW = (Rule("allow", {}),)


class Dying(BaseException):
    """The end of a process, as a test can have it."""


class Mortal(MockPerformer):
    """Dies in an effect, after it was done or before.

    Args:
        key: The end of the effect's key.
        after: Whether it was done.
    """

    def __init__(self, key="", after=True, **about):
        super().__init__(**about)
        self._dies = key
        self._after = after

    def perform(self, effect, prepared, cancelled):
        dies = bool(self._dies) and effect.key.endswith(self._dies)
        if dies and not self._after:
            raise Dying
        outcome = super().perform(effect, prepared, cancelled)
        if dies:
            raise Dying
        return outcome


def dead(text, root, mock, **about):
    """A run that died; its folder."""
    with pytest.raises(Dying):
        run(text, root, mock=mock, name="r", **about)
    return root / ".tissu" / "runs" / "r"


def go_on(folder, mock=None, *, answers=(), person=None, watcher=None, **about):
    return resume(
        folder,
        doer=lambda journal, options: mock or MockPerformer(),
        person=person or Prepared(answers, Nobody(), "tester"),
        watcher=watcher or Watching(),
        **about,
    )


def records(folder, kind):
    with Journal.open(folder) as journal:
        return [journal.expanded(one) for one in journal.records if one.kind == kind]


# --- replay ------------------------------------------------------------------------------------------------------


@settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.reuse, Phase.generate)
)
@given(scripts(), st.integers(0, 1000))
def test_a_replay_of_any_run_is_the_run(text, seed):
    first, again = Watching(), Watching()
    with folder() as root:
        ending = run(text, root, mock=any_performer(seed), person=Anyone(seed), watcher=first)
        told = replay(ending.folder, watcher=again)
    assert (told.status, told.variables) == (ending.status, ending.variables)
    assert again.outcomes() == first.outcomes()
    if ending.failure is not None:
        assert told.failure.value() == ending.failure.value()


def test_a_replay_ends_branches_where_the_run_ended_them(tmp_path):
    text = (
        'TRY {\nPARALLEL {\nSTEP "a" {\nRUN "fails"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\n'
        'STEP "b" {\nRUN "slow"\nRUN "never"\n}\n}\n} CATCH AS e {\nVAR said = e.code\n}'
    )

    class Slow(MockPerformer):
        def perform(self, effect, prepared, cancelled):
            if getattr(effect.action, "command", "") == "slow":
                cancelled.wait(10)
            return super().perform(effect, prepared, cancelled)

    mock = Slow(commands={"fails": 1, "": 0})
    ending = run(text, tmp_path, mock=mock)
    assert ending.status == "done"
    assert ending.variables == {"said": "R202"}
    assert not any("never" in one for one in mock.done)
    assert replay(ending.folder, watcher=Watching()).variables == {"said": "R202"}


def test_collect_lets_all_branches_come_to_their_ends(tmp_path):
    text = (
        'PARALLEL {\n@on_error collect\nSTEP "a" {\nASSERT 1 == 2\n}\n'
        'STEP "b" {\nWRITE "b" "b"\nASSERT 3 == 4\n}\nSTEP "c" {\nWRITE "c" "c"\n}\n}'
    )
    mock = MockPerformer()
    ending = run(text, tmp_path, mock=mock)
    assert set(mock.files) == {"b", "c"}
    assert ending.failure.diagnostic.message == "this does not hold: 1 == 2"
    assert ending.failure.diagnostic.others[0].text == "so did this: this does not hold: 3 == 4"


# --- what was in doubt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
def test_writes_in_doubt_are_done_again(tmp_path, after):
    files = {}
    text = 'WRITE "a" "a"\nWRITE "b" "b"\nVAR done = 1'
    where = dead(text, tmp_path, Mortal("1:WRITE", after, files=files))
    mock = MockPerformer(files=files)
    ending = go_on(where, mock, accept_changes=True)
    assert ending.variables == {"done": 1}
    assert files == {"a": "a", "b": "b"}
    assert mock.done == ["1:WRITE"]


def test_a_model_in_doubt_is_asked_again_and_paid_twice(tmp_path):
    text = 'SET_BUDGET API_CALLS = 2\nPROMPT_AGENT "a" INTO a\nPROMPT_AGENT "b" INTO b'
    where = dead(text, tmp_path, Mortal("1:PROMPT_AGENT", answers=["x", "y"]))
    ending = go_on(where, MockPerformer(answers=["x", "y"]))
    assert ending.status == "failed"
    assert ending.failure.diagnostic.code == "R205"


def test_a_command_in_doubt_is_asked_about(tmp_path):
    text = 'RUN "pay"\nVAR code = LAST_RUN.EXIT_CODE'
    where = dead(text, tmp_path, Mortal("RUN", commands={"pay": 0}))
    paused = go_on(where, person=Nobody())
    assert paused.status == "paused"
    assert (paused.question.what, paused.question.shown) == ("doubt", "pay")
    mock = MockPerformer(commands={"pay": 0})
    assert go_on(where, mock, answers=("skip",)).variables == {"code": -1}
    assert mock.done == []
    assert replay(where, watcher=Watching()).variables == {"code": -1}


@pytest.mark.parametrize(("word", "code", "times"), [("retry", 0, 1), ("skip", -1, 0)])
def test_on_resume_says_what_is_done_with_a_command_in_doubt(tmp_path, word, code, times):
    text = f'@on_resume {word}\nRUN "make"\nVAR code = LAST_RUN.EXIT_CODE'
    where = dead(text, tmp_path, Mortal("RUN", commands={"make": 0}))
    mock = MockPerformer(commands={"make": 0})
    assert go_on(where, mock).variables == {"code": code}
    assert len(mock.done) == times


def test_a_step_on_a_copy_is_done_again_as_a_whole(tmp_path):
    files = {}
    text = 'STEP "s" {\n@sandbox txn\nWRITE "a" "a"\nRUN "make"\nWRITE "b" "b"\n}'
    where = dead(text, tmp_path, Mortal("RUN", files=files, commands={"make": 0}))
    assert files == {}
    mock = MockPerformer(files=files, commands={"make": 0})
    assert go_on(where, mock).status == "done"
    assert files == {"a": "a", "b": "b"}
    assert [key.rpartition(":")[2] for key in mock.done] == ["STEP.begin", "WRITE", "RUN", "WRITE", "STEP.commit"]


def test_what_is_recorded_is_not_done_again(tmp_path):
    text = 'RUN "one"\nRUN "two"\nRUN "three"'
    where = dead(text, tmp_path, Mortal("2:RUN", False, commands={"": 0}))
    mock, watcher = MockPerformer(commands={"": 0}), Watching()
    assert go_on(where, mock, answers=("retry",), watcher=watcher).status == "done"
    assert mock.done == ["2:RUN"]
    assert [replayed for _, _, replayed in watcher.ended] == [True, True, False]


# --- people ------------------------------------------------------------------------------------------------------

ANYWHERE = {
    "at the top": "{}",
    "in a step": 'STEP "s" {{\n{}\n}}',
    "in a loop": 'FOR n IN ["a", "b"] {{\n{}\n}}',
    "in an attempt": "RETRY MAX 2 {{\n{}\n}}",
    "in a branch": 'PARALLEL {{\nSTEP "s" {{\n{}\n}}\nSTEP "t" {{\nWRITE "t" "t"\n}}\n}}',
    "in a task": 'DEFINE_TASK "t" {{\n{}\n}}\nCALL "t"',
    "in an option": 'CHOOSE {{\nOPTION "o" {{\n{}\n}}\n}}',
    "on a copy": 'STEP "s" {{\n@sandbox txn\n{}\n}}',
    "in finally": "TRY {{\nLOG 1\n}} FINALLY {{\n{}\n}}",
}


@pytest.mark.parametrize("where", ANYWHERE)
def test_a_run_waits_for_a_person_anywhere_and_goes_on_with_the_answer(tmp_path, where):
    text = 'APPEND "log" "x"\n' + ANYWHERE[where].format('REQUEST_REVIEW "this"\nAPPEND "log" "y"')
    files = {}
    ending = run(text, tmp_path, mock=MockPerformer(files=files), answers=("o",) * (where == "in an option"))
    assert ending.status == "paused"
    assert files["log"] == "x"
    for _ in range(3):
        if ending.status == "paused":
            ending = go_on(ending.folder, MockPerformer(files=files), answers=("approve",), accept_changes=True)
    assert ending.status == "done", ending.error
    assert files["log"] == ("xyy" if where == "in a loop" else "xy")


def test_an_answer_is_bound_to_what_was_shown(tmp_path):
    ending = run(
        'READ "a" AS a\nREQUEST_REVIEW a\nPAUSE', tmp_path, mock=MockPerformer({"a": "one"}), answers=("approve",)
    )
    assert ending.status == "paused"
    edited = program('READ "b" AS a\nREQUEST_REVIEW a\nPAUSE')
    again = go_on(ending.folder, MockPerformer({"b": "another"}), edited=edited, accept_changes=True)
    assert again.status == "paused"
    assert again.question.shown == "another"


def test_the_same_question_in_an_edited_script_keeps_its_answer(tmp_path):
    ending = run('VAR a = 1\nREQUEST_REVIEW "text"\nPAUSE', tmp_path, answers=("approve",))
    again = go_on(ending.folder, edited=program('VAR a = 2\nREQUEST_REVIEW "text"\nPAUSE'), answers=("continue",))
    assert again.variables == {"a": 2}


def test_what_nobody_allows_is_refused(tmp_path):
    text = 'VAR f = "-l"\nRUN "ls {{f | raw}}"'
    mock = MockPerformer(commands={"ls": 0})
    ending = run(text, tmp_path, mock=mock, person=Denying())
    assert ending.failure.diagnostic.code == "R204"
    assert mock.done == []


def test_rules_forbid_whatever_the_command_looks_like(tmp_path):
    rules = (Rule("deny", {"program": ("curl",)}, "no network"),)
    for number, command in enumerate(("ls\\ncurl x", "env curl x", "{{p}} x")):
        text = f'VAR p = "curl"\nRUN "{command}"'
        ending = run(text, tmp_path, mock=MockPerformer(commands={"": 0}), rules=rules, name=f"r{number}")
        assert ending.failure.diagnostic.code == "R204", command


# --- edited scripts ----------------------------------------------------------------------------------------------


def test_an_edited_script_uses_what_is_recorded_up_to_its_first_other_effect(tmp_path):
    text = 'WRITE "a" "1"\nWRITE "b" "1"\nPROMPT_AGENT "say" INTO s\nASSERT s == "yes"'
    files = {}
    ending = run(text, tmp_path, mock=MockPerformer(files, answers=["no"]))
    assert ending.status == "failed"
    mock = MockPerformer(files)
    edited = program('WRITE "a" "1"\nWRITE "b" "2"\nPROMPT_AGENT "say" INTO s\nASSERT s == "no"')
    again = go_on(ending.folder, mock, edited=edited, accept_changes=True)
    assert again.status == "done", again.failure
    assert mock.done == ["1:WRITE"]  # the answer of the model is kept: the question is the same
    assert [one.effect.key for one in again.divergences] == ["1:WRITE"]
    assert replay(ending.folder, watcher=Watching()).variables == {"s": "no"}


def test_a_second_edit_uses_what_the_first_recorded(tmp_path):
    def script(b, d):
        return f'WRITE "a" "1"\nWRITE "b" "{b}"\nWRITE "c" "1"\nASSERT {d} == 1'

    files = {}
    ending = run(script(1, 2), tmp_path, mock=MockPerformer(files))
    first, second = MockPerformer(files), MockPerformer(files)
    go_on(ending.folder, first, edited=program(script(2, 2)), accept_changes=True)
    assert first.done == ["1:WRITE", "2:WRITE"]
    assert go_on(ending.folder, second, edited=program(script(2, 1)), accept_changes=True).status == "done"
    assert second.done == []


# --- the failed step again ---------------------------------------------------------------------------------------


def test_again_asks_the_person_again(tmp_path):
    ending = run('STEP "s" {\nREQUEST_REVIEW "this"\nVAR ok = 1\n}', tmp_path, answers=("reject",))
    assert ending.status == "failed"
    again = go_on(ending.folder, answers=("approve",), again=True)
    assert again.variables == {"ok": 1}
    assert replay(ending.folder, watcher=Watching()).variables == {"ok": 1}


def test_again_asks_the_model_again(tmp_path):
    text = 'STEP "s" {\nPROMPT_AGENT "say" INTO s\nASSERT s == "yes"\n}'
    ending = run(text, tmp_path, mock=MockPerformer(answers=["no"]))
    again = go_on(ending.folder, MockPerformer(answers=["yes"]), again=True)
    assert again.variables == {"s": "yes"}


# --- budgets -----------------------------------------------------------------------------------------------------


def test_branches_share_a_budget(tmp_path):
    branches = "\n".join(f'STEP "{n}" {{\nPROMPT_AGENT "{n}" INTO a{n}\n}}' for n in range(6))
    text = f"SET_BUDGET API_CALLS = 3\nPARALLEL {{\n@on_error collect\n{branches}\n}}"
    mock = MockPerformer(answers=["x"] * 6)
    ending = run(text, tmp_path, mock=mock)
    assert ending.failure.diagnostic.code == "R205"
    assert len(mock.done) == 3


def test_what_is_spent_stays_spent_after_a_resume(tmp_path):
    text = 'SET_BUDGET API_CALLS = 2\nPROMPT_AGENT "a"\nPROMPT_AGENT "b"\nPAUSE\nPROMPT_AGENT "c"'
    ending = run(text, tmp_path, mock=MockPerformer(answers=["x", "y"]))
    again = go_on(ending.folder, MockPerformer(answers=["z"]), answers=("continue",))
    assert again.failure.diagnostic.code == "R205"


def test_what_is_reserved_and_not_needed_is_given_back(tmp_path):
    class Cheap(MockPerformer):
        def estimate(self, effect):
            return Usage(1, 60) if effect.action.op == "PROMPT_AGENT" else Usage()

        def perform(self, effect, prepared, cancelled):
            return Outcome(value="x", usage=Usage(1, 20))

    text = 'SET_BUDGET TOKEN_COUNT = 100\nPROMPT_AGENT "a"\nPROMPT_AGENT "b"\nPROMPT_AGENT "c"\nPROMPT_AGENT "d"'
    ending = run(text, tmp_path, mock=Cheap())
    assert ending.failure.diagnostic.code == "R205"
    assert "60 are spent" in ending.failure.diagnostic.message


def test_the_budget_of_time_counts_what_effects_take(tmp_path):
    commands = {"": {"EXECUTION_TIME": 3.0}}
    text = 'SET_BUDGET EXECUTION_TIME = 5s\nRUN "a"\nRUN "b"\nRUN "c"'
    mock = MockPerformer(commands=commands)
    assert run(text, tmp_path, mock=mock).failure.diagnostic.code == "R205"
    assert len(mock.done) == 2


def test_one_question_at_a_time(tmp_path):
    busy = threading.Lock()

    class One:
        def ask(self, question):
            assert busy.acquire(blocking=False)
            busy.release()
            return Answer(choice="approve", by="tester")

    branches = "\n".join(f'STEP "{n}" {{\nREQUEST_REVIEW "{n}"\n}}' for n in range(4))
    ending = run(f"PARALLEL {{\n{branches}\n}}", tmp_path, person=One())
    assert ending.status == "done"
    assert len(records(ending.folder, "approval.answer")) == 4
