"""Questions of a run to people: recorded before they are asked, and their answers bound to what was shown."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Any

from quanta_tissu.tisslang.engine.effects import AskPerson, Effect, Outcome, RunCommand
from quanta_tissu.tisslang.engine.shell import as_shown
from quanta_tissu.tisslang.engine.values import Unknown, as_text
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.running.people import Answer, Person, Question
from quanta_tissu.tisslang.running.recorded import Recorded
from quanta_tissu.tisslang.running.rules import Rule


class Paused(Exception):  # noqa: N818 - no error: the run goes on when it has its answer
    """A person is needed, and nobody is there.

    Args:
        question: What is to be answered.
    """

    def __init__(self, question: Question) -> None:
        super().__init__(question.title)
        self.question = question


class Approvals:
    """Asks people on behalf of a run.

    Args:
        journal: Where questions and answers are recorded.
        recorded: What is recorded already.
        person: Who answers.
    """

    def __init__(self, journal: Journal, recorded: Recorded, person: Person) -> None:
        self._journal = journal
        self._recorded = recorded
        self._person = person
        self._asking = threading.Lock()  # one question at a time

    def answered(self, effect: Effect, action: AskPerson) -> Outcome:
        """What a person says to PAUSE, REQUEST_REVIEW or CHOOSE."""
        title, options = {
            "pause": ("the script waits", ("continue", "stop")),
            "review": ("is this right?", ("approve", "reject")),
            "choose": (as_text(action.shown), action.options),
        }[action.what]
        answer = self.ask(effect, action.what, title, as_text(action.shown), options)
        if action.what == "choose":
            return Outcome(value=answer.choice)
        approved = answer.choice == options[0]
        return Outcome(value={"approved": approved, "by": answer.by, "comment": answer.comment})

    def ask(
        self, effect: Effect, what: str, title: str, shown: str, options: tuple[str, ...], *, times: int = 1
    ) -> Answer:
        """A person's answer, which is bound to what is shown, and to how often the effect was begun.

        Raises:
            Paused: Nobody is there.
        """
        shown = self._journal.redactor.text(shown)
        bound = {"what": what, "shown": shown, "options": list(options), "key": effect.key, "times": times}
        digest = digest_of(bound)
        said = self._recorded.answer(effect.key, digest)
        if said is not None and said["answer"] in options:
            return Answer(choice=said["answer"], by=said["by"], comment=said.get("comment", ""))
        question = Question(
            key=effect.key,
            what=what,
            title=title,
            shown=shown,
            options=options,
            digest=digest,
            changed=self._recorded.another(digest),
        )
        with self._asking:
            self._journal.append(
                "approval.request",
                durable=True,
                key=effect.key,
                what=what,
                title=title,
                shown=self._journal.put(shown.encode()),
                options=list(options),
                digest=digest,
                line=effect.site.line,
            )
            answer = self._person.ask(question)
            if answer is None:
                raise Paused(question)
            self._journal.append(
                "approval.answer",
                durable=True,
                key=effect.key,
                what=what,
                answer=answer.choice,
                by=answer.by,
                comment=answer.comment,
                digest=digest,
            )
        return answer


def described(effect: Effect, facts: Mapping[str, Any]) -> str:
    """An effect as a person reads it who has to allow it."""
    action = effect.action
    if isinstance(action, RunCommand):
        shown = as_shown(
            as_text(action.command), [(name, as_text(value)) for name, value in action.variables.items()]
        )
        return f"{shown}\n(sandbox: {facts['sandbox']}, network: {'yes' if facts['network'] else 'no'})"
    return f"{action.op} {json.dumps(plain(action.args()), ensure_ascii=False, indent=2)}"


def why(rule: Rule) -> str:
    """The reason of a rule, or else what it is about, in brackets."""
    said = rule.why or rule.about
    return f" ({said})" if said else ""


def plain(value: Any) -> Any:
    """Values as JSON has them."""
    match value:
        case Mapping():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case Unknown(shape=shape):  # in what is to be estimated
            return shape
        case _:
            return value


def digest_of(value: Any) -> str:
    """Names a value of JSON: equal ones, and no others, have the same."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    ).hexdigest()
