"""Facts: nothing is overwritten, what is not confirmed fades, and recall weighs how well and how surely."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError, ConflictError, NotFoundError
from quanta_tissu.knowledge.memory import FactMemory, Source
from quanta_tissu.knowledge.memory.facts import Event, Fact

ADA, MAIL, RUN = Source("person", "ada"), Source("document", "mail.md"), Source("run", "runs/7")
START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def facts(every_db, embedder, clock):
    return FactMemory(every_db, embedder, half_life=dt.timedelta(days=10), clock=clock)


def fact(*events, uses=0):
    return Fact("id", "s", "t", "current", None, uses, tuple(events))


def test_a_fact_keeps_where_it_comes_from(facts):
    made = facts.add("tea", "Ada drinks green tea.", MAIL, confidence=0.7)
    assert made.is_new
    assert made.similar == ()
    assert facts[made.fact.id] == made.fact
    assert (made.fact.source, made.fact.known_since) == (MAIL, START)
    assert made.fact.confidence == pytest.approx(0.7)
    assert str(made.fact.source) == "document mail.md"
    assert facts.facts() == [made.fact]
    assert len(facts) == 1


@pytest.mark.parametrize(
    "again", ["Ada drinks green tea.", "ada  drinks GREEN tea", "Ada drinks green\u00a0tea. "]
)
def test_the_same_fact_again_confirms_it(facts, again):
    first = facts.add("tea", "Ada drinks green tea.", MAIL).fact
    made = facts.add("Tea", again, RUN)
    assert (made.is_new, made.fact.id, made.fact.text) == (False, first.id, "Ada drinks green tea.")
    assert [event.action for event in made.fact.events] == ["learned", "confirmed"]
    assert made.fact.confidence == pytest.approx(1 - 0.2 * 0.2)
    assert len(facts) == 1


def test_what_may_be_the_same_is_shown_and_not_merged(facts):
    text = "The whole team always meets on Tuesdays at noon in the hall"
    first = facts.add("meetings", text, MAIL).fact
    made = facts.add("meetings", f"{text} upstairs", MAIL)
    assert made.is_new
    assert made.similar == (first,)
    assert facts.add("weather", "It rains in November.", MAIL).similar == ()


def test_strength_halves_with_each_half_life(facts, clock):
    made = facts.add("tea", "Ada drinks green tea.", MAIL, confidence=0.8).fact
    for days, strength in ((0, 0.8), (10, 0.4), (20, 0.2), (5, 0.8 * 2**-0.5)):
        assert made.strength(START + dt.timedelta(days=days), facts.half_life) == pytest.approx(strength)
    clock.pass_days(10)
    [found] = facts.recall("what tea does Ada drink?")
    assert found.strength == pytest.approx(0.4)
    assert found.score == pytest.approx(found.relevance * 0.4)


def test_a_confirmation_makes_a_fact_young_and_lasting(facts, clock):
    made = facts.add("tea", "Ada drinks green tea.", MAIL, confidence=0.8).fact
    clock.pass_days(30)
    confirmed = facts.confirm(made.id, MAIL, confidence=0.8)
    assert confirmed.confidence == pytest.approx(0.8), "a source counts once"
    assert confirmed.strength(clock(), facts.half_life) == pytest.approx(0.8)
    slower = 10 * 2 ** (math.sqrt(2) - 1)
    assert confirmed.strength(clock() + dt.timedelta(days=slower), facts.half_life) == pytest.approx(0.4)
    assert facts.confirm(made.id, ADA, confidence=0.5).confidence == pytest.approx(0.9)


def test_a_use_makes_a_fact_last_a_little_longer_but_not_younger(facts, clock):
    made = facts.add("tea", "Ada drinks green tea.", MAIL).fact
    later = START + dt.timedelta(days=10)
    for _ in range(3):
        used = facts.use(made.id)
    assert (used.uses, used.known_since) == (3, START)
    confirmed = fact(*made.events, Event("confirmed", START, MAIL, 0.8))
    half_life = facts.half_life
    assert made.strength(later, half_life) < used.strength(later, half_life)
    assert fact(*made.events, uses=1).strength(later, half_life) < confirmed.strength(later, half_life)
    facts.recall("what tea does Ada drink?")
    assert facts[made.id].uses == 3


def test_a_contradiction_makes_a_fact_less_sure(facts):
    made = facts.add("tea", "Ada drinks green tea.", MAIL, confidence=0.8).fact
    doubted = facts.contradict(made.id, RUN, confidence=0.5, why="it said coffee")
    assert doubted.confidence == pytest.approx(0.4)
    assert doubted.known_since == START
    assert facts.contradict(made.id, RUN, confidence=0.5).confidence == pytest.approx(0.4)
    assert doubted.events[-1].why == "it said coffee"


def test_a_superseded_fact_stays_and_names_its_successor(facts):
    old = facts.add("tea", "Ada drinks green tea.", MAIL).fact
    new = facts.supersede(old.id, "Ada drinks black tea.", ADA, why="she said so")
    old = facts[old.id]
    assert (old.state, old.superseded_by, old.events[-1].why) == ("superseded", new.id, "she said so")
    assert (new.subject, new.source) == ("tea", ADA)
    assert [one.fact.id for one in facts.recall("what tea does Ada drink?")] == [new.id]
    assert facts.facts() == [new]
    assert facts.facts(all_states=True) == [old, new]
    with pytest.raises(ConflictError, match=f"fact {old.id} is superseded") as caught:
        facts.confirm(old.id, ADA)
    assert new.id in caught.value.hint
    assert facts.add("tea", "Ada drinks green tea.", RUN).is_new, "what is superseded can become true again"


def test_a_fact_can_be_superseded_by_one_that_is_known(facts):
    old = facts.add("tea", "Ada drinks green tea.", MAIL).fact
    known = facts.add("tea", "Ada drinks black tea.", MAIL).fact
    assert facts.supersede(old.id, "ada drinks black tea", ADA).id == known.id
    assert facts[known.id].confirmations == 1
    with pytest.raises(ConflictError, match="says this already"):
        facts.supersede(known.id, "Ada drinks black tea", ADA)
    assert facts[known.id].state == "current"


def test_a_retracted_fact_is_not_recalled(facts):
    made = facts.add("tea", "Ada drinks green tea.", MAIL).fact
    gone = facts.retract(made.id, ADA, why="a joke")
    assert (gone.state, gone.events[-1].why) == ("retracted", "a joke")
    assert facts.recall("what tea does Ada drink?") == []
    with pytest.raises(ConflictError, match="is retracted"):
        facts.use(made.id)


def test_recall_weighs_relevance_by_strength(facts, clock):
    sure = facts.add("tea", "Ada drinks green tea.", MAIL, confidence=0.9).fact
    rumour = facts.add("tea", "Ada drinks much green tea.", RUN, confidence=0.2).fact
    facts.add("weather", "It rains in November.", MAIL)
    found = facts.recall("does Ada drink green tea?")
    assert [one.fact.id for one in found] == [sure.id, rumour.id], "what does not fit is not recalled"
    assert found[0].words is not None
    assert 0 < found[1].nearness < 1
    assert [one.fact.id for one in facts.recall("green tea", 1)] == [sure.id]
    clock.pass_days(25)
    assert [one.fact.id for one in facts.recall("green tea")] == [sure.id], "the rumour is forgotten"
    assert len(facts.recall("green tea", minimum=0.0)) == 2
    assert len(facts.recall("green tea", at=START)) == 2


def test_facts_about_a_subject(facts):
    tea = facts.add("Tea", "Ada drinks green tea.", MAIL).fact
    facts.add("weather", "It rains in November.", MAIL)
    assert facts.facts("tea") == [tea]


def test_a_fact_without_letters_is_found_by_nothing_but_listed(facts):
    made = facts.add("?", "!?", MAIL)
    assert facts.facts() == [made.fact]
    assert facts.recall("?") == []


@given(
    st.floats(0.01, 1), st.lists(st.tuples(st.booleans(), st.floats(0.01, 1), st.integers(0, 400)), max_size=5),
    st.integers(0, 50), st.integers(0, 4000),
)  # fmt: skip
def test_strength_is_a_share_that_only_falls_with_time(first, later, uses, days):
    events = [Event("learned", START, ADA, first)]
    for number, (confirms, sure, day) in enumerate(later):
        action = "confirmed" if confirms else "contradicted"
        events.append(Event(action, START + dt.timedelta(days=day), Source("run", str(number)), sure))
    one = fact(*events, uses=uses)
    at = one.known_since + dt.timedelta(days=days)
    assert 0 <= one.strength(at + dt.timedelta(days=1)) <= one.strength(at) <= one.confidence <= 1
    assert one.strength(at) <= fact(*events, uses=uses + 1).strength(at)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.add("", "x", ADA), ConfigError, "'' is no name of a subject"),
        (lambda f: f.add("x", " ", ADA), ConfigError, "the fact is empty"),
        (lambda f: f.add("x", "y", ADA, confidence=0), ConfigError, "confidence = 0 is impossible"),
        (lambda f: f.add("x", "y", ADA, confidence=1.1), ConfigError, "confidence = 1.1 is impossible"),
        (lambda f: f.add("x", "y", ADA, time=dt.datetime(2026, 1, 1)), ConfigError, "no time zone"),
        (lambda f: f.confirm("x", ADA), NotFoundError, "there is no fact 'x'"),
        (lambda f: f.supersede("x", "y", ADA), NotFoundError, "there is no fact 'x'"),
        (lambda f: f.recall(""), ConfigError, "the question is empty"),
    ],
)
def test_what_means_nothing_is_refused(db, embedder, call, error, message):
    memory = FactMemory(db, embedder)
    with pytest.raises(error, match=message):
        call(memory)
    assert len(memory) == 0


def test_a_half_life_of_nothing_is_refused(db, embedder):
    with pytest.raises(ConfigError, match="half_life = 0:00:00 is no time"):
        FactMemory(db, embedder, half_life=dt.timedelta(0))
