"""Runs: started, gone on with after whatever ended them, told again from their journal."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from quanta_tissu import __version__
from quanta_tissu.errors import (
    ConfigError,
    FileMissingError,
    FileRefusedError,
    JournalError,
    TissLangError,
    TissuError,
)
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.program import Program, thaw
from quanta_tissu.tisslang.engine.scope import Scope
from quanta_tissu.tisslang.engine.values import Value
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.record import Record
from quanta_tissu.tisslang.journal.redaction import Redactor
from quanta_tissu.tisslang.journal.verify import verify
from quanta_tissu.tisslang.running.approvals import Paused
from quanta_tissu.tisslang.running.conductor import Conductor, Diverged, Performer, Watcher
from quanta_tissu.tisslang.running.people import Nobody, Person, Question
from quanta_tissu.tisslang.running.recorded import within
from quanta_tissu.tisslang.running.rules import Rule
from quanta_tissu.tisslang.running.ways import Cancelled, Way
from quanta_tissu.tisslang.sandbox.files import ProjectFiles

Status = Literal["done", "failed", "paused", "broken"]

RUNS = Path(".tissu", "runs")
"""Where the runs of a project are, seen from its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is made; kept with it, so that it goes on in the same way.

    Attributes:
        sandbox: How commands are kept in where the script says nothing.
        network: Whether commands may use the network without a directive.
        models: Models by the names that `@model` gives them; that of the empty name is asked by default.
        database: The file or address of the database.
        environment: Variables of the environment that commands see.
        secrets: Names of secrets that commands see in their environment.
        prices: What a million tokens of a prompt and of an answer cost.
    """

    sandbox: str
    network: bool = False
    models: Mapping[str, str] = field(default_factory=dict)
    database: str = ""
    environment: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    prices: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, for now.

    Attributes:
        run: Its name.
        folder: Where its journal is.
        status: "done"; "failed": the script failed; "paused": a person is needed; "broken": it cannot go on, for a
            reason that is not in the script.
        failure: Why it failed.
        question: What is to be answered.
        error: Why it cannot go on.
        variables: What was known at its end.
        divergences: Where an edited script left what was recorded.
    """

    run: str
    folder: Path
    status: Status
    failure: Failure | None = None
    question: Question | None = None
    error: TissuError | None = None
    variables: Mapping[str, Value] = field(default_factory=dict)
    divergences: tuple[Diverged, ...] = ()


Doer = Callable[[Journal, Options], Performer]
"""Makes what does the effects of a run."""


def new_name() -> str:
    """The name of a new run; names are in the order of time."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def start(
    program: Program,
    root: Path,
    options: Options,
    *,
    doer: Doer,
    person: Person,
    watcher: Watcher,
    rules: Sequence[Rule] = (),
    redactor: Redactor | None = None,
    name: str | None = None,
    anchors: Path | None = None,
) -> Ending:
    """Run a script.

    Args:
        program: It; without errors.
        root: The project's folder.
        options: How.
        doer: Makes what does effects.
        person: Answers questions.
        watcher: Is told what happens.
        rules: What may be done without asking.
        redactor: Hides secrets in all that is kept.
        name: The run's name; by default a new one.
        anchors: A file elsewhere to which the end of the record is appended as it grows.

    Raises:
        ConfigError: The script has the value of a secret in it.
        JournalError: Its journal cannot be written.
    """
    _refuse_secrets(program, redactor)
    folder = root / RUNS / (name or new_name())
    journal = Journal.create(
        folder,
        redactor=redactor,
        anchors=anchors,
        script=program.main.source.name,
        title=program.title,
        sources=program.sources(),
        root=str(root.resolve()),
        options=asdict(options),
        engine=__version__,
        by=_user(),
    )
    with journal:
        return _go(journal, program, options, doer(journal, options), person, watcher, rules)


def resume(
    folder: Path,
    *,
    doer: Doer,
    person: Person,
    watcher: Watcher,
    rules: Sequence[Rule] = (),
    redactor: Redactor | None = None,
    edited: Program | None = None,
    accept_changes: bool = False,
    again: bool = False,
    anchors: Path | None = None,
    root: Path | None = None,
    models: Mapping[str, str] = MappingProxyType({}),
    environment: Sequence[str] = (),
    secrets: Sequence[str] = (),
) -> Ending:
    """Go on with a run: what is recorded is not done again.

    Args:
        folder: The run's folder.
        doer: Makes what does effects.
        person: Answers questions.
        watcher: Is told what happens.
        rules: What may be done without asking.
        redactor: Hides secrets in all that is kept.
        edited: Another version of the script; what is recorded counts up to where it wants something else.
        accept_changes: Whether to go on although somebody else has changed files that the run wrote or read, or
            has moved the project.
        again: Whether to do the step that failed again, from its beginning; of branches that failed, each.
        anchors: As in `start`.
        root: The project that it is to go on in, if that is known; the run must be one of it.
        models: Models that the run gets besides those that it has, or instead of those of the same names.
        environment: Variables that its commands may see from now on, too.
        secrets: Secrets that they may see from now on, too.

    Raises:
        ConfigError: The edited script has the value of a secret in it.
        JournalError: There is no such run, it is one of another project, another process has it, it was changed,
            it is over, or it has nothing that could be done again.
        TissLangError: Somebody else has changed files that the run wrote or read, or has moved the project.
    """
    _refuse_other_project(folder, root)
    if edited is not None:
        _refuse_secrets(edited, redactor)
    refuse_changed_record(folder)
    with Journal.open(folder, redactor=redactor, anchors=anchors) as journal:
        first = journal.expanded(journal.records[0])
        ended = _last_end(journal)
        if ended is not None and ended.fields.get("status") == "done" and edited is None:
            raise JournalError(
                f"the run {folder.name} is done",
                hint=f"tissu replay {folder.name} shows it; tissu run starts another",
            )
        program = edited or thaw(_sources(journal))
        from_here = _failed_steps(journal) if again else ()
        if not accept_changes:
            _refuse_moved(journal, Path(first["root"]))
            _refuse_changed_files(journal, from_here)
        before = _options(journal)
        options = replace(
            before,
            models={**before.models, **models},
            environment=tuple(dict.fromkeys((*before.environment, *environment))),
            secrets=tuple(dict.fromkeys((*before.secrets, *secrets))),
        )
        performer = doer(journal, options)  # what it lacks is said before anything is recorded
        more: dict[str, Any] = {"again": list(from_here)} if again else {}
        if options != before:
            more["options"] = asdict(options)
        if edited is not None:
            more |= {"script": edited.main.source.name, "sources": edited.sources()}
        journal.append("run.resume", durable=True, by=_user(), engine=__version__, **more)
        return _go(journal, program, options, performer, person, watcher, rules, from_here)


def _last_end(journal: Journal) -> Record | None:
    """How the run last ended, or that it was gone on with since."""
    return next((one for one in reversed(journal.records) if one.kind in ("run.end", "run.resume")), None)


def _failed_steps(journal: Journal) -> tuple[str, ...]:
    """The paths of the steps that the run failed in, or of its last effect, if those did nothing.

    Raises:
        JournalError: The run did not fail, or there is nothing that could be done again.
    """
    name = journal.folder.name
    ended = _last_end(journal)
    if ended is None or ended.fields.get("status") != "failed":
        raise JournalError(f"the run {name} did not fail", hint="tissu resume without --again goes on")
    said = journal.expanded(ended)
    keys = [journal.expanded(one)["key"] for one in journal.records if one.kind == "effect.intent"]
    steps = tuple(step for step in said.get("steps", ()) if any(within(key, step) for key in keys))
    if not steps and not said.get("last"):
        raise JournalError(
            f"the record of the run {name} has nothing that could be done again",
            hint=f"mend the script: tissu resume {name} --script SCRIPT",
        )
    return steps or (said["last"],)


def replay(folder: Path, *, watcher: Watcher) -> Ending:
    """Tell a run again from its journal; nothing is done and nothing is written.

    Raises:
        JournalError: There is no such run, or it was changed.
        TissLangError: The script does not do what is recorded.
    """
    with Journal.read(folder) as journal:
        program = thaw(_sources(journal))
        options = _options(journal)
        conductor = Conductor(journal, None, Nobody(), watcher)
        ending = _conducted(conductor, program, options, journal)
    recorded = next((one for one in reversed(journal.records) if one.kind == "run.end"), None)
    if recorded is not None and ending.status != "broken":
        said = journal.expanded(recorded)
        if said["status"] != ending.status or said["variables"] != ending.variables:
            raise TissLangError(
                f"the replay of {folder.name} ends otherwise than the run: {ending.status}, not {said['status']}",
                hint="was it made by another version of the engine?",
            )
    return ending


def read_options(folder: Path) -> Options:
    """How a run was made, or last gone on with.

    Raises:
        JournalError: There is no such run.
    """
    with Journal.read(folder) as journal:
        return _options(journal)


def refuse_changed_record(folder: Path) -> None:
    """Make sure that the record of a run is what was written.

    Raises:
        JournalError: It is not, or there is none.
    """
    if not folder.is_dir():
        raise JournalError(f"there is no run {folder.name}", hint="`tissu runs` lists those that there are")
    verdict = verify(folder)
    if not verdict.ok:
        first = next(one.message for one in verdict.findings if one.severe)
        raise JournalError(
            f"the record of {folder.name} is not what was written: {first}",
            hint=f"tissu audit {folder.name} shows all of it",
        )


def _refuse_secrets(program: Program, redactor: Redactor | None) -> None:
    """Make sure that a script can be kept as it is."""
    for source, text in program.sources().items():
        if redactor is not None and redactor.text(text) != text:
            raise ConfigError(
                f"{source} has the value of a secret in it, and would be kept without it",
                hint="commands get secrets by their names: tissu run --secret NAME, and $NAME in the command",
            )


def _project(folder: Path) -> Path:
    """The project that the folder of a run is in."""
    return folder.resolve().parents[len(RUNS.parts)]


def _refuse_other_project(folder: Path, root: Path | None) -> None:
    """Make sure that a run does not go on with the files of another project."""
    if root is not None and root.resolve() != _project(folder):
        raise JournalError(
            f"the run {folder.name} is one of {_project(folder)}, not of {root.resolve()}",
            hint=f"tissu resume {folder.name} --project {_project(folder)}",
        )


def _refuse_moved(journal: Journal, root: Path) -> None:
    """Make sure that a project is where it was: of two that are equal, one may have gone on already."""
    if root != _project(journal.folder):
        raise TissLangError(
            f"the run {journal.folder.name} was made in {root}, and is in {_project(journal.folder)} now",
            hint="if the project was moved, and not copied, go on with it here: --accept-changes",
        )


def _refuse_changed_files(journal: Journal, again: Sequence[str]) -> None:
    """Make sure that files are as the run left them, and as it read them.

    Args:
        journal: The run's.
        again: Paths of what is done again, and reads anew.
    """
    last: dict[str, str | None] = {}
    read: dict[str, str] = {}
    begun: dict[int, Mapping[str, Any]] = {}
    for record in journal.records:
        if record.kind == "effect.intent":
            begun[record.seq] = journal.expanded(record)
        elif record.kind == "effect.result":
            intent, result = begun.pop(record.fields["of"]), journal.expanded(record)
            if "transaction" in intent:  # it was on a copy
                continue
            last.update({path: after for _, path, _, after in result.get("files", ())})
            if intent["op"] == "READ" and result["status"] == "ok":
                if any(within(intent["key"], path) for path in again):
                    read.pop(intent["args"]["path"], None)
                else:
                    read[intent["args"]["path"]] = result["value"]
    for intent in begun.values():  # what they have done, nobody knows
        if intent["cls"] == "RUN" or intent["op"] == "COMMIT":
            return
        for known in (last, read):
            known.pop(intent["args"].get("path", ""), None)
    with ProjectFiles(_project(journal.folder)) as files:
        wrong = [f"{path} {said}" for path, digest in last.items() if (said := _change(files, path, digest))]
        other = [
            f"{path} {said}"
            for path, text in read.items()
            if path not in last and (said := _other_text(files, path, text, journal.redactor))
        ]
    if wrong:
        raise TissLangError(
            f"files that the run wrote are not as it left them: {', '.join(wrong[:10])}",
            hint="bring them back, or go on with them as they are: --accept-changes",
        )
    if other:
        raise TissLangError(
            f"files that the run read are not as it read them: {', '.join(other[:10])}",
            hint="go on with what it read then: --accept-changes; tissu run starts another, which reads them",
        )


def _change(files: ProjectFiles, path: str, digest: str | None) -> str:
    """What became of a file that was written; empty: it is as it was left."""
    try:
        now = files.digest(path) if files.kind(path) == "file" else None
    except FileRefusedError:
        return ""  # what a command made there is no file of ours
    if digest is None or now == digest:
        return ""
    return "is gone" if now is None else "was changed"


def _other_text(files: ProjectFiles, path: str, text: str, redactor: Redactor) -> str:
    """What became of a file that was read; empty: it is as it was."""
    try:
        now = redactor.text(files.read(path).decode())
    except FileMissingError:
        return "is gone"
    except (FileRefusedError, UnicodeDecodeError):
        return "was changed"
    return "" if now == text else "was changed"


def _last_given(journal: Journal, name: str) -> Mapping[str, Any]:
    """What a run was begun with, or last gone on with: not every time anew."""
    found: Mapping[str, Any] = {}
    for record in journal.records:
        if record.kind in ("run.start", "run.resume"):
            found = journal.expanded(record).get(name, found)
    return found


def _sources(journal: Journal) -> Mapping[str, str]:
    return _last_given(journal, "sources")


def _options(journal: Journal) -> Options:
    data = _last_given(journal, "options")
    lists = {name: tuple(data[name]) for name in ("environment", "secrets", "prices")}
    return Options(**{**data, **lists})


def _go(
    journal: Journal,
    program: Program,
    options: Options,
    performer: Performer,
    person: Person,
    watcher: Watcher,
    rules: Sequence[Rule],
    again: Sequence[str] = (),
) -> Ending:
    conductor = Conductor(journal, performer, person, watcher, rules, again)
    try:
        ending = _conducted(conductor, program, options, journal)
    except KeyboardInterrupt:
        journal.append("run.end", durable=True, status="broken", reason="interrupted", variables={})
        raise
    reason: dict[str, Any] = {}
    if ending.failure is not None:
        one = ending.failure
        others = [{"span": list(label.span), "text": label.text} for label in one.diagnostic.others]
        journal.append("diagnostic", **one.value(), span=list(one.site.span), others=others)
        reason |= {"reason": one.diagnostic.message, "steps": list(one.steps), "last": conductor.last}
    elif ending.question is not None:
        reason["reason"] = ending.question.title
    elif ending.error is not None:
        reason["reason"] = ending.error.message
    journal.append("run.end", durable=True, status=ending.status, variables=dict(ending.variables), **reason)
    return ending


def _conducted(conductor: Conductor, program: Program, options: Options, journal: Journal) -> Ending:
    # A step works on a copy, not a command alone: the level of the run is what directives begin with.
    interpreter = program.interpreter({"sandbox": "txn"} if options.sandbox == "txn" else {})
    about: dict[str, Any] = {"run": journal.folder.name, "folder": journal.folder}
    try:
        scope = conductor.conduct(interpreter.run(), Way())
    except Failure as failure:
        return Ending(status="failed", failure=failure, divergences=tuple(conductor.divergences), **about)
    except Paused as paused:
        return Ending(status="paused", question=paused.question, divergences=tuple(conductor.divergences), **about)
    except Cancelled:
        error = TissLangError("the run was interrupted", hint=f"tissu resume {journal.folder.name}")
        return Ending(status="broken", error=error, **about)
    except Diverged as diverged:
        return Ending(status="broken", error=_replayed_so_far(diverged, journal), **about)
    except TissuError as error:
        return Ending(status="broken", error=error, divergences=tuple(conductor.divergences), **about)
    assert isinstance(scope, Scope)
    variables = {name: journal.redactor.value(one.value) for name, one in scope.variables.items()}
    return Ending(status="done", variables=variables, divergences=tuple(conductor.divergences), **about)


def _replayed_so_far(diverged: Diverged, journal: Journal) -> TissLangError:
    """What to say when a replay comes to where nothing more is recorded."""
    place = f"{diverged.effect.site.source.name}:{diverged.effect.site.line}"
    if diverged.earlier is None:
        return TissLangError(
            f"the record ends before {diverged.effect.action.op} in {place}",
            hint=f"the run goes on with tissu resume {journal.folder.name}",
        )
    return TissLangError(f"the script wants another {diverged.effect.action.op} in {place} than what is recorded")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
