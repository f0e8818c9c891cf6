"""Conversations: nothing is lost, and a window of any size shows the newest turns and summaries of the others."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError, ConflictError, DatabaseError, InvalidDocumentError, NotFoundError
from quanta_tissu.knowledge import NgramEmbedder
from quanta_tissu.knowledge.embedders import count_words
from quanta_tissu.knowledge.memory import ConversationMemory, Summary, Turn
from quanta_tissu.knowledge.memory.turns import spans


class Numbers:
    """A summariser that says which numbers it was given, and remembers how often it was asked."""

    name = "numbers"

    def __init__(self):
        self.calls = []

    def __call__(self, texts, limit):
        self.calls.append(list(texts))
        words = " ".join(texts).replace("user: ", "").split()
        return f"{words[0]} {words[-1]}"


def filled(db, embedder, turns, **settings):
    memory = ConversationMemory(db, embedder, **settings)
    for number in range(1, turns + 1):
        memory.append("talk", "user", f"n{number}")
    return memory


def test_turns_are_kept_in_order_with_times_and_metadata(every_db, embedder):
    memory = ConversationMemory(every_db, embedder)
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    first = memory.append("plan", "user", "We meet on Tuesdays.", time=noon, metadata={"from": ["mail", 7]})
    second = memory.append("plan", "assistant", "Noted.")
    memory.append("other", "user", "Hello.")
    assert (first.number, first.time, first.metadata) == (1, noon, {"from": ["mail", 7]})
    assert list(memory.turns("plan")) == [first, second]
    assert list(memory.turns("plan", 2)) == [second]
    assert list(memory.turns("plan", 1, 1)) == [first]
    assert [(one.name, one.turns) for one in memory.conversations()] == [("plan", 2), ("other", 1)]
    assert str(second) == "assistant: Noted."


def test_a_turn_of_an_id_is_appended_once(every_db, embedder):
    memory = ConversationMemory(every_db, embedder)
    once = memory.append("plan", "user", "Hello.", id="run-7/step-1")
    assert memory.append("plan", "user", "Hello again.", id="run-7/step-1") == once
    assert memory["plan"].turns == 1
    with pytest.raises(ConflictError, match="another conversation has a turn 'run-7/step-1'"):
        memory.append("other", "user", "Hello.", id="run-7/step-1")


def test_what_fits_is_shown_word_for_word(every_db, embedder):
    memory = filled(every_db, embedder, 5)
    window = memory.window("talk", 1000)
    assert window.summaries == ()
    assert window.text == "user: n1\nuser: n2\nuser: n3\nuser: n4\nuser: n5\n"
    assert window.tokens == 15
    assert memory.window("talk", 15).turns == window.turns
    assert memory.summaries("talk") == []


def test_what_does_not_fit_is_summed_up_and_stays(every_db, embedder):
    summariser = Numbers()
    memory = filled(every_db, embedder, 20, summariser=summariser, fan=4)
    window = memory.window("talk", 45)
    # 34 of the 45 tokens are for turns of 3 each; what comes before n10 ends in the group of n9 to n12
    assert [turn.number for turn in window.turns] == list(range(10, 21))
    assert window.summaries == (Summary(1, 12, "n1 n12", "numbers"),)
    assert window.text.startswith("(summary of turns 1-12: n1 n12)\nuser: n10\n")
    assert window.messages[0] == {"role": "system", "content": "(summary of turns 1-12: n1 n12)"}
    assert window.messages[1] == {"role": "user", "content": "n10"}
    assert window.tokens == sum(count_words(window.text.splitlines())) <= 45
    assert len(list(memory.turns("talk"))) == 20
    kept = memory.summaries("talk")
    assert [(one.first, one.last) for one in kept] == [(1, 12), (1, 4), (5, 8), (9, 12)]
    asked = len(summariser.calls)
    assert memory.window("talk", 45) == window
    assert len(summariser.calls) == asked, "nothing is summed up twice"


def test_summaries_grow_by_one_for_each_group(db, embedder):
    summariser = Numbers()
    memory = ConversationMemory(db, embedder, summariser=summariser, fan=3)
    for number in range(1, 200):
        memory.append("talk", "user", f"n{number}")
        window = memory.window("talk", 400)
        assert window.tokens <= 400
    assert all(len(call) <= 3 for call in summariser.calls)
    assert len(summariser.calls) <= 200 / 2


@pytest.mark.parametrize("budget", [12, 15, 25, 60, 200])
def test_a_long_conversation_fits_any_window(db, embedder, budget):
    memory = filled(db, embedder, 150, fan=3, summary_tokens=20)
    window = memory.window("talk", budget)
    assert window.tokens == sum(count_words(window.text.splitlines())) <= budget
    assert window.turns[-1].text == "n150"
    first = window.turns[0].number
    if window.summaries:
        assert window.left_out is None
        assert window.summaries[0].first == 1
        assert window.summaries[-1].last >= first - 1
        assert all(a.last + 1 == b.first for a, b in pairwise(window.summaries))
    else:
        assert window.left_out == (1, first - 1)


def test_a_window_that_the_newest_turn_fills_says_what_is_left_out(db, embedder):
    memory = filled(db, embedder, 9)
    window = memory.window("talk", 3)
    assert [turn.text for turn in window.turns] == ["n9"]
    assert window.left_out == (1, 8)
    with pytest.raises(ConfigError, match="newest turn of 'talk' has 3 tokens, the window 2"):
        memory.window("talk", 2)


def test_a_group_that_is_not_whole_is_summed_up_as_far_as_needed(db, embedder):
    memory = ConversationMemory(db, embedder, summariser=Numbers(), fan=8)
    for text in ["n1", "n2", "n3", "n4", "n5", "n6", "a turn of very many words " * 8]:
        memory.append("talk", "user", text)
    window = memory.window("talk", 64)
    assert window.summaries == (Summary(1, 6, "n1 n6", "numbers"),)
    assert [turn.number for turn in window.turns] == [7]


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(2, 9))
def test_spans_cover_everything_before_with_few_whole_groups(last, more, fan):
    turns = last + more
    found = spans(last, turns, fan)
    assert found[0][0] == 1
    assert all(a[1] + 1 == b[0] for a, b in pairwise(found))
    assert last <= found[-1][1] < last + fan
    assert found[-1][1] <= turns
    sizes = [end - start + 1 for start, end in found]
    for size in sizes[:-1]:
        while size % fan == 0:
            size //= fan
        assert size == 1
    assert sizes == sorted(sizes, reverse=True)
    assert all(sizes.count(size) < fan for size in sizes)


def test_summaries_can_be_made_again_by_another_summariser(every_db, embedder):
    memory = filled(every_db, embedder, 20, fan=4)
    assert memory.window("talk", 45).summaries[0].made_by == "extractive"
    other = ConversationMemory(every_db, embedder, summariser=Numbers(), fan=4)
    assert other.window("talk", 45).summaries[0].made_by == "extractive"
    assert other.forget_summaries("talk") == 4
    assert other.window("talk", 45).summaries[0].made_by == "numbers"


def test_a_function_is_a_summariser_and_its_long_summaries_are_cut(db, embedder):
    def talkative(texts, limit):
        return "word " * 500

    memory = filled(db, embedder, 40, summariser=talkative, summary_tokens=10)
    assert memory.window("talk", 60).summaries[0].made_by == "talkative"
    assert {count_words([one.text])[0] for one in memory.summaries("talk")} == {10}


def test_where_a_summariser_says_nothing_sentences_are_quoted(db, embedder):
    memory = filled(db, embedder, 40, summariser=lambda texts, limit: " \n")
    assert {one.made_by for one in memory.window("talk", 60).summaries} == {"extractive"}


def test_without_a_summariser_sentences_are_quoted_and_that_is_said(db, embedder):
    memory = filled(db, embedder, 40)
    window = memory.window("talk", 60)
    assert str(window.summaries[0]).startswith("(quoted from turns 1-")


def test_old_turns_are_found(every_db, embedder):
    memory = filled(every_db, embedder, 30)
    memory.append("other", "user", "The key is under the mat.")
    best = memory.search("where is the key?")[0]
    assert (best.turn.text, best.words) == ("The key is under the mat.", 1)
    assert 0 < best.nearness < 1
    assert isinstance(best.turn, Turn)
    assert [one.turn.text for one in memory.search("n7", 1, conversation="talk")] == ["n7"]
    assert all(one.turn.conversation == "talk" for one in memory.search("key", conversation="talk"))


def test_a_deleted_conversation_is_gone_and_others_stay(every_db, embedder):
    memory = filled(every_db, embedder, 20, fan=4)
    memory.append("other", "user", "Hello.")
    memory.window("talk", 40)
    assert memory.delete("talk") == 20
    assert [one.name for one in memory.conversations()] == ["other"]
    assert len(every_db["conversations_turns"]) == 1
    assert len(every_db["conversations_summaries"]) == 0
    assert memory.append("talk", "user", "Anew.").number == 1
    with pytest.raises(NotFoundError, match="no conversation 'nobody'"):
        memory.delete("nobody")


def test_a_summary_of_a_conversation_that_was_deleted_meanwhile_is_not_kept(db, embedder):
    def deleting(texts, limit):
        if "talk" in [one.name for one in memory.conversations()]:
            memory.delete("talk")
        return "gone"

    memory = filled(db, embedder, 20, summariser=deleting, fan=4)
    memory.window("talk", 40)
    assert len(db["conversations_summaries"]) == 0


def test_a_memory_is_there_when_it_is_opened_again_and_keeps_its_embedder(every_db, embedder):
    filled(every_db, embedder, 3)
    assert ConversationMemory(every_db, embedder)["talk"].turns == 3
    with pytest.raises(DatabaseError, match="made with the embedder ngrams-256, not with ngrams-64"):
        ConversationMemory(every_db, NgramEmbedder(64))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.append("", "user", "x"), ConfigError, "'' is no name of a conversation"),
        (lambda m: m.append("a", "a\nb", "x"), ConfigError, "is no name of a role"),
        (lambda m: m.append("a", "user", "x", time=dt.datetime(2026, 1, 1)), ConfigError, "no time zone"),
        (lambda m: m.append("a", "user", "x", metadata={"a": object()}), InvalidDocumentError, "object"),
        (lambda m: m.window("a", 10), NotFoundError, "no conversation 'a'"),
        (lambda m: m.search(" "), ConfigError, "the question is empty"),
    ],
)
def test_what_means_nothing_is_refused(db, embedder, call, error, message):
    memory = ConversationMemory(db, embedder)
    with pytest.raises(error, match=message):
        call(memory)
    assert memory.conversations() == []


def test_impossible_settings_are_refused(db, embedder):
    with pytest.raises(ConfigError, match="fan = 1 and summary_tokens = 96 are impossible"):
        ConversationMemory(db, embedder, fan=1)
