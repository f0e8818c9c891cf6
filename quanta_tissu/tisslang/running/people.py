"""Questions to people, and who answers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from quanta_tissu.errors import ConfigError

NOBODY = "nobody is there to ask"
"""The comment of a refusal that nobody has uttered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that a person decides.

    Attributes:
        key: Of the effect that waits for it.
        what: "pause", "review", "choose", "permit" (may this be done?) or "doubt" (was this done?).
        title: What it is about, in a sentence.
        shown: What the person looks at.
        options: What can be answered; the first is what an empty answer means, if it is harmless.
        digest: Of all that is shown: the answer is bound to it.
        changed: Whether the run waited for an answer, and this is another question than any that was shown then.
    """

    key: str
    what: str
    title: str
    shown: str
    options: tuple[str, ...]
    digest: str
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person decided.

    Attributes:
        choice: One of the options.
        comment: What else was said.
        by: Who it was.
    """

    choice: str
    by: str
    comment: str = ""


class Person(Protocol):
    """Whoever answers."""

    def ask(self, question: Question) -> Answer | None:
        """The answer; None if nobody is there, so that the run waits."""


class Nobody:
    """Nobody is there: the run waits until it is resumed with an answer."""

    def ask(self, question: Question) -> Answer | None:
        """No answer."""
        return None


class Denying:
    """Nobody is there, and nothing is waited for: what needs a person is not done."""

    def ask(self, question: Question) -> Answer | None:
        """No, in the form that the question has."""
        refusal = {"pause": "stop", "review": "reject", "permit": "deny"}.get(question.what)
        return None if refusal is None else Answer(choice=refusal, by="policy", comment=NOBODY)


class Approving:
    """Everything is approved unseen; choices still need a person."""

    def ask(self, question: Question) -> Answer | None:
        """Yes, in the form that the question has."""
        consent = {"pause": "continue", "review": "approve", "permit": "allow"}.get(question.what)
        return None if consent is None else Answer(choice=consent, by="policy", comment="approved unseen")


class Prepared:
    """Answers that were given beforehand, in order; afterwards another is asked.

    Args:
        answers: Each an option, optionally with a comment: `reject: too long`.
        otherwise: Who is asked when there is none left.
        by: Who gave them.
    """

    def __init__(self, answers: tuple[str, ...], otherwise: Person, by: str) -> None:
        self._answers = list(answers)
        self._otherwise = otherwise
        self._by = by

    @property
    def left(self) -> tuple[str, ...]:
        """The answers that nobody has asked for."""
        return tuple(self._answers)

    def ask(self, question: Question) -> Answer | None:
        """The next answer.

        Raises:
            ConfigError: It is none of the options, or an answer to something else than what is shown now.
        """
        if not self._answers:
            return self._otherwise.ask(question)
        if question.changed:
            raise ConfigError(
                f"the answer {self._answers[0]!r} is to what was shown before, and the script shows something "
                f"else now: {question.title} {question.shown}"[:1000],
                hint="look at it, and give the answer again",
            )
        try:
            answer = read_answer(self._answers[0], question, self._by)
        except ValueError as error:
            asked = question.title if question.shown == question.title else f"{question.title} {question.shown}"
            raise ConfigError(f"the answer {error}", hint=f"the question is: {asked}"[:300]) from None
        self._answers.pop(0)
        return answer


def read_answer(text: str, question: Question, by: str) -> Answer:
    """An answer as people write it: an option, its number from 1, or enough of its beginning; then a comment.

    Raises:
        ValueError: It is none of the options.
    """
    said = text.strip()
    for choice in question.options:  # an option may have a colon in it
        if said.casefold() == choice.casefold():
            return Answer(choice=choice, by=by)
    word, _, comment = said.partition(":")
    word = word.strip().casefold()
    word = {"yes": "y", "no": "n"}.get(word, word)
    if word.isdecimal() and 1 <= int(word) <= len(question.options):
        return Answer(choice=question.options[int(word) - 1], by=by, comment=comment.strip())
    if word in ("y", "n") and question.what in ("pause", "review", "permit"):
        return Answer(choice=question.options[0 if word == "y" else 1], by=by, comment=comment.strip())
    found = [one for one in question.options if word and one.casefold().startswith(word)]
    if len(found) == 1:
        return Answer(choice=found[0], by=by, comment=comment.strip())
    raise ValueError(f"{text!r} is none of {', '.join(question.options)}")
