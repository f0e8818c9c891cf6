"""Facts: what is known, from where, how surely, and since when; what is not confirmed fades.

How strong a fact is at a moment:

    strength = confidence · 2^(-age / h),    h = half_life · 2^(√(1 + n) - 1),    n = confirmations + ln(1 + uses)

- `age` is the time since it was learned or last confirmed. Forgetting is exponential with a half-life that
  practice lengthens, as in half-life regression (Settles & Meeder 2016, "A Trainable Spaced Repetition Model for
  Language Learning", equations 1 and 2, with its feature √(1 + n)). Of the usual choices it has the one parameter
  that its user can set without data: the time after which what nobody has confirmed counts half. The base-level
  activation of ACT-R (a sum of powers of all ages) has no such time and needs every use's date.
- A use shows that a fact is needed, not that it is true: it lengthens the half-life by little, and does not make
  the fact young. A confirmation does both.
- `confidence` is what sources say together, each counted once: 1 - Π (1 - confidence of a source), a noisy or
  (Pearl 1988, section 4.3.2), and what contradicts it takes away in the same way: · Π (1 - confidence of a
  contradiction).

Facts are never overwritten: what is superseded or retracted stays, and says by what and why.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quanta_tissu.errors import ConfigError, ConflictError, NotFoundError
from quanta_tissu.knowledge.embedders import Embedder, default_embedder
from quanta_tissu.knowledge.searchable import (
    CANDIDATES,
    SearchableCollection,
    checked_name,
    checked_time,
    relevances,
)
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.ids import new_id

State = Literal["current", "superseded", "retracted"]

HALF_LIFE = dt.timedelta(days=90)
"""After which what nobody has confirmed counts half, by default."""

_SIMILAR = 0.9  # cosine from which on facts may say the same; only people and models can tell
_MOST_SIMILAR = 3
_FACT = ("subject", "text", "state", "superseded_by", "uses")


@dataclass(frozen=True)
class Source:
    """Where a fact comes from.

    Attributes:
        kind: `document`, `turn`, `run`, `person` ...
        name: Which one: a passage's or turn's id, a run's folder, a name.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Event:
    """Something that happened to a fact.

    Attributes:
        action: `learned`, `confirmed`, `contradicted`, `used`, `superseded` or `retracted`.
        time: When.
        source: On whose word.
        confidence: How sure that was; 0 where it says nothing of it.
        why: A remark.
    """

    action: str
    time: dt.datetime
    source: Source
    confidence: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Fact:
    """A fact.

    Attributes:
        id: Its id.
        subject: What it is about.
        text: What it says.
        state: Whether it is current, superseded or retracted.
        superseded_by: Id of the fact that took its place.
        uses: How often it was used.
        events: What has happened to it, the oldest first; uses are counted only.
    """

    id: str
    subject: str
    text: str
    state: State
    superseded_by: str | None
    uses: int
    events: tuple[Event, ...]

    @property
    def source(self) -> Source:
        """Where it was learned from."""
        return self.events[0].source

    @property
    def confidence(self) -> float:
        """What its sources say together, 0 to 1."""
        by_source: dict[tuple[bool, Source], float] = {}
        for event in self.events:
            if event.action in ("learned", "confirmed", "contradicted"):
                key = (event.action == "contradicted", event.source)
                by_source[key] = max(event.confidence, by_source.get(key, 0.0))
        doubt = math.prod(1 - sure for (against, _), sure in by_source.items() if not against)
        return (1 - doubt) * math.prod(1 - sure for (against, _), sure in by_source.items() if against)

    @property
    def confirmations(self) -> int:
        """How often it was confirmed."""
        return sum(event.action == "confirmed" for event in self.events)

    @property
    def known_since(self) -> dt.datetime:
        """When it was learned or last confirmed."""
        return max(event.time for event in self.events if event.action in ("learned", "confirmed"))

    def strength(self, at: dt.datetime, half_life: dt.timedelta = HALF_LIFE) -> float:
        """How strong it is at a moment, 0 to 1; see the head of this file."""
        age = max(0.0, (at - self.known_since) / half_life)
        practice = self.confirmations + math.log1p(self.uses)
        return self.confidence * math.exp2(-age / math.exp2(math.sqrt(1 + practice) - 1))


@dataclass(frozen=True)
class Remembered:
    """What adding a fact came to.

    Attributes:
        fact: The fact as it is now.
        is_new: Whether it was not known; if it was, it has been confirmed.
        similar: Current facts whose vectors are near: perhaps the same in other words, or what it should
            supersede.
    """

    fact: Fact
    is_new: bool
    similar: tuple[Fact, ...]


@dataclass(frozen=True)
class RecalledFact:
    """A fact that was recalled, and why.

    Attributes:
        fact: The fact.
        score: relevance · strength.
        relevance: How well it fits the question, 0 to 1: the mean of its cosine and of its score by words as a
            share of the best one's.
        strength: How strong it is now.
        words: Its place by words, from 1; None if they did not find it.
        nearness: Cosine between its vector and the question's; None if it was not among the nearest.
    """

    fact: Fact
    score: float
    relevance: float
    strength: float
    words: int | None
    nearness: float | None


class FactMemory:
    """Facts of a database.

    Args:
        db: The database.
        embedder: What makes vectors; by default the sentence encoder if it is installed, vectors by spelling
            otherwise.
        collection: The facts' collection.
        half_life: Time after which what nobody has confirmed counts half.
        clock: Says what time it is.

    Raises:
        ConfigError: The half-life is none.
        DatabaseError: The collection was made with another embedder.
    """

    def __init__(
        self,
        db: Database,
        embedder: Embedder | None = None,
        collection: str = "facts",
        *,
        half_life: dt.timedelta = HALF_LIFE,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        if half_life <= dt.timedelta(0):
            raise ConfigError(f"half_life = {half_life} is no time", hint="timedelta(days=90), for example")
        self.half_life = half_life
        self._db = db
        self._clock = clock
        self._facts = SearchableCollection(
            db,
            default_embedder() if embedder is None else embedder,
            collection,
            text=["subject", "text"],
            values=[["digest"], ["about"]],
        )

    def add(
        self,
        subject: str,
        text: str,
        source: Source,
        *,
        confidence: float = 0.8,
        time: dt.datetime | None = None,
    ) -> Remembered:
        """Remember a fact; one that is current already, in these words about this subject, is confirmed instead.

        Args:
            subject: What it is about, in a few words.
            text: What it says, in a sentence.
            source: Where it comes from.
            confidence: How sure the source is, above 0 to 1.
            time: When it was true; by default now.

        Raises:
            ConfigError: The subject or the text is empty, the confidence none, or the time has no zone.
        """
        checked_name(subject, "a subject")
        _check_text(text)
        event = Event("learned", self._moment(time), source, _checked(confidence))
        vector = self._facts.vector(f"{subject}: {text}")
        similar = self._similar(vector)
        digest = _digest(subject, text)
        with self._db.transaction() as transaction:
            sql = f'SELECT _id FROM "{self._facts.name}" WHERE digest = ? AND state = ?'
            for row in transaction.query(sql, [digest, "current"]):
                event = Event("confirmed", event.time, source, confidence)
                fact = self._change(transaction, str(row["_id"]), event)
                return Remembered(fact, False, tuple(one for one in similar if one.id != fact.id))
            fact = self._insert(transaction, subject, text, digest, event, vector)
        return Remembered(fact, True, similar)

    def confirm(self, id: str, source: Source, *, confidence: float = 0.8, why: str = "") -> Fact:
        """Note that a fact was found true: it is young again and fades more slowly; a new source makes it surer.

        Raises:
            NotFoundError: There is none of this id.
            ConflictError: It is not current.
            ConfigError: The confidence is none.
        """
        return self._note(id, Event("confirmed", self._moment(None), source, _checked(confidence), why))

    def contradict(self, id: str, source: Source, *, confidence: float = 0.8, why: str = "") -> Fact:
        """Note that a source says otherwise, without saying what is true instead: the fact is less sure.

        Raises:
            NotFoundError: As for `confirm`, and its other errors.
        """
        return self._note(id, Event("contradicted", self._moment(None), source, _checked(confidence), why))

    def use(self, id: str) -> Fact:
        """Note that a fact was used. Recalling alone does not count: what is found would be found more and more.

        Raises:
            NotFoundError: As for `confirm`, and ConflictError.
        """
        return self._note(id, None)

    def supersede(
        self,
        id: str,
        text: str,
        source: Source,
        *,
        subject: str | None = None,
        confidence: float = 0.8,
        why: str = "",
    ) -> Fact:
        """Put another fact in a fact's place; the old one stays, and names the new one.

        Args:
            id: The old one's id.
            text: What is true now.
            source: Where that comes from.
            subject: What it is about; by default the same.
            confidence: How sure the source is.
            why: A remark.

        Returns:
            The new fact; the current one in these words, confirmed, if there is one.

        Raises:
            NotFoundError: As for `confirm`, and its other errors.
        """
        _check_text(text)
        subject = self[id].subject if subject is None else checked_name(subject, "a subject")
        moment = self._moment(None)
        vector = self._facts.vector(f"{subject}: {text}")
        digest = _digest(subject, text)
        with self._db.transaction() as transaction:
            old = self._current(transaction, id)
            if old["digest"] == digest:
                raise ConflictError(f"fact {id} says this already", hint="confirm it instead")
            sql = f'SELECT _id FROM "{self._facts.name}" WHERE digest = ? AND state = ?'
            known = [str(row["_id"]) for row in transaction.query(sql, [digest, "current"])]
            event = Event("confirmed" if known else "learned", moment, source, _checked(confidence), why)
            if known:
                new = self._change(transaction, known[0], event)
            else:
                new = self._insert(transaction, subject, text, digest, event, vector)
            gone = Event("superseded", moment, source, why=why)
            self._change(transaction, id, gone, {"state": "superseded", "superseded_by": new.id})
        return new

    def retract(self, id: str, source: Source, *, why: str = "") -> Fact:
        """Take a fact back: it stays, and is not recalled any more.

        Raises:
            NotFoundError: As for `confirm`, and ConflictError.
        """
        return self._note(id, Event("retracted", self._moment(None), source, why=why), {"state": "retracted"})

    # -- finding -------------------------------------------------------------------------------------------------

    def recall(
        self, question: str, k: int = 5, *, minimum: float = 0.05, at: dt.datetime | None = None
    ) -> list[RecalledFact]:
        """Current facts that fit a question, by relevance · strength, the best first.

        Looked at are the 50 facts (or 4k, if that is more) that fit the question best.

        Args:
            question: What one wants to know.
            k: How many at most.
            minimum: Strength below which a fact counts as forgotten.
            at: The moment; by default now.

        Raises:
            ConfigError: The question is empty, or the time has no zone.
        """
        moment = self._moment(at)
        hits = self._facts.search(question, max(CANDIDATES, 4 * k), where="state = ?", parameters=["current"])
        found = []
        for hit, relevance in relevances(hits, self._facts.embedder.relevant):
            fact = _fact(hit.document.id, hit.document.value)
            strength = fact.strength(moment, self.half_life)
            if strength >= minimum:
                words = None if hit.text is None else hit.text.rank
                nearness = None if hit.vector is None else hit.vector.score
                found.append(RecalledFact(fact, relevance * strength, relevance, strength, words, nearness))
        return sorted(found, key=lambda one: (-one.score, one.fact.id))[:k]

    def facts(self, subject: str | None = None, *, all_states: bool = False) -> list[Fact]:
        """Facts in the order in which they were learned.

        Args:
            subject: Only those about this, in any spelling of capitals.
            all_states: Those that are superseded or retracted, too.
        """
        sql = f'SELECT _id, * FROM "{self._facts.name}"'
        conditions, parameters = [], []
        if subject is not None:
            conditions.append("about = ?")
            parameters.append(_plain(subject))
        if not all_states:
            conditions.append("state = ?")
            parameters.append("current")
        sql += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return [_fact(str(row["_id"]), row) for row in self._db.query(f"{sql} ORDER BY _created, _id", parameters)]

    def __getitem__(self, id: str) -> Fact:
        return _fact(id, self._document(self._db, id))

    def __len__(self) -> int:
        return len(self._db[self._facts.name])

    # -- writing -------------------------------------------------------------------------------------------------

    def _note(self, id: str, event: Event | None, changes: Mapping[str, Any] | None = None) -> Fact:
        with self._db.transaction() as transaction:
            self._current(transaction, id)
            return self._change(transaction, id, event, changes)

    def _change(
        self, transaction: Any, id: str, event: Event | None, changes: Mapping[str, Any] | None = None
    ) -> Fact:
        value = {**self._document(transaction, id), **(changes or {})}
        if event is None:
            value["uses"] += 1
        else:
            value["events"] = [*value["events"], _stored(event)]
        transaction[self._facts.name].replace(id, value)
        return _fact(id, value)

    def _insert(self, transaction: Any, subject: str, text: str, digest: str, event: Event, vector: Any) -> Fact:
        value: dict[str, Any] = {"subject": subject, "about": _plain(subject), "text": text, "digest": digest}
        value |= {"state": "current", "superseded_by": None, "uses": 0, "events": [_stored(event)]}
        id = new_id()
        transaction[self._facts.name].insert_many([self._facts.new(value, vector, id)])
        return _fact(id, value)

    def _document(self, scope: Any, id: str) -> dict[str, Any]:
        document = scope[self._facts.name].get(id)
        if document is None:
            raise NotFoundError(
                f"there is no fact {id!r}", hint="`facts()` and `tissu memory fact list` show the ids"
            )
        value: dict[str, Any] = document.value
        return value

    def _current(self, transaction: Any, id: str) -> dict[str, Any]:
        value = self._document(transaction, id)
        if value["state"] != "current":
            hint = f"it is fact {value['superseded_by']} now" if value["superseded_by"] else "add it anew"
            raise ConflictError(f"fact {id} is {value['state']}", hint=hint)
        return value

    def _similar(self, vector: Any) -> tuple[Fact, ...]:
        if not vector.any():
            return ()
        hits = self._db[self._facts.name].search(
            vector=vector, k=_MOST_SIMILAR, where="state = ?", parameters=["current"]
        )
        return tuple(_fact(hit.document.id, hit.document.value) for hit in hits if hit.score >= _SIMILAR)

    def _moment(self, time: dt.datetime | None) -> dt.datetime:
        return checked_time(self._clock() if time is None else time)


def _fact(id: str, value: Mapping[str, Any]) -> Fact:
    events = tuple(Event(**{**event, "source": Source(**event["source"])}) for event in value["events"])
    subject, text, state, superseded_by, uses = (value[name] for name in _FACT)
    return Fact(id, subject, text, state, superseded_by, uses, events)


def _stored(event: Event) -> dict[str, Any]:
    return {**vars(event), "source": vars(event.source)}


def _checked(confidence: float) -> float:
    if not 0 < confidence <= 1:
        raise ConfigError(f"confidence = {confidence} is impossible", hint="above 0, and 1 at most")
    return float(confidence)


def _check_text(text: str) -> None:
    if not text.strip():
        raise ConfigError("the fact is empty", hint="say it in a sentence")


def _plain(text: str) -> str:
    """A text without what does not matter: capitals, kinds of characters, white space, a full stop at the end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .")


def _digest(subject: str, text: str) -> str:
    return hashlib.sha256(f"{_plain(subject)}\0{_plain(text)}".encode(errors="surrogatepass")).hexdigest()[:32]
