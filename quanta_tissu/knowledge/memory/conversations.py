"""Conversations: every turn is kept, and a window of any size shows the newest ones and summaries of the others.

Summaries form a tree. `fan` turns that follow each other have one, `fan` such summaries have one, and so on, so
that a conversation of n turns has n / (fan - 1) of them, none is ever made again, and at most (fan - 1) of each of
log_fan(n) levels are needed to stand for everything before a turn. Where these are still too many for a window,
the oldest are summed up once more, until they fit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quanta_tissu.errors import ConfigError, ConflictError, NotFoundError
from quanta_tissu.knowledge.embedders import Embedder, count_words, default_embedder
from quanta_tissu.knowledge.memory.summaries import ExtractiveSummariser, Summariser, cut, name_of
from quanta_tissu.knowledge.memory.turns import Conversation, FoundTurn, Summary, Turn, Window, spans
from quanta_tissu.knowledge.passages import Measure
from quanta_tissu.knowledge.searchable import SearchableCollection, checked_name, checked_time
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.ids import check_id, new_id

_PAGE = 64
"""Turns that are read at once."""

_TURN = ("number", "role", "text", "time", "metadata")


class ConversationMemory:
    """Conversations of a database.

    Args:
        db: The database.
        embedder: What makes vectors of turns; by default the sentence encoder if it is installed, vectors by
            spelling otherwise.
        collection: The conversations; their turns and summaries are in two more with `_turns` and `_summaries`
            after the name.
        summariser: What makes summaries; by default the turns' own sentences.
        measure: Counts tokens for budgets; `token_measure(model)` counts as a model does. By default words and
            signs.
        fan: Turns, or summaries, that get a summary together.
        summary_tokens: Tokens of a summary at most; longer ones are cut.

    Raises:
        ConfigError: A number is too small.
        DatabaseError: The collection was made with another embedder.
    """

    def __init__(
        self,
        db: Database,
        embedder: Embedder | None = None,
        collection: str = "conversations",
        *,
        summariser: Summariser | None = None,
        measure: Measure = count_words,
        fan: int = 8,
        summary_tokens: int = 96,
    ) -> None:
        if fan < 2 or summary_tokens < 1:
            raise ConfigError(
                f"fan = {fan} and summary_tokens = {summary_tokens} are impossible",
                hint="fan ≥ 2 and summary_tokens ≥ 1",
            )
        self._db = db
        self._name = collection
        self._summaries = f"{collection}_summaries"
        self._quoting = ExtractiveSummariser(measure)
        self._summariser: Summariser = self._quoting if summariser is None else summariser
        self._measure = measure
        self._fan = fan
        self._summary_tokens = summary_tokens
        if "name" not in db[collection].indexes:
            with db.transaction() as transaction:
                if "name" not in transaction[collection].indexes:
                    transaction[collection].create_index("name", kind="unique")
                    transaction[self._summaries].create_index("conversation")
        self._turns = SearchableCollection(
            db,
            default_embedder() if embedder is None else embedder,
            f"{collection}_turns",
            text=["text"],
            values=[["conversation", "number"]],
        )

    # -- turns ---------------------------------------------------------------------------------------------------

    def append(
        self,
        conversation: str,
        role: str,
        text: str,
        *,
        time: dt.datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Turn:
        """Add a turn at the end; the first one begins the conversation.

        Args:
            conversation: Its name.
            role: Who says it.
            text: What is said.
            time: When; by default now.
            metadata: Whatever is to be kept with it.
            id: An id of the caller's own: a turn of this id is appended once, however often this is called.

        Raises:
            ConfigError: The name or the role is none, or the time has no zone.
            InvalidDocumentError: The text or the metadata cannot be stored.
            ConflictError: Another conversation has a turn of this id.
        """
        checked_name(conversation, "a conversation")
        checked_name(role, "a role")
        moment = checked_time(time)
        id = new_id() if id is None else check_id(id)
        vector = self._turns.vector(text)
        with self._db.transaction() as transaction:
            collection = transaction[self._turns.name]
            info = self._find(transaction, conversation)
            if (there := collection.get(id)) is not None:
                if info is None or there["conversation"] != info.id:
                    raise ConflictError(
                        f"another conversation has a turn {id!r}", hint="give each turn its own id"
                    )
                return _turn(conversation, there.value, id)
            if info is None:
                info = Conversation(conversation, 0, moment, new_id())
            about: dict[str, Any] = {"name": info.name, "turns": info.turns + 1, "started": info.started}
            transaction[self._name].upsert(info.id, about)
            value: dict[str, Any] = {"conversation": info.id, "number": info.turns + 1, "role": role}
            value |= {"text": text, "time": moment, "metadata": dict(metadata or {})}
            collection.insert_many([self._turns.new(value, vector, id)])
        return _turn(conversation, value, id)

    def turns(self, conversation: str, first: int = 1, last: int | None = None) -> Iterator[Turn]:
        """Turns in order, read a page at a time.

        Args:
            conversation: Its name.
            first: The number of the first.
            last: The number of the last; by default that of the newest.

        Raises:
            NotFoundError: There is no such conversation.
        """
        info = self[conversation]
        last = info.turns if last is None else min(last, info.turns)
        return (
            turn
            for start in range(max(1, first), last + 1, _PAGE)
            for turn in self._read(info, start, min(start + _PAGE - 1, last))
        )

    def conversations(self) -> list[Conversation]:
        """All conversations, in the order in which they were begun."""
        return [_conversation(document.id, document.value) for document in self._db[self._name].scan()]

    def __getitem__(self, conversation: str) -> Conversation:
        found = self._find(self._db, conversation)
        if found is None:
            known = ", ".join(repr(one.name) for one in self.conversations()[:10])
            raise NotFoundError(f"there is no conversation {conversation!r}", hint=f"known: {known or 'none yet'}")
        return found

    def delete(self, conversation: str) -> int:
        """Forget a conversation, with all turns and summaries.

        Returns:
            How many turns it had.

        Raises:
            NotFoundError: There is none of this name.
        """
        with self._db.transaction() as transaction:
            info = self._find(transaction, conversation)
            if info is None:
                return self[conversation].turns  # raises, with the names that there are
            for name in (self._turns.name, self._summaries):
                transaction.query(f'DELETE FROM "{name}" WHERE conversation = ?', [info.id])
            transaction[self._name].delete(info.id)
        return info.turns

    def search(self, question: str, k: int = 5, *, conversation: str | None = None) -> list[FoundTurn]:
        """Turns that fit a question, the best first, however old they are.

        Args:
            question: What is looked for.
            k: How many at most.
            conversation: Look in this one only.

        Raises:
            ConfigError: The question is empty.
            NotFoundError: There is no such conversation.
        """
        names = {one.id: one.name for one in ([self[conversation]] if conversation else self.conversations())}
        where = "conversation = ?" if conversation else None
        hits = self._turns.search(question, k, where=where, parameters=list(names) if conversation else ())
        return [
            FoundTurn(
                _turn(names[str(hit.document["conversation"])], hit.document.value, hit.document.id),
                hit.score,
                None if hit.text is None else hit.text.rank,
                None if hit.vector is None else hit.vector.score,
            )
            for hit in hits
            if hit.document["conversation"] in names  # begun since the names were read
        ]

    # -- windows -------------------------------------------------------------------------------------------------

    def window(self, conversation: str, budget: int) -> Window:
        """What fits a context: all turns if they do; otherwise the newest, and summaries of what came before.

        Of a budget that is too small for everything, a quarter is kept for summaries (unless the newest turn alone
        needs it). Summaries that are not there yet are made now; a long conversation is best windowed as it grows.

        Args:
            conversation: Its name.
            budget: Tokens at most, as `measure` counts each turn and each summary with a line break after it.

        Raises:
            NotFoundError: There is no such conversation.
            ConfigError: The budget is too small for the newest turn.
        """
        info = self[conversation]
        turns, costs = self._newest(info, budget)
        if len(turns) == info.turns and sum(costs) <= budget:
            return Window((), tuple(turns), sum(costs))
        if costs[-1] > budget:
            raise ConfigError(
                f"the newest turn of {conversation!r} has {costs[-1]} tokens, the window {budget}",
                hint="take a larger budget, or append shorter turns",
            )
        count, used = 1, costs[-1]
        while count < len(turns) and used + costs[-1 - count] <= budget - budget // 4:
            used += costs[-1 - count]
            count += 1
        last = info.turns - count
        summaries, spent = self._fitting(info, last, budget - used)
        left_out = None if summaries else (1, last)
        return Window(tuple(summaries), tuple(turns[-count:]), used + spent, left_out)

    def _newest(self, info: Conversation, budget: int) -> tuple[list[Turn], list[int]]:
        """The newest turns and their tokens, in order: one at least, and enough to fill a budget."""
        turns: list[Turn] = []
        costs: list[int] = []
        last = info.turns
        while last > 0 and sum(costs) <= budget:
            page = self._read(info, max(1, last - _PAGE + 1), last)
            turns, costs = page + turns, self._costs(page) + costs
            last -= _PAGE
        return turns, costs

    def _fitting(self, info: Conversation, last: int, room: int) -> tuple[list[Summary], int]:
        """Summaries of the turns up to one that fit, and their tokens."""
        summaries = [self._summary(info, *span) for span in spans(last, info.turns, self._fan)]
        while sum(costs := self._costs(summaries)) > room and len(summaries) > 1:
            oldest = summaries[: self._fan]
            first, end = oldest[0].first, oldest[-1].last
            folded = self._stored(info, first, end) or self._make(info, first, end, oldest)
            summaries[: len(oldest)] = [folded]
        if sum(costs) > room:
            [one] = summaries
            frame = self._costs([Summary(one.first, one.last, "", one.made_by)])[0]
            shorter = cut(one.text, max(0, room - frame), self._measure) if room > frame else ""
            summaries = [Summary(one.first, one.last, shorter, one.made_by)] if shorter else []
            costs = self._costs(summaries)
            if sum(costs) > room:  # some tokenizers count parts and whole differently
                return [], 0
        return summaries, sum(costs)

    def _costs(self, parts: Sequence[Turn] | Sequence[Summary]) -> list[int]:
        return self._measure([f"{part}\n" for part in parts])

    # -- summaries -----------------------------------------------------------------------------------------------

    def _summary(self, info: Conversation, first: int, last: int) -> Summary:
        """The summary of a span, made of those of its parts if it is not there."""
        if found := self._stored(info, first, last):
            return found
        size = self._fan
        while size * self._fan < last - first + 1:
            size *= self._fan
        if last - first + 1 <= self._fan:
            return self._make(info, first, last, self._read(info, first, last))
        parts = [self._summary(info, start, start + size - 1) for start in range(first, last + 1, size)]
        return self._make(info, first, last, parts)

    def _stored(self, info: Conversation, first: int, last: int) -> Summary | None:
        found = self._db[self._summaries].get(f"{info.id}:{first}-{last}")
        return None if found is None else Summary(first, last, str(found["text"]), str(found["made_by"]))

    def _make(
        self, info: Conversation, first: int, last: int, parts: Sequence[Turn] | Sequence[Summary]
    ) -> Summary:
        """Sum up turns or summaries, and keep the result unless the conversation has been deleted meanwhile."""
        texts = [part.text if isinstance(part, Summary) else str(part) for part in parts]
        made_by, text = name_of(self._summariser), self._summariser(texts, self._summary_tokens).strip()
        if not text:  # a model may say nothing; quoting is better than that
            made_by, text = ExtractiveSummariser.name, self._quoting(texts, self._summary_tokens)
        summary = Summary(first, last, cut(text, self._summary_tokens, self._measure), made_by)
        value: dict[str, Any] = {"conversation": info.id, "first": first, "last": last}
        value |= {"text": summary.text, "made_by": made_by, "time": dt.datetime.now(dt.UTC)}
        with self._db.transaction() as transaction:
            if info.id in transaction[self._name]:
                transaction[self._summaries].upsert(f"{info.id}:{first}-{last}", value)
        return summary

    def summaries(self, conversation: str) -> list[Summary]:
        """All summaries that are kept of a conversation, by their first turns, wider ones first.

        Raises:
            NotFoundError: There is no such conversation.
        """
        sql = (
            f'SELECT first, last, text, made_by FROM "{self._summaries}" WHERE conversation = ? '
            "ORDER BY first, last DESC"
        )
        rows: Any = self._db.query(sql, [self[conversation].id]).rows
        return [Summary(*row) for row in rows]

    def forget_summaries(self, conversation: str) -> int:
        """Remove all summaries of a conversation, to have them made again, by another summariser for example.

        Returns:
            How many there were.

        Raises:
            NotFoundError: There is no such conversation.
        """
        sql = f'DELETE FROM "{self._summaries}" WHERE conversation = ?'
        return self._db.query(sql, [self[conversation].id]).changed or 0

    # -- reading -------------------------------------------------------------------------------------------------

    def _find(self, scope: Any, name: str) -> Conversation | None:
        rows = scope.query(f'SELECT _id, name, turns, started FROM "{self._name}" WHERE name = ?', [name])
        for row in rows:
            return _conversation(row["_id"], row)
        return None

    def _read(self, info: Conversation, first: int, last: int) -> list[Turn]:
        """Turns of one page."""
        sql = (
            f'SELECT _id, number, role, text, time, metadata FROM "{self._turns.name}" '
            "WHERE conversation = ? AND number BETWEEN ? AND ? ORDER BY number"
        )
        rows: Any = self._db.query(sql, [info.id, first, last])
        return [_turn(info.name, row, row["_id"]) for row in rows]


def _conversation(id: str, value: Mapping[str, Any]) -> Conversation:
    return Conversation(value["name"], value["turns"], value["started"], id)


def _turn(conversation: str, value: Mapping[str, Any], id: str) -> Turn:
    number, role, text, time, metadata = (value[name] for name in _TURN)
    return Turn(conversation, number, role, text, time, metadata, id)
