from __future__ import annotations

import pytest

from quanta_tissu.tisslang.running.people import (
    Answer,
    Approving,
    Denying,
    Nobody,
    Prepared,
    Question,
    read_answer,
)

OPTIONS = {
    "pause": ("continue", "stop"),
    "review": ("approve", "reject"),
    "permit": ("allow", "deny"),
    "choose": ("Short way", "Long way", "Long: by sea"),
    "doubt": ("retry", "skip"),
}


def question(what):
    return Question(key="k", what=what, title="t", shown="s", options=OPTIONS[what], digest="d")


def test_nobody_answers_nothing():
    assert [Nobody().ask(question(what)) for what in OPTIONS] == [None] * len(OPTIONS)


def test_denying_is_harmless_and_chooses_nothing():
    answers = {what: Denying().ask(question(what)) for what in OPTIONS}
    assert {what: one.choice for what, one in answers.items() if one} == {
        "pause": "stop",
        "review": "reject",
        "permit": "deny",
    }


def test_approving_chooses_nothing_either():
    answers = {what: Approving().ask(question(what)) for what in OPTIONS}
    assert {what: one.choice for what, one in answers.items() if one} == {
        "pause": "continue",
        "review": "approve",
        "permit": "allow",
    }


@pytest.mark.parametrize(
    ("what", "text", "choice", "comment"),
    [
        ("review", "approve", "approve", ""),
        ("review", " Reject: too long: by far ", "reject", "too long: by far"),
        ("review", "app", "approve", ""),
        ("review", "2", "reject", ""),
        ("review", "y", "approve", ""),
        ("permit", "no: never", "deny", "never"),
        ("choose", "short", "Short way", ""),
        ("choose", "Long: by sea", "Long: by sea", ""),
        ("choose", "3: I get sick", "Long: by sea", "I get sick"),
        ("doubt", "s", "skip", ""),
    ],
)
def test_answers_are_read_as_people_write_them(what, text, choice, comment):
    assert read_answer(text, question(what), "me") == Answer(choice=choice, by="me", comment=comment)


@pytest.mark.parametrize(
    ("what", "text"),
    [("review", ""), ("review", "0"), ("review", "3"), ("choose", "long"), ("choose", "y"), ("doubt", "x")],
)
def test_what_is_no_answer_is_refused(what, text):
    with pytest.raises(ValueError, match="none of"):
        read_answer(text, question(what), "me")


def test_prepared_answers_are_given_in_order_and_then_another_is_asked():
    person = Prepared(("approve", "stop"), Denying(), "me")
    said = [person.ask(question(what)) for what in ("review", "pause", "permit")]
    assert [(one.choice, one.by) for one in said] == [("approve", "me"), ("stop", "me"), ("deny", "policy")]
