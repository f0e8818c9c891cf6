"""Feedback: ratings and corrections that change what later searches for similar questions find, and can be undone.

Each record is about a question q' and some passages. Its weight for another question q grows with their
similarity:

    w = max(0, (cos(q, q') - similar) / (1 - similar)), and 0 if they name different things

so that a question below the threshold `similar` is not touched at all. Vectors hardly tell "What does json.load
do?" from "What does json.loads do?"; hence what stands in a question as the name of something (words with capitals
inside a sentence, with digits, dots or underscores) must be the same in both, or be named in one of them only. To
the score of a passage, which is between 0 and 2 (words and meaning, 0 to 1 each), a search adds

    move = tanh(Σ w · vote) + 3 · w* · (1 if pinned, -1 if demoted)

- A vote is 1 or -1, shared equally by the passages of an answer. However many there are, they move a passage by
  less than 1: what one of the two ways of finding can give. Of votes by one person for the same question and
  passage the last one counts.
- w* is the weight of the most similar question for which the passage is pinned or demoted (of equal ones the last
  one counts): for the very same question that is more than everything else can give together.
- A corrected answer is a passage of its own, pinned for its question.

Nothing else is changed. Records are kept for ever; one that is undone says by whom, when and why, and counts no
more, so that rankings are exactly what they were without it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from quanta_tissu.errors import ConfigError, ConflictError, NotFoundError
from quanta_tissu.knowledge.answering import Answer
from quanta_tissu.knowledge.embedders import Embedder, Vectors
from quanta_tissu.knowledge.passages import Block, FoundPassage, split
from quanta_tissu.knowledge.searchable import MEANING, SearchableCollection, checked_name
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.ids import new_id

if TYPE_CHECKING:
    from quanta_tissu.tissdb.transaction import Transaction

Kind = Literal["rating", "pin", "demotion", "correction"]

SIMILAR = 0.85
"""Cosine of two questions from which on what was said of one counts for the other; docs/experiments.md."""

_PINNED = 3.0

_NEAREST = 64
"""Records of the most similar questions that count."""

_NAME = re.compile(r"\w+(?:[._]\w+)*")
_SHOWN = 200  # characters of a passage that are kept with a record


@dataclass(frozen=True)
class About:
    """The passage that a record is about, as it was.

    Attributes:
        digest: Tells it from others, wherever it stands: a file that is added again keeps its feedback.
        where: Its place.
        text: Its beginning.
    """

    digest: str
    where: str
    text: str


@dataclass(frozen=True)
class Undone:
    """That a record counts no more.

    Attributes:
        who: Who undid it.
        time: When.
        why: Why.
    """

    who: str
    time: dt.datetime
    why: str


@dataclass(frozen=True)
class Record:
    """Feedback that was given.

    Attributes:
        id: Its id.
        kind: `rating`, `pin`, `demotion` or `correction`.
        question: For which question.
        about: Passages.
        value: 1 for a good word, -1 for a bad one.
        who: Who gave it.
        time: When.
        why: Why.
        undone: Whether it counts no more.
    """

    id: str
    kind: Kind
    question: str
    about: tuple[About, ...]
    value: int
    who: str
    time: dt.datetime
    why: str
    undone: Undone | None


class Feedback:
    """Feedback on the passages of a knowledge base, in a collection with `_feedback` after its name.

    Args:
        db: The database.
        embedder: What makes vectors.
        passages: The collection of the passages.
        limit: Tokens of a passage at most.
        similar: Cosine of two questions from which on what was said of one counts for the other.
    """

    def __init__(
        self, db: Database, embedder: Embedder, passages: str, *, limit: int, similar: float = SIMILAR
    ) -> None:
        self._db = db
        self._embedder = embedder
        self._passages = passages
        self._name = f"{passages}_feedback"
        self._limit = limit
        self.similar = similar

    # -- giving --------------------------------------------------------------------------------------------------

    def rate(
        self,
        question: str,
        what: FoundPassage | Sequence[FoundPassage] | Answer,
        good: bool,
        *,
        who: str = "local",
        why: str = "",
    ) -> Record:
        """Say that a passage or an answer was good, or that it was not, for a question.

        Args:
            question: The question.
            what: A passage, several, or an answer, which stands for the passages that it cites.
            good: Whether it was.
            who: Who says so.
            why: Why.

        Raises:
            ConfigError: The question has no words, or there is no passage.
            NotFoundError: A passage is not there any more.
        """
        if isinstance(what, Answer):
            what = list(what.citations.values())
        chosen = [what] if isinstance(what, FoundPassage) else list(what)
        if not chosen:
            raise ConfigError("there is no passage to rate", hint="an answer that cites nothing cannot be rated")
        return self._record("rating", question, chosen, 1 if good else -1, who, why)

    def pin(self, question: str, passage: FoundPassage, *, who: str = "local", why: str = "") -> Record:
        """Put a passage first for questions like this one.

        Raises:
            ConfigError: As for `rate`, and NotFoundError.
        """
        return self._record("pin", question, [passage], 1, who, why)

    def demote(self, question: str, passage: FoundPassage, *, who: str = "local", why: str = "") -> Record:
        """Put a passage last for questions like this one.

        Raises:
            ConfigError: As for `rate`, and NotFoundError.
        """
        return self._record("demotion", question, [passage], -1, who, why)

    def correct(self, question: str, answer: str, *, who: str = "local", why: str = "") -> Record:
        """Give the right answer to a question: it becomes a passage, found first for questions like this one.

        Its source is `correction` and the record's id; an answer that is too long for a passage becomes several.

        Raises:
            ConfigError: The question has no words, or the answer is empty.
        """
        if not answer.strip():
            raise ConfigError("the corrected answer is empty", hint="say what is right")
        id = new_id()
        heading = " ".join(question.split())
        block = Block(answer.strip("\n"), (heading,), 1, len(answer.strip("\n").splitlines()))
        passages = split([block], self._embedder.measure, limit=self._limit, overlap=0)
        vectors = self._embedder.embed([passage.embedded for passage in passages])
        made = [
            FoundPassage(
                new_id(), f"correction {id}", heading, one.text, "line", one.first, one.last, 0.0, None, None
            )
            for one in passages
        ]

        def insert(transaction: Transaction) -> list[str]:
            for passage, found, vector in zip(passages, made, vectors, strict=True):
                value: dict[str, Any] = {"source": found.source, "unit": "line", "first": found.first}
                value |= {"last": found.last, "heading": heading, "text": found.text, "digest": passage.digest}
                transaction[self._passages].insert(
                    value, id=found.id, vectors={MEANING: vector} if vector.any() else {}
                )
            return [found.id for found in made]

        return self._record("correction", question, made, 1, who, why, id=id, insert=insert)

    # -- looking back --------------------------------------------------------------------------------------------

    def records(self, *, undone: bool = True) -> list[Record]:
        """All feedback in the order in which it was given.

        Args:
            undone: With what counts no more.
        """
        found = [_of_document(document.id, document.value) for document in self._db[self._name].scan()]
        return [record for record in found if undone or record.undone is None]

    def __getitem__(self, id: str) -> Record:
        return _of_document(id, self._document(self._db, id))

    def undo(self, id: str, *, who: str = "local", why: str = "") -> Record:
        """Let feedback count no more: rankings are what they would be without it. The record stays.

        Raises:
            NotFoundError: There is none of this id.
            ConflictError: It is undone already.
        """
        checked_name(who, "a person")
        with self._db.transaction() as transaction:
            value = self._document(transaction, id)
            if value["undone"] is not None:
                raise ConflictError(f"feedback {id} is undone already", hint="`feedback.records()` says by whom")
            passages = transaction[self._passages]
            for made in value["made"]:
                if made in passages:
                    passages.delete(made)
            value |= {"active": False, "undone": {"who": who, "time": dt.datetime.now(dt.UTC), "why": why}}
            transaction[self._name].replace(id, value)
        return _of_document(id, value)

    # -- counting ------------------------------------------------------------------------------------------------

    def moves(self, question: str, vector: Vectors) -> dict[str, float]:
        """By how much the scores of passages move, by their digests, for a question and its vector."""
        collection = self._db[self._name]
        if not collection.count():
            return {}
        hits = collection.search(vector=vector, k=_NEAREST, where="active = ?", parameters=[True])
        votes: dict[str, float] = defaultdict(float)
        fixed: dict[str, tuple[float, int]] = {}
        seen = set()
        named = names(question)
        for hit in sorted(hits, key=lambda hit: hit.document.id, reverse=True):  # ids are in order of time
            weight = (hit.score - self.similar) / (1 - self.similar)
            value: Any = hit.document.value
            others = names(value["question"])
            if weight <= 0 or not (named <= others or others <= named):
                continue
            for about in value["about"]:
                digest = about["digest"]
                if value["kind"] != "rating":
                    if weight > fixed.get(digest, (0.0, 0))[0]:
                        fixed[digest] = (weight, value["value"])
                elif (vote := (value["who"], value["question"], digest)) not in seen:
                    seen.add(vote)
                    votes[digest] += weight * value["value"] / len(value["about"])
        moves = {digest: math.tanh(total) for digest, total in votes.items()}
        for digest, (weight, sign) in fixed.items():
            moves[digest] = moves.get(digest, 0.0) + _PINNED * min(weight, 1.0) * sign
        return moves

    # -- documents -----------------------------------------------------------------------------------------------

    def _record(
        self,
        kind: Kind,
        question: str,
        passages: Sequence[FoundPassage],
        value: int,
        who: str,
        why: str,
        *,
        id: str | None = None,
        insert: Callable[[Transaction], list[str]] = lambda transaction: [],
    ) -> Record:
        checked_name(who, "a person")
        if not question.strip() or not (vector := self._embedder.embed([question])[0]).any():
            raise ConfigError(f"the question {question!r} has no words", hint="say what was asked")
        records = SearchableCollection(self._db, self._embedder, self._name, text=["question"])
        id = new_id() if id is None else id
        about = {"kind": kind, "question": " ".join(question.split()), "value": value, "who": who, "why": why}
        with self._db.transaction() as transaction:
            stored = transaction[self._passages]
            if "digest" not in stored.indexes:
                stored.create_index("digest")
            made = insert(transaction)
            document = about | {"time": dt.datetime.now(dt.UTC), "active": True, "undone": None, "made": made}
            document["about"] = [_about(passage, stored.get(passage.id)) for passage in passages]
            transaction[self._name].insert_many([records.new(document, vector, id)])
        return _of_document(id, document)

    def _document(self, scope: Any, id: str) -> dict[str, Any]:
        document = scope[self._name].get(id)
        if document is None:
            raise NotFoundError(f"there is no feedback {id!r}", hint="`tissu kb feedback list` shows the ids")
        return dict(document.value)


def names(question: str) -> set[str]:
    """Words of a question with capitals inside a sentence, digits, dots or underscores; in small letters."""
    found = set()
    for match in _NAME.finditer(question):
        word = match[0]
        before = question[: match.start()].rstrip(" \"'([{")
        begins = (not before or before[-1] in ".!?:;\n") and word[1:] == word[1:].lower()
        capital = word != word.lower() and word != "I" and not begins
        if capital or any(c.isdigit() or c in "._" for c in word):
            found.add(word.casefold())
    return found


def _about(passage: FoundPassage, document: Any) -> dict[str, str]:
    if document is None:
        raise NotFoundError(f"passage {passage.id} ({passage.where}) is not there any more", hint="search again")
    return {"digest": str(document["digest"]), "where": passage.where, "text": passage.text[:_SHOWN]}


def _of_document(id: str, value: Mapping[str, Any]) -> Record:
    return Record(
        id,
        cast(Kind, value["kind"]),
        value["question"],
        tuple(About(**about) for about in value["about"]),
        value["value"],
        value["who"],
        value["time"],
        value["why"],
        None if value["undone"] is None else Undone(**value["undone"]),
    )
