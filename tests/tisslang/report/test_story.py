"""Records put together to what happened."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.report.story import tell


@pytest.fixture
def told(tmp_path):
    """Tell what `write` records."""

    def call(write):
        with Journal.create(tmp_path / "run") as journal:
            write(journal)
        return tell(tmp_path / "run")

    return call


def test_what_was_done_is_in_its_step_also_when_steps_run_side_by_side(told):
    def write(journal):
        journal.append("note", key="0:LOG", text="before")
        journal.append("step.begin", key="1:PARALLEL/0:STEP", title="a")
        journal.append("step.begin", key="1:PARALLEL/1:STEP", title="b")
        journal.append("step.begin", key="1:PARALLEL/10:STEP", title="k")
        for key in ("1:PARALLEL/10:STEP/0:LOG", "1:PARALLEL/1:STEP/0:LOG", "1:PARALLEL/0:STEP/0:LOG", "2:LOG"):
            journal.append("note", key=key, text=key)
        journal.append("step.end", key="1:PARALLEL/1:STEP", status="done")

    story = told(write)
    assert [(step.title, step.status, [one.key for one in step.entries]) for step in story.steps] == [
        ("", "open", ["0:LOG"]),
        ("a", "open", ["1:PARALLEL/0:STEP/0:LOG"]),
        ("b", "done", ["1:PARALLEL/1:STEP/0:LOG"]),
        ("k", "open", ["1:PARALLEL/10:STEP/0:LOG"]),
        ("", "open", ["2:LOG"]),
    ]


def test_a_result_is_that_of_its_intent(told):
    def write(journal):
        first = journal.append("effect.intent", key="0:RUN", op="RUN").seq
        second = journal.append("effect.intent", key="0:RUN", op="RUN").seq
        journal.append("effect.result", of=second, key="0:RUN", value=2)
        journal.append("effect.result", of=first, key="0:RUN", value=1)
        journal.append("effect.result", of=99, key="9:RUN", value=3)

    entries = told(write).entries("effect", "effect.result")
    assert [(one.result or {}).get("value") for one in entries] == [1, 2, None]
    assert entries[2].kind == "effect.result"


def test_a_question_belongs_to_what_it_was_about(told):
    def write(journal):
        journal.append("approval.request", key="0:RUN", what="permit", title="may it?", shown="x", digest="1")
        journal.append("approval.answer", key="0:RUN", answer="allow", by="ada", digest="1")
        journal.append("effect.intent", key="0:RUN", op="RUN")
        journal.append("effect.intent", key="1:ASK", op="ASK")
        journal.append("approval.request", key="1:ASK", what="review", title="right?", shown="y", digest="2")
        journal.append("approval.answer", key="1:ASK", answer="approve", by="eve", digest="other")
        journal.append("approval.request", key="2:RUN", what="permit", title="and this?", shown="z", digest="3")
        journal.append("approval.answer", key="3:RUN", answer="allow", digest="4")

    story = told(write)
    run, ask = story.entries("effect")
    assert [(one.shown, one.answer["by"], one.bound) for one in run.approvals] == [("x", "ada", True)]
    assert [(one.shown, one.answer["by"], one.bound) for one in ask.approvals] == [("y", "eve", False)]
    [waiting] = story.entries("approval")
    assert [(one.shown, one.answered) for one in waiting.approvals] == [("z", None)]
    assert [one.shown for one in story.approvals()] == ["x", "y", "z"]
    assert [one.key for one in story.entries("approval.answer")] == ["3:RUN"]


def test_what_was_begun_or_asked_again_after_a_resume_is_not_open(told):
    def write(journal):
        for attempt in range(2):
            journal.append("effect.intent", key="0:ASK", op="ASK")
            journal.append("approval.request", key="0:ASK", what="review", title="right?", shown=f"{attempt}")
            journal.append("run.resume", by="ada")
        journal.append("approval.answer", key="0:ASK", answer="approve", by="ada")
        journal.append("effect.result", key="0:ASK", of=5, status="ok", value={})
        journal.append("effect.intent", key="1:ASK", op="ASK")
        journal.append("approval.request", key="1:ASK", what="review", title="and this?", shown="2")
        journal.append("effect.intent", key="2:RUN", op="RUN")

    story = told(write)
    first, second, third, fourth = story.entries("effect")
    assert (first.again, first.failed, first.approvals[0].again) == (True, False, True)
    assert (second.again, second.failed, second.result["status"]) == (False, False, "ok")
    assert (third.again, third.failed, third.pending) == (False, False, "waits for an answer")
    assert (fourth.again, fourth.failed, fourth.pending) == (False, True, "nobody knows what came of it")
    assert [(one.shown, one.answered is None) for one in story.approvals()] == [("1", False), ("2", True)]


def test_a_budget_counts_what_is_in_its_block_from_there_on(told):
    def write(journal):
        def spend(key, tokens):
            of = journal.append("effect.intent", key=key, op="PROMPT_AGENT").seq
            usage = {"calls": 1, "tokens": tokens, "cost": 0.25}
            journal.append("effect.result", of=of, key=key, usage=usage, seconds=2)

        spend("0:TASK/0:PROMPT_AGENT", 1)
        journal.append("budget", key="0:TASK/1:SET_BUDGET", name="TOKEN_COUNT", limit=100)
        journal.append("budget", key="0:TASK/2:STEP/0:SET_BUDGET", name="API_CALLS", limit=5)
        spend("0:TASK/2:STEP/1:PROMPT_AGENT", 10)
        spend("0:TASK/20:STEP/1:PROMPT_AGENT", 20)
        journal.append("budget", key="0:TASK/3:SET_BUDGET", name="EXECUTION_TIME", limit=60)
        journal.append("budget", key="0:TASK/4:SET_BUDGET", name="COST", limit=2, spent=1.5)
        journal.append("budget", key="0:TASK/5:SET_BUDGET", name="COST", limit="much")
        spend("0:TASK/30:PROMPT_AGENT", 40)

    assert [(one.name, one.limit, one.spent) for one in told(write).budgets] == [
        ("TOKEN_COUNT", 100, 70),
        ("API_CALLS", 5, 1),
        ("EXECUTION_TIME", 60, 2),
        ("COST", 2, 1.5),
    ]


def test_the_script_is_the_one_it_was_last_gone_on_with(told):
    def write(journal):
        journal.append("run.resume", sources={"plan.tiss": "x" * 300, "other.tiss": journal.put(b"other")})

    story = told(write)
    assert story.sources == {"plan.tiss": "x" * 300, "other.tiss": "other"}


def test_a_new_version_of_the_script_is_told_where_it_comes(told):
    def write(journal):
        journal.append("step.begin", key="0:STEP", title="a")
        journal.append("run.resume", by="ada")
        journal.append("divergence", at="0:STEP/0:RUN")
        journal.append("note", key="0:STEP/1:LOG", text="on")
        journal.append("step.end", key="0:STEP", status="done")
        journal.append("run.resume", by="eve")

    inside, outside = told(write).steps
    assert [one.kind for one in inside.entries] == ["run.resume", "divergence", "note"]
    assert [one.kind for one in outside.entries] == ["run.resume"]
