"""What collections and indexes are: the words in which all of TissDB speaks of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from quanta_tissu.errors import NotFoundError

IndexKind = Literal["value", "unique", "text", "vector"]

Path = tuple[str | int, ...]
"""Steps into a document: keys and places in lists."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection.

    Attributes:
        number: Its number in this database; tables and engine indexes are named after it.
        name: Its name in the collection.
        kind: `value` (finds and sorts by values), `unique` (and refuses a second of the same), `text` or `vector`.
        paths: What of each document it holds. None for vectors, which are given beside the document.
        options: What else was said about it, by kind.
    """

    number: int
    name: str
    kind: IndexKind
    paths: tuple[Path, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the catalog knows it.

    Attributes:
        number: Its number in this database; its table is named after it.
        name: Its name.
        settings: `schema` (JSON Schema of its documents), `ttl` (seconds that a document lives by default).
        indexes: By name.
    """

    number: int
    name: str
    settings: dict[str, Any]
    indexes: dict[str, Index]

    @property
    def table(self) -> str:
        """The table of its documents."""
        return f"d_{self.number}"

    def of_kind(self, kind: IndexKind) -> list[Index]:
        """Its indexes of one kind."""
        return [index for index in self.indexes.values() if index.kind == kind]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All collections, as they were at one version.

    Attributes:
        version: Rises with every change.
        collections: By name.
    """

    version: int
    collections: dict[str, CollectionInfo]

    def find(self, name: str) -> CollectionInfo:
        """A collection.

        Raises:
            NotFoundError: There is none of this name.
        """
        try:
            return self.collections[name]
        except KeyError:
            known = ", ".join(sorted(self.collections)) or "none yet"
            raise NotFoundError(f"there is no collection {name!r}", hint=f"collections: {known}") from None

    def index_numbers(self) -> set[int]:
        """Numbers of all indexes."""
        return {index.number for info in self.collections.values() for index in info.indexes.values()}


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand next to each other.

    Attributes:
        words: One, or those of a phrase in order.
        prefix: The last word is the beginning of one.
    """

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class TextQuery:
    """What to look for.

    Attributes:
        wanted: Terms of which any must occur; the more and the rarer, the better the document.
        required: Terms that must all occur.
        excluded: Terms that must not occur.
    """

    wanted: tuple[Term, ...]
    required: tuple[Term, ...]
    excluded: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Documents among which to look.

    Attributes:
        sql: A query for their rows.
        parameters: Its parameters.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
