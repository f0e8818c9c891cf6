"""What conversations are made of: turns, summaries that stand for them, and windows that show both."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from quanta_tissu.knowledge.memory.summaries import ExtractiveSummariser


@dataclass(frozen=True)
class Turn:
    """What somebody said.

    Attributes:
        conversation: The name of the conversation.
        number: Its place in it, from 1.
        role: Who: `user`, `assistant`, `tool` ...
        text: What.
        time: When.
        metadata: Whatever the caller keeps with it.
        id: Its id in the database.
    """

    conversation: str
    number: int
    role: str
    text: str
    time: dt.datetime
    metadata: dict[str, Any]
    id: str

    def __str__(self) -> str:
        return f"{self.role}: {self.text}"


@dataclass(frozen=True)
class Summary:
    """What stands for turns that follow each other; the turns stay.

    Attributes:
        first: The number of the first turn.
        last: The number of the last one.
        text: The summary.
        made_by: The summariser; `extractive` quotes sentences of the turns.
    """

    first: int
    last: int
    text: str
    made_by: str

    def __str__(self) -> str:
        what = "quoted from" if self.made_by == ExtractiveSummariser.name else "summary of"
        return f"({what} turns {self.first}-{self.last}: {self.text})"


@dataclass(frozen=True)
class FoundTurn:
    """A turn that a search has found, and why.

    Attributes:
        turn: The turn.
        score: Its score among those found together; higher is better.
        words: Its place by words, from 1; None if they did not find it.
        nearness: Cosine between its vector and the question's; None if it was not among the nearest.
    """

    turn: Turn
    score: float
    words: int | None
    nearness: float | None


@dataclass(frozen=True)
class Window:
    """What of a conversation fits into a context: summaries of what came first, then the newest turns.

    Attributes:
        summaries: The oldest first. The last may reach into the turns, for summaries are of whole groups of turns.
        turns: The newest turns, word for word.
        tokens: How many both have.
        left_out: Numbers of the first and the last turn for which not even a cut summary had room.
    """

    summaries: tuple[Summary, ...]
    turns: tuple[Turn, ...]
    tokens: int
    left_out: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """Everything as one text, for models that continue text."""
        return "".join(f"{part}\n" for part in (*self.summaries, *self.turns))

    @property
    def messages(self) -> list[dict[str, str]]:
        """Everything as messages, for models that chat; summaries are the system's."""
        before = [{"role": "system", "content": str(summary)} for summary in self.summaries]
        return before + [{"role": turn.role, "content": turn.text} for turn in self.turns]


@dataclass(frozen=True)
class Conversation:
    """A conversation.

    Attributes:
        name: Its name.
        turns: How many there are.
        started: When it was begun.
        id: Its id in the database.
    """

    name: str
    turns: int
    started: dt.datetime
    id: str = field(repr=False)


def spans(last: int, turns: int, fan: int) -> list[tuple[int, int]]:
    """First and last turns of the summaries that stand for everything up to a turn, the oldest first.

    They are whole groups of fan, fan², ... turns, as large as possible. The last one ends after `last` if its
    group is whole already, since that summary will stay, and at `last` if it is not.
    """
    whole = -(-last // fan) * fan
    end = whole if whole <= turns else last
    found = []
    start = 0
    size = fan
    while size * fan <= end:
        size *= fan
    while start < end:
        while size > fan and start + size > end:
            size //= fan
        found.append((start + 1, min(start + size, end)))
        start += size
    return found
