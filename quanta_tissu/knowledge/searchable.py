"""Collections whose documents are found by words and by meaning: what knowledge and memory are kept in."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from quanta_tissu.errors import ConfigError, DatabaseError
from quanta_tissu.knowledge.embedders import FUNCTION_WORDS, Embedder, Vectors
from quanta_tissu.tissdb import Database, NewDocument
from quanta_tissu.tissdb.collection import Collection, Hit
from quanta_tissu.tissdb.ids import new_id
from quanta_tissu.tissdb.tissql.parameters import Parameters

SETTINGS = "memory_settings"
"""The collection that remembers with which embedder each other one was made."""

WORDS, MEANING = "words", "meaning"
"""Names of the indexes."""

CANDIDATES = 50
"""Documents that are looked at before what is known of them beside the question changes their order."""

_FORMAT = 1
_WORD = re.compile(r"\w+")
_MOST_WORDS = 48  # of a question that are looked for


class SearchableCollection:
    """A collection with an index of words and one of vectors, which stays with the embedder it was made with.

    Args:
        db: The database.
        embedder: What makes vectors.
        name: Its name.
        text: Fields whose words are found.
        values: Fields that are looked up, for each index one or several.

    Raises:
        DatabaseError: The collection was made with another embedder.
    """

    def __init__(
        self, db: Database, embedder: Embedder, name: str, *, text: Sequence[str], values: Sequence[list[str]] = ()
    ) -> None:
        self.embedder = embedder
        self.name = name
        self._db = db
        if not self._is_set_up(db[SETTINGS]):
            self._set_up(text, values)

    def _is_set_up(self, settings: Collection) -> bool:
        made = settings.get(self.name)
        if made is not None and (made["embedder"], made["width"]) != (self.embedder.name, self.embedder.width):
            raise DatabaseError(
                f"the collection {self.name!r} was made with the embedder {made['embedder']}, not with "
                f"{self.embedder.name}: their vectors cannot be compared",
                hint="use that one, or another collection",
            )
        return made is not None

    def _set_up(self, text: Sequence[str], values: Sequence[list[str]]) -> None:
        with self._db.transaction() as transaction:
            settings, collection = transaction[SETTINGS], transaction[self.name]
            if self._is_set_up(settings):  # somebody else was faster
                return
            for fields in values:
                collection.create_index("_".join(fields), fields=fields)
            collection.create_index(WORDS, kind="text", fields=list(text))
            collection.create_index(MEANING, kind="vector", dimension=self.embedder.width)
            made: dict[str, Any] = {
                "format": _FORMAT,
                "embedder": self.embedder.name,
                "width": self.embedder.width,
            }
            settings.insert(made, id=self.name)

    def vector(self, text: str) -> Vectors:
        """The vector of a text, to be given to `new`; make it before a transaction begins: it takes time."""
        vector: Vectors = self.embedder.embed([text])[0]
        return vector

    def new(self, value: dict[str, Any], vector: Vectors, id: str | None = None) -> NewDocument:
        """A document to be inserted; one without letters has no vector."""
        return NewDocument(id or new_id(), value, {MEANING: vector} if vector.any() else {}, None)

    def search(self, question: str, k: int, *, where: str | None = None, parameters: Parameters = ()) -> list[Hit]:
        """The documents that fit a question best by words and by meaning, the best first.

        Raises:
            ConfigError: The question is empty.
        """
        words = words_of(checked_question(question)) or None
        vector = self.vector(question)
        if words is None and not vector.any():
            return []
        collection = self._db[self.name]
        return collection.search(words, vector=vector, k=k, fusion="weighted", where=where, parameters=parameters)


def checked_question(question: str) -> str:
    """A question that says something.

    Raises:
        ConfigError: It is empty.
    """
    if not question.strip():
        raise ConfigError("the question is empty", hint="say what to look for")
    return question


def words_of(question: str) -> str:
    """The words of a question, without those that are in every one, if others are left.

    A question is no query: quotes and minus signs in it mean nothing.
    """
    words = list(dict.fromkeys(_WORD.findall(question)[:_MOST_WORDS]))
    return " ".join([word for word in words if word.casefold() not in FUNCTION_WORDS] or words)


def relevances(hits: Sequence[Hit], threshold: float) -> list[tuple[Hit, float]]:
    """How well each hit fits by itself, 0 to 1; those that fit neither way are left out.

    The mean of two numbers: the cosine, if above 0, and the score by words as a share of the best in the list.
    Unlike the score of a hit it does not depend on which is the worst in the list, so that it can be multiplied.

    Args:
        hits: What a search has found.
        threshold: Cosine from which on a document that shares no word with the question counts as fitting.
    """
    best = max((hit.text.score for hit in hits if hit.text is not None), default=0.0)
    fitting = []
    for hit in hits:
        words = hit.text.score / best if hit.text is not None and best > 0 else 0.0
        nearness = max(0.0, hit.vector.score) if hit.vector is not None else 0.0
        if words > 0 or nearness >= threshold:
            fitting.append((hit, (words + nearness) / 2))
    return fitting


def checked_name(name: str, what: str) -> str:
    """A name that a person gives to something.

    Raises:
        ConfigError: It is empty, too long, or has characters that do not show.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise ConfigError(f"{name!r} is no name of {what}", hint="1 to 200 characters in one line")
    return name


def checked_time(time: dt.datetime | None) -> dt.datetime:
    """A moment that a caller gave, or now.

    Raises:
        ConfigError: It has no zone.
    """
    if time is None:
        return dt.datetime.now(dt.UTC)
    if time.tzinfo is None:
        raise ConfigError(f"{time} has no time zone", hint="datetime.now(datetime.UTC), for example")
    return time.astimezone(dt.UTC)
