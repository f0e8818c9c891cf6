"""A knowledge base: files as passages in a database, found by words and meaning."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from quanta_tissu.errors import ConfigError, DatabaseError, DataError
from quanta_tissu.knowledge.embedders import Embedder, default_embedder
from quanta_tissu.knowledge.feedback import Feedback
from quanta_tissu.knowledge.passages import FoundPassage, Passage, Unit, split
from quanta_tissu.knowledge.readers import SUFFIXES, read_file
from quanta_tissu.knowledge.searchable import CANDIDATES, checked_question, words_of
from quanta_tissu.tissdb import Database, NewDocument
from quanta_tissu.tissdb.collection import Hit

if TYPE_CHECKING:
    from quanta_tissu.knowledge.answering import Answer
    from quanta_tissu.tisslm.language_model import LanguageModel

Mode = Literal["hybrid", "words", "meaning"]

LIMIT, OVERLAP = 160, 32
"""Tokens of a passage, and of what neighbours share, by default."""

_FORMAT = 1
SETTINGS = "settings"
"""Id of the document among the sources that says how the collection was made."""


@dataclass
class Added:
    """What adding files came to.

    Attributes:
        files: Files that were read.
        same: Files that had not changed since they were read before.
        gone: Files that are not there any more, and whose passages went.
        inserted: New passages.
        kept: Passages of changed files that stayed as they were, with their ids.
        deleted: Passages that went.
        skipped: Files that could not be read, and why.
    """

    files: int = 0
    same: int = 0
    gone: int = 0
    inserted: int = 0
    kept: int = 0
    deleted: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything did."""
        return bool(self.inserted or self.deleted or self.gone)


class KnowledgeBase:
    """Passages of files in a collection of a database.

    Beside the collection there is one with `_sources` after its name, a document for each file.

    Args:
        db: The database.
        embedder: What makes vectors; by default the sentence encoder if it is installed, and vectors by spelling
            (and a warning) otherwise. A collection stays with the embedder that it was made with.
        collection: Its name.
        limit: Tokens of a passage at most, as the embedder counts them; headings come on top.
        overlap: Tokens that passages next to each other share at most.

    Raises:
        ConfigError: The limits are impossible.
        DatabaseError: The collection was made with another embedder.
    """

    def __init__(
        self,
        db: Database,
        embedder: Embedder | None = None,
        collection: str = "passages",
        *,
        limit: int = LIMIT,
        overlap: int = OVERLAP,
    ) -> None:
        self.embedder = default_embedder() if embedder is None else embedder
        if not 0 <= overlap < limit <= self.embedder.longest:
            raise ConfigError(
                f"limit = {limit} and overlap = {overlap} are impossible",
                hint=f"0 ≤ overlap < limit ≤ {self.embedder.longest}, what {self.embedder.name} reads",
            )
        self._db = db
        self._limit, self._overlap = limit, overlap
        self._name = collection
        self._passages = db.collection(collection)
        self._sources = db.collection(f"{collection}_sources")
        self._set_up()
        self.feedback = Feedback(db, self.embedder, collection, limit=limit)

    def _set_up(self) -> None:
        """Make collections and indexes, or see that they are this embedder's."""
        found = self._sources.get(SETTINGS)
        if found is not None:
            if found["embedder"] != self.embedder.name or found["width"] != self.embedder.width:
                raise DatabaseError(
                    f"the collection {self._name!r} was made with the embedder {found['embedder']}, not with "
                    f"{self.embedder.name}: their vectors cannot be compared",
                    hint="use that one, or another collection",
                )
            return
        with self._db.transaction() as transaction:
            passages, sources = transaction[self._name], transaction[self._sources.name]
            passages.create_index("source")
            passages.create_index("words", kind="text", fields=["heading", "text"])
            passages.create_index("meaning", kind="vector", dimension=self.embedder.width)
            settings = {"format": _FORMAT, "embedder": self.embedder.name, "width": self.embedder.width}
            sources.insert(cast(Any, settings), id=SETTINGS)

    # -- adding --------------------------------------------------------------------------------------------------

    def add(self, path: str | os.PathLike[str], *, on_file: Callable[[str], None] = lambda source: None) -> Added:
        """Read a file, or all files of a folder that are of a known kind, and bring their passages up to date.

        What has not changed stays with its id; of a folder, what was read before and is not there any more goes.
        Hidden files and folders are left out.

        Args:
            path: A text, Markdown, HTML, Python or PDF file, or a folder of such.
            on_file: Called with the name of each file before it is read.

        Raises:
            DataError: There is no such file or folder; or a single file cannot be read, or is not text.
            MissingDependencyError: A single file is a PDF, and pypdf is not installed.
            EmbeddingError: The embedder is a server that does not answer.
        """
        path = Path(path)
        report = Added()
        if not path.is_dir():
            on_file(str(path))
            self._add_file(path, report)
            return report
        seen = set()
        for file in files_of(path):
            seen.add(_source(file))
            on_file(str(file))
            try:
                self._add_file(file, report)
            except DataError as error:
                report.skipped.append((str(file), error.message))
        prefix = f"{_source(path).rstrip('/')}/"
        for source in self.sources():
            if source.startswith(prefix) and source not in seen:
                report.deleted += self._update(source, None, [], "line", Added())
                report.gone += 1
        return report

    def add_text(self, text: str, source: str) -> Added:
        """Add a text that is in no file, or bring its passages up to date.

        Args:
            text: The text. It is read as what the end of `source` says, Markdown for `notes.md`.
            source: What to call it.

        Raises:
            DataError: The name is empty, or stands for a PDF.
        """
        if not source or Path(source).suffix.lower() == ".pdf":
            raise DataError(f"a text cannot have the source {source!r}", hint="name it, notes.md for example")
        report = Added()
        self._add(source, Path(source), text.encode(errors="surrogatepass"), report)
        return report

    def remove(self, path: str | os.PathLike[str]) -> int:
        """Forget a file, a folder or a text.

        Returns:
            How many passages went.
        """
        name, source = str(path), _source(Path(path))
        removed = 0
        for known in self.sources():
            if known in (name, source) or known.startswith(f"{source.rstrip('/')}/"):
                removed += self._update(known, None, [], "line", Added())
        return removed

    def sources(self) -> list[str]:
        """Names of all files that were added, in order."""
        return sorted(str(document["source"]) for document in self._sources.scan() if document.id != SETTINGS)

    def __len__(self) -> int:
        return len(self._passages)

    def _add_file(self, path: Path, report: Added) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}", hint="name a file or a folder") from None
        self._add(_source(path), path, data, report)

    def _add(self, source: str, path: Path, data: bytes, report: Added) -> None:
        digest = hashlib.sha256(data).hexdigest()
        cut = f"{self._limit}/{self._overlap}"
        known = self._sources.get(_source_id(source))
        report.files += 1
        if known is not None and known["digest"] == digest and known["cut"] == cut:
            report.same += 1
            return
        contents = read_file(path, data)
        passages = split(contents.blocks, self.embedder.measure, limit=self._limit, overlap=self._overlap)
        about = {"source": source, "digest": digest, "cut": cut, "passages": len(passages)}
        report.deleted += self._update(source, about, passages, contents.unit, report)

    def _update(
        self, source: str, about: dict[str, Any] | None, passages: list[Passage], unit: Unit, report: Added
    ) -> int:
        """Make the passages of a source what they are now; without `about` the source goes.

        Vectors are made before the transaction begins, because nobody else can write during it. If the source has
        been changed by others meanwhile, they are made again.

        Returns:
            How many passages went.
        """
        while True:
            before = self._stored(self._db, source)
            vectors = self._vectors_of_new(before, passages)
            with self._db.transaction() as transaction:
                if self._stored(transaction, source) != before:
                    continue
                collection = transaction[self._name]
                left = {digest: list(rows) for digest, rows in before.items()}
                new: list[NewDocument] = []
                for passage in passages:
                    place = {"first": passage.first, "last": passage.last}
                    if rows := left.get(passage.digest):
                        id, stored = rows.pop(0)
                        report.kept += 1
                        if stored != (passage.first, passage.last):
                            collection.patch(id, cast(Any, place))
                        continue
                    value = {"source": source, "unit": unit, **place, "heading": passage.heading}
                    value |= {"text": passage.text, "digest": passage.digest}
                    new.append(_new(value, vectors[passage.digest]))
                collection.insert_many(new)
                report.inserted += len(new)
                gone = [id for rows in left.values() for id, _ in rows]
                for id in gone:
                    collection.delete(id)
                sources = transaction[self._sources.name]
                if about is not None:
                    sources.upsert(_source_id(source), about)
                elif _source_id(source) in sources:
                    sources.delete(_source_id(source))
                return len(gone)

    def _stored(self, scope: Any, source: str) -> dict[str, list[tuple[str, tuple[int, int]]]]:
        """Ids and places of a source's passages by their digests."""
        sql = f'SELECT _id, digest, first, last FROM "{self._name}" WHERE source = ? ORDER BY first, _id'
        stored: dict[str, list[tuple[str, tuple[int, int]]]] = defaultdict(list)
        for id, digest, first, last in scope.query(sql, [source]).rows:
            stored[digest].append((id, (first, last)))
        return dict(stored)

    def _vectors_of_new(self, before: dict[str, Any], passages: list[Passage]) -> dict[str, Any]:
        """Vectors by digest of the passages that are not stored."""
        counts = {digest: len(rows) for digest, rows in before.items()}
        new: dict[str, str] = {}
        for passage in passages:
            if counts.get(passage.digest, 0) > 0:
                counts[passage.digest] -= 1
            else:
                new[passage.digest] = passage.embedded
        return dict(zip(new, self.embedder.embed(list(new.values())), strict=True)) if new else {}

    # -- finding -------------------------------------------------------------------------------------------------

    def search(
        self, question: str, k: int = 10, *, mode: Mode = "hybrid", feedback: bool = True
    ) -> list[FoundPassage]:
        """The passages that fit a question best, the best first.

        Args:
            question: What is looked for, in words.
            k: How many passages at most.
            mode: By `words`, by `meaning` (nearness of vectors), or by both.
            feedback: Whether what was said of similar questions counts; only where both ways are looked.

        Raises:
            ConfigError: The question is empty, or the mode is unknown.
        """
        if mode not in ("hybrid", "words", "meaning"):
            raise ConfigError(f"mode = {mode!r} is unknown", hint="hybrid, words or meaning")
        words = words_of(checked_question(question)) or None if mode != "meaning" else None
        vector = self.embedder.embed([question])[0] if mode != "words" else None
        if vector is not None and not vector.any():
            vector = None
        if words is None and vector is None:
            return []
        moves = (
            self.feedback.moves(question, vector) if feedback and mode == "hybrid" and vector is not None else {}
        )
        # Scores of both ways brought to 0 ... 1 and added: better than by ranks, and than either way alone, on
        # questions about Python's standard library (benchmarks/retrieval.py, docs/experiments.md).
        wanted = max(k, CANDIDATES) if moves else k
        hits = self._passages.search(words, vector=vector, k=wanted, fusion="weighted")
        if not moves:
            return [_found(hit) for hit in hits]
        found = [_found(hit, move=moves.get(str(hit.document["digest"]), 0.0)) for hit in hits]
        # What was found useful for questions like this one is there even if the search alone does not find it.
        missing = {digest for digest, move in moves.items() if move > 0}
        missing -= {str(hit.document["digest"]) for hit in hits}
        if missing:
            among = {"digests": sorted(missing)}
            more = self._passages.search(vector=vector, k=k, where="digest IN :digests", parameters=among)
            found += [_found(hit, score=0.0, move=moves[str(hit.document["digest"])]) for hit in more]
        return sorted(found, key=lambda passage: (-passage.score, passage.id))[:k]

    def passage(self, id: str) -> FoundPassage:
        """A passage by its id, as one that was found, for no question.

        Raises:
            NotFoundError: There is none of this id.
        """
        return _found(Hit(self._passages[id], 0.0, None, None))

    def answer(
        self,
        question: str,
        model: LanguageModel | None = None,
        *,
        k: int = 5,
        relevant: float | None = None,
        **settings: Any,
    ) -> Answer:
        """Answer a question from the passages, with citations; see `knowledge/answering.py`.

        Args:
            question: The question.
            model: What writes the answer; without one it is put together from sentences of the passages.
            k: Passages at most that the answer is made from.
            relevant: Cosine from which on a passage counts as saying something about the question; by default the
                embedder's. If no passage reaches it, the answer says that nothing was found.
            **settings: Settings of generation, as for `LanguageModel.generate`; by default greedy, and at most 128
                new tokens or a quarter of the context.

        Raises:
            ConfigError: The question is empty, or a setting is unknown or not allowed.
            GenerationError: The question does not fit into the model's context.
        """
        from quanta_tissu.knowledge.answering import answer

        threshold = self.embedder.relevant if relevant is None else relevant
        return answer(question, self.search(question, k), self.embedder, model, threshold, settings)


def _new(value: dict[str, Any], vector: Any) -> NewDocument:
    from quanta_tissu.tissdb.ids import new_id

    return NewDocument(new_id(), value, {"meaning": vector} if vector.any() else {}, None)


def _found(hit: Hit, *, score: float | None = None, move: float = 0.0) -> FoundPassage:
    """A hit as a passage, moved by feedback."""
    value: Any = hit.document.value
    return FoundPassage(
        id=hit.document.id,
        **{name: value[name] for name in ("source", "heading", "text", "unit", "first", "last")},
        score=(hit.score if score is None else score) + move,
        words=None if hit.text is None else hit.text.rank,
        nearness=None if hit.vector is None else hit.vector.score,
        feedback=move,
    )


def files_of(folder: Path) -> Iterator[Path]:
    """Files of a folder and the folders in it, hidden ones left out, in order."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        yield from _known(Path(root), names)


def _known(root: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in sorted(names):
        if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
            yield root / name


def _source(path: Path) -> str:
    """How a file is called in the database: by its whole path, with `/` on every system."""
    return path.resolve().as_posix()


def _source_id(source: str) -> str:
    return hashlib.sha256(source.encode(errors="surrogatepass")).hexdigest()[:32]
