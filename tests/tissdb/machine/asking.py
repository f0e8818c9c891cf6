"""Rules that ask: searches by words, vectors and both, and TissQL, which its reference answers from the model."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from quanta_tissu.errors import DatabaseError, InvalidDocumentError, NotFoundError, QueryError
from quanta_tissu.tissdb.definitions import TextQuery
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.tissql.parameters import bound
from quanta_tissu.tissdb.tissql.reference import Environment, run_query
from quanta_tissu.tissdb.tissql.run import prepare
from quanta_tissu.tissdb.values import text_of
from tests.tissdb.machine.documents import (
    NUMBERS,
    UNIQUES,
    DocumentMachine,
    coordinates,
    ids,
    names,
)
from tests.tissdb.machine.finding import WORDS, Words, check_best, check_fused, matches, nearness
from tests.tissdb.machine.model import Held, Model, RefusedError, Stored

word = st.sampled_from(WORDS)
piece = st.one_of(
    word,
    word,
    word.map(lambda one: f"{one[:2]}*"),
    st.tuples(word, word).map(lambda two: f'"{two[0]} {two[1]}"'),
    word.map(lambda one: f"+{one}"),
    word.map(lambda one: f"-{one}"),
    st.just("!"),
)
queries = st.lists(piece, min_size=1, max_size=4).map(" ".join)

CONDITIONS = [
    ("n > ?", 1),
    ("n = ? OR u = ?", 2),
    ("NOT (n <= ?) OR u IS NULL", 1),
    ("u IN (?, ?) AND title LIKE 'a%'", 2),
    ("n BETWEEN ? AND ?", 2),
    ("EXISTS x.y AND NOT x.y = ?", 1),
    ("_rev > ? AND _expires IS NULL", 1),
    ("_id < 'c' AND n <> ?", 1),
]
conditions = st.sampled_from(CONDITIONS).flatmap(
    lambda one: st.tuples(
        st.just(one[0]), st.lists(st.sampled_from(NUMBERS + UNIQUES), min_size=one[1], max_size=one[1])
    )
)
QUERIES = [
    "SELECT _id, n, u FROM {} WHERE {} ORDER BY n DESC, u",
    "SELECT _id, _rev, _created, _updated, _expires FROM {} WHERE {} ORDER BY _id LIMIT 3 OFFSET 1",
    "SELECT COUNT(*), COUNT(DISTINCT u), SUM(n), AVG(n), MIN(u), MAX(title) FROM {} WHERE {}",
    "SELECT DISTINCT n FROM {} WHERE {} ORDER BY n",
    "SELECT n, COUNT(*) AS many FROM {} WHERE {} GROUP BY n HAVING COUNT(*) > 0 ORDER BY n",
]


class AskingMachine(DocumentMachine):
    """Also searches, and runs statements."""

    def suiting(self, name: str, held: Held, where: tuple[str, list[Any]] | None) -> list[Stored]:
        """Living documents of a collection that suit a condition."""
        living = held.living(self.clock.now)
        if where is None:
            return living
        chosen = self.answer(f"SELECT _id FROM {name} WHERE {where[0]}", where[1], {name: living})
        there = {row["_id"] for row in chosen}
        return [one for one in living if one.id in there]

    def answer(self, text: str, parameters: Any, documents: dict[str, list[Stored]]) -> list[dict[str, Any]]:
        """What TissQL's reference says."""
        parsed = prepare(text).parsed
        known = {name: [one.document for one in found] for name, found in documents.items()}
        return run_query(parsed.statement, known, Environment(bound(parsed, parameters), self.clock.now))

    @rule(
        name=names,
        text=st.one_of(st.none(), queries, queries),
        numbers=st.none() | coordinates,
        where=st.none() | conditions,
        k=st.sampled_from([1, 2, 5]),
        need=st.sampled_from(["any", "any", "all"]),
        weights=st.sampled_from([(1.0, 1.0), (1.0, 0.5)]),
        fusion=st.sampled_from(["rrf", "weighted"]),
        anyhow=st.integers(0, 5).map(lambda n: n == 0),
    )
    def search(self, name, text, numbers, where, k, need, weights, fusion, anyhow):
        able = [one for one, held in self.model.collections.items() if any(held.of_kind("text", "vector"))]
        name = able[0] if able and name not in able and not anyhow else name
        held = self.model.collections.get(name)
        said: dict[str, Any] = {"k": k, "need": need, "weights": weights, "fusion": fusion}
        if where is not None:
            said |= {"where": where[0], "parameters": where[1]}
        by_words = list(held.of_kind("text")) if held else []
        by_vectors = list(held.of_kind("vector")) if held else []
        if held and not anyhow:  # by what there is
            text, numbers = (text if by_words else None), (numbers if by_vectors else None)
        if numbers is not None and by_vectors:
            numbers = numbers[: by_vectors[0][1]["dimension"]]
        if text is not None and by_words:
            said["text_index"] = by_words[0][0]
        if numbers is not None and by_vectors:
            said["vector_index"] = by_vectors[0][0]
        refused = self.refusal(held, text, numbers, by_words, by_vectors, need)
        if refused is not None:
            self.both(
                lambda: self.scope[name].search(text, vector=numbers, **said), lambda model: raise_(*refused)
            )
            return
        hits = self.scope[name].search(text, vector=numbers, **said)
        candidates = self.suiting(name, held, where)
        words, query = (None, None) if text is None else self.words(held, by_words[0][1], text, need)
        found_by_words = [one for one in candidates if words and matches(query, words.fields[one.id])]
        if numbers is None:
            exact = self.engine != "postgres" and not (query.required or query.excluded)
            check_best(hits, found_by_words, k, words.bm25(query) if exact else None, 1e-4)
            assert all(hit.text and hit.text.score == hit.score for hit in hits)
            return
        index, kind = by_vectors[0]
        stored = {document.id: vectors for document, vectors in self.scope[name].scan_with_vectors()}
        near = [one for one in candidates if index in one.vectors]
        if text is None:
            score = lambda id: nearness(kind["metric"], numbers, stored[id][index])  # noqa: E731
            check_best(hits, near, k, score, 1e-5)
            return
        both = {one.id: one for one in [*found_by_words, *near]}
        check_fused(hits, list(both.values()), k, weights, fusion)

    def words(self, held: Held, index: dict[str, Any], text: str, need: Any) -> tuple[Words, TextQuery]:
        words = Words(held, index)
        return words, words.read(parse_query(text, need))

    def refusal(
        self, held: Any, text: Any, numbers: Any, by_words: Any, by_vectors: Any, need: Any
    ) -> tuple[type[DatabaseError], ...] | None:
        """Why a search must be refused, if it must; of several reasons any will do."""
        kinds: list[type[DatabaseError]] = []
        if held is None or (text is not None and not by_words) or (numbers is not None and not by_vectors):
            kinds.append(NotFoundError)
        if text is None and numbers is None:
            kinds.append(DatabaseError)
        if numbers is not None and by_vectors and by_vectors[0][1]["metric"] == "cosine" and not any(numbers):
            kinds.append(InvalidDocumentError)
        try:
            parse_query(text or "ant", need)
        except QueryError:
            kinds.append(QueryError)
        return tuple(kinds) or None

    @rule(name=names, text=queries, numbers=coordinates, k=st.integers(1, 4), where=st.none() | conditions)
    def match_and_near(self, name, text, numbers, k, where):
        held = self.model.collections.get(name, Held({}))
        parts, parameters = ([where[0]], list(where[1])) if where else ([], [])
        parts = [f"({part})" for part in parts]
        candidates = self.suiting(name, held, where)
        by_words, by_vectors = list(held.of_kind("text")), list(held.of_kind("vector"))
        try:
            query = parse_query(text)
        except QueryError:
            by_words = []
        if by_words:
            parts.append(f"MATCH({by_words[0][0]}, ?)")
            parameters.append(text)
            words, query = self.words(held, by_words[0][1], text, "any")
            candidates = [one for one in candidates if matches(query, words.fields[one.id])]
        if by_vectors and any(numbers):
            index, kind = by_vectors[0]
            parts.append(f"NEAR({index}, ?, {k})")
            parameters.append(numbers[: kind["dimension"]])
            candidates = [one for one in candidates if index in one.vectors]
            if kind["metric"] == "cosine" and not any(numbers[: kind["dimension"]]):
                return
        if not (by_words or (by_vectors and any(numbers))):
            return
        rows = self.scope.query(f"SELECT _id FROM {name} WHERE {' AND '.join(parts)}", parameters).rows
        found = {row[0] for row in rows}
        assert len(found) == len(rows)
        assert found <= {one.id for one in candidates}
        if not (by_vectors and any(numbers)):
            assert len(found) == len(candidates)
            return
        assert len(found) == min(k, len(candidates))
        stored = {document.id: vectors for document, vectors in self.scope[name].scan_with_vectors()}
        said = numbers[: kind["dimension"]]
        scores = {one.id: nearness(kind["metric"], said, stored[one.id][index]) for one in candidates}
        worst = min((scores[id] for id in found), default=0.0)
        assert all(scores[id] <= worst + 1e-5 for id in scores.keys() - found)

    @rule(name=names, text=st.sampled_from(QUERIES), where=conditions)
    def select(self, name, text, where):
        statement = text.format(name, where[0])
        held = self.model.collections.get(name)
        if held is None:
            self.both(lambda: self.scope.query(statement, where[1]), lambda model: raise_(QueryError))
            return
        expected = self.answer(statement, where[1], {name: list(held.documents.values())})
        assert text_of([list(row.values()) for row in expected]) == text_of(
            [list(row) for row in self.scope.query(statement, where[1]).rows]
        )

    @rule(left=st.sampled_from(["", "LEFT "]))
    def join(self, left):
        if len(self.model.collections) < 2:
            return
        statement = (
            f"SELECT a._id AS x, b._id AS y, b.n FROM notes AS a {left}JOIN cities AS b "
            "ON b.n = a.n AND b.u = a.u WHERE a.n IS NOT NULL ORDER BY a._id, b._id"
        )
        known = {name: list(held.documents.values()) for name, held in self.model.collections.items()}
        expected = self.answer(statement, [], known)
        assert text_of(expected) == text_of(list(self.scope.query(statement)))

    @rule(name=names, where=conditions, n=st.sampled_from(NUMBERS), key=st.sampled_from([None, "u1"]))
    def update(self, name, where, n, key):
        moment = self.moment

        def expect(model: Model) -> int:
            if name not in model.collections:
                raise RefusedError(QueryError)
            chosen = self.chosen(model, name, where, moment)
            for id in chosen:
                model.change(name, id, "update", lambda old: {**old, "n": n, "seen": True}, moment)
            return len(chosen)

        statement = f"UPDATE {name} SET n = ?, seen = TRUE WHERE {where[0]}"
        self.both(
            lambda: self.scope.query(statement, [n, *where[1]], key=key).changed,
            lambda model: model.once(key, statement, moment, lambda: expect(model)),
        )

    @rule(name=names, where=conditions, sure=st.integers(0, 3))
    def delete_where(self, name, where, sure):
        if sure:
            return
        moment = self.moment

        def expect(model: Model) -> int:
            if name not in model.collections:
                raise RefusedError(QueryError)
            chosen = self.chosen(model, name, where, moment)
            for id in chosen:
                model.delete(name, id, moment)
            return len(chosen)

        self.both(lambda: self.scope.query(f"DELETE FROM {name} WHERE {where[0]}", where[1]).changed, expect)

    def chosen(self, model: Model, name: str, where: tuple[str, list[Any]], moment: int) -> list[str]:
        """Ids of the documents that a write is about, in the order of their rows."""
        living = model.collections[name].living(moment)
        statement = prepare(f"SELECT _id FROM {name} WHERE {where[0]}").parsed
        env = Environment(bound(statement, where[1]), moment)
        there = {
            row["_id"] for row in run_query(statement.statement, {name: [one.document for one in living]}, env)
        }
        return [one.id for one in living if one.id in there]

    @rule(name=names, id=ids, n=st.sampled_from(NUMBERS), u=st.sampled_from(UNIQUES))
    def insert_by_statement(self, name, id, n, u):
        moment = self.moment
        statement = f"INSERT INTO {name} (_id, n, u) VALUES (:id, :n, :u)"
        self.both(
            lambda: self.scope.query(statement, {"id": id, "n": n, "u": u}).changed,
            lambda model: len(model.insert(name, [(id, {"n": n, "u": u}, None, None)], moment)),
        )


def raise_(*kinds: type[DatabaseError]) -> None:
    raise RefusedError(*kinds)
