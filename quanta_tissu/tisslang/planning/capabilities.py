"""What a script can do at most, as data that stays in a file: `tissu lang plan --lock`, and `--check` afterwards.

A lock is reviewed once. From then on a change of the script that only does less passes; one that could do more is
shown with its places.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslang.engine.budgets import Budget
from quanta_tissu.tisslang.engine.effects import (
    AppendFile,
    AskModel,
    AskPerson,
    DeleteDocument,
    DeleteFile,
    Effect,
    InsertDocument,
    MakeFolder,
    QueryDatabase,
    ReadFile,
    RunCommand,
    Site,
    TestFile,
    UpdateDocument,
    WriteFile,
)
from quanta_tissu.tisslang.engine.planning import Plan, at_most
from quanta_tissu.tisslang.engine.programs import programs
from quanta_tissu.tisslang.engine.queries import collections_of
from quanta_tissu.tisslang.engine.values import Unknown, as_text
from quanta_tissu.tisslang.llm.protocol import Message, Request, count_at_most
from quanta_tissu.tisslang.planning.command_patterns import ANY_COMMAND, allows, command_pattern
from quanta_tissu.tisslang.planning.patterns import covers, path_pattern, pattern_of

VERSION = 2
"""Of the file; those of version 1 did not say what commands are."""

ATTEMPTS = 3
"""How often a model is asked at most for an answer that fits a schema."""

LEVELS = ("none", "landlock", "default", "bwrap", "txn")
"""How commands are kept in, from the weakest; `default` is what the run says, which is landlock or more."""

_LISTS = {
    "read": "files that are read",
    "write": "files and folders that are made or changed",
    "delete": "files and folders that are removed",
    "programs": "programs that commands start; ? is one that only a run can tell, and so any",
    "run": "commands; * stands for what a hole holds, ** for any text of the shell",
    "models": "models that are asked; `default` is the one that the run is given",
    "query": "collections that are read",
    "change": "collections whose documents are changed",
}
_NUMBERS = {
    "commands": "commands",
    "model_calls": "calls of models",
    "tokens": "tokens of prompts and answers",
}
_NO_BOUND = "no bound"
_HEAD = """\
# What {script} can do at most. `tissu lang plan {script} --check FILE` fails when the script could do more.
# In names and paths `*` stands for any text, also with `/` and `..` in it; no path leaves the project.
"""


@dataclass(slots=True)
class Capabilities:
    """What a script can do at most.

    Attributes:
        lists: By name, what of which kind: paths, programs, models and collections, as patterns, each with the
            places that need it.
        numbers: By name, how many at most; None: no bound.
        network: Whether commands may use the network.
        raw: Whether text that was not written in the script reaches the shell.
        sandbox: How the command is kept in that is kept in least; the strongest level if there is no command.
        people: At how many places a person is asked, by what.
        places: Of all but the lists, the places that need it.
    """

    lists: dict[str, dict[str, list[Site]]] = field(default_factory=lambda: {name: {} for name in _LISTS})
    numbers: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(_NUMBERS, 0))
    network: bool = False
    raw: bool = False
    sandbox: str = LEVELS[-1]
    people: dict[str, int] = field(default_factory=lambda: {"pause": 0, "review": 0, "choose": 0})
    places: dict[str, list[Site]] = field(default_factory=lambda: defaultdict(list))

    def need(self, kind: str, what: str, site: Site) -> None:
        """Something more that is needed somewhere."""
        self.lists[kind].setdefault(what, []).append(site)


def capabilities_of(plan: Plan) -> Capabilities:
    """What a planned script can do at most."""
    made = Capabilities()
    effects = [one.effect for one in plan.effects]
    for effect in effects:
        _add(effect, made)
    for name, kind in (("commands", RunCommand), ("model_calls", AskModel), ("tokens", AskModel)):
        made.places[name] = [one.site for one in effects if isinstance(one.action, kind)]
    asking = [one for one in effects if isinstance(one.action, AskModel)]
    made.numbers["commands"] = at_most(one.at_most for one in effects if isinstance(one.action, RunCommand))
    made.numbers["model_calls"] = bound("API_CALLS", asking, calls_of)
    made.numbers["tokens"] = bound("TOKEN_COUNT", asking, tokens_of)
    return made


def _add(effect: Effect, made: Capabilities) -> None:
    site = effect.site
    match effect.action:
        case ReadFile(path=path) | TestFile(path=path):
            made.need("read", path_pattern(path), site)
        case WriteFile(path=path) | AppendFile(path=path) | MakeFolder(path=path):
            made.need("write", path_pattern(path), site)
        case DeleteFile(path=path):
            made.need("delete", path_pattern(path), site)
        case RunCommand():
            _add_command(effect.action, site, made)
        case AskModel(settings=settings):
            made.need("models", pattern_of(settings.get("model", "default")), site)
        case AskPerson(what=what):
            made.people[what] += 1
        case QueryDatabase(query=query):
            for one in collections_of(query):
                made.need("query", one, site)
        case InsertDocument(collection=name) | UpdateDocument(collection=name) | DeleteDocument(collection=name):
            made.need("change", pattern_of(name), site)


def _add_command(command: RunCommand, site: Site, made: Capabilities) -> None:
    for one in programs_of(command):
        made.need("programs", one, site)
    made.need("run", command_pattern(command), site)
    level = command.sandbox or "default"
    if LEVELS.index(level) < LEVELS.index(made.sandbox):
        made.sandbox, made.places["sandbox"] = level, []
    if level == made.sandbox:
        made.places["sandbox"].append(site)
    made.network, made.raw = made.network or command.network, made.raw or command.raw
    made.places["network"] += [site] * command.network
    made.places["raw"] += [site] * command.raw


def programs_of(command: RunCommand) -> list[str]:
    """The programs of a planned command; `?` where a value says which, or the text of the shell is not known."""
    known = {name: one for name, one in command.variables.items() if isinstance(one, str)}
    found = programs(as_text(command.command), known)
    unread = isinstance(command.command, Unknown) and "?" not in found
    return ["?" if "{" in one else one for one in found] + ["?"] * unread


# --- numbers -----------------------------------------------------------------------------------------------------


def calls_of(effect: Effect) -> int | None:
    """How often a model is asked at most for an effect."""
    assert isinstance(effect.action, AskModel)
    each = 1 if effect.action.schema is None else ATTEMPTS
    return None if effect.at_most is None else effect.at_most * each


def tokens_of(effect: Effect) -> int | None:
    """How many tokens an effect takes at most; None if the prompt or the length of the answer is not known."""
    assert isinstance(effect.action, AskModel)
    action, calls = effect.action, calls_of(effect)
    longest = action.settings.get("max_tokens")
    unknown = isinstance(action.prompt, Unknown) or "persona" in action.settings or action.schema is not None
    if calls is None or unknown or not isinstance(longest, int):
        return None
    return calls * (count_at_most(Request((Message("user", as_text(action.prompt) or " "),))) + longest)


def bound(name: str, effects: list[Effect], own: Callable[[Effect], int | None]) -> int | None:
    """How much all effects take at most of what a budget limits; None: no bound.

    Args:
        name: The budget.
        effects: They.
        own: How much each takes at most.
    """
    chains = [(_budgets(name, one), own(one)) for one in effects]
    return _bound(chains)


def _budgets(name: str, effect: Effect) -> tuple[Budget, ...]:
    """The budgets of an effect, from the outside in; those that are set again and again limit nothing in all."""
    return tuple(one for one in effect.budgets if one.name == name and "#n" not in one.key)


def _bound(chains: list[tuple[tuple[Budget, ...], int | None]]) -> int | None:
    total = at_most(most for budgets, most in chains if not budgets)
    groups: dict[int, list[tuple[tuple[Budget, ...], int | None]]] = {}
    limits: dict[int, int] = {}
    for budgets, most in chains:
        if budgets:
            groups.setdefault(id(budgets[0]), []).append((budgets[1:], most))
            limits[id(budgets[0])] = int(budgets[0].limit)
    for group, inside in groups.items():
        most = _bound(inside)
        most = limits[group] if most is None else min(limits[group], most)
        total = None if total is None else total + most
    return total


# --- the file ----------------------------------------------------------------------------------------------------


def as_toml(made: Capabilities, script: str) -> str:
    """Capabilities as a file that people review: always in the same order."""
    lines = [_HEAD.format(script=PurePosixPath(script).name), f"version = {VERSION}"]
    for name, meaning in _LISTS.items():
        found = sorted(made.lists[name])
        lines.append(f"\n# {meaning}")
        lines.append(
            f"{name} = [" + "".join(f"\n    {_quoted(one)}," for one in found) + ("\n]" if found else "]")
        )
    lines.append("\n# whether commands may use the network")
    lines.append(f"network = {_truth(made.network)}")
    lines.append("# whether text that is not written in the script reaches the shell")
    lines.append(f"raw = {_truth(made.raw)}")
    lines.append("# how commands are kept in, at least; `default` is what the run says")
    lines.append(f"sandbox = {_quoted(made.sandbox)}")
    for name, meaning in _NUMBERS.items():
        number = made.numbers[name]
        lines.append(f"# {meaning} at most\n{name} = {_quoted(_NO_BOUND) if number is None else number}")
    lines.append("\n# how often people are asked")
    lines.append("[people]")
    lines += [f"{what} = {number}" for what, number in made.people.items()]
    return "\n".join(lines) + "\n"


def read_toml(text: str, name: str) -> Capabilities:
    """Capabilities of a file.

    Args:
        text: What is in it.
        name: What it is called, for messages.

    Raises:
        ConfigError: It is no lock.
    """
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name} cannot be read: {error}", hint="tissu lang plan --lock writes it") from None
    if data.get("version") == 1:
        data = {"run": [ANY_COMMAND], **data, "version": VERSION}
    made = Capabilities()
    known = {"version", "network", "raw", "sandbox", "people", *_LISTS, *_NUMBERS}
    wrong = sorted(set(data) ^ known)
    if wrong or data["version"] != VERSION:
        said = (
            f"`{wrong[0]}` is {'unknown' if wrong[0] in data else 'missing'}"
            if wrong
            else f"its version is not {VERSION}"
        )
        raise ConfigError(f"{name} is no lock of capabilities: {said}", hint="tissu lang plan --lock writes it")
    for kind in _LISTS:
        made.lists[kind] = {one: [] for one in _texts(data, kind, name)}
    for kind in _NUMBERS:
        value = data[kind]
        if value != _NO_BOUND and (not isinstance(value, int) or isinstance(value, bool)):
            raise ConfigError(f"{name}: `{kind}` is {value!r}", hint=f'it is a number, or "{_NO_BOUND}"')
        made.numbers[kind] = None if value == _NO_BOUND else value
    if data["sandbox"] not in LEVELS:
        raise ConfigError(f"{name}: `sandbox` is {data['sandbox']!r}", hint=f"it is one of {', '.join(LEVELS)}")
    for kind in ("network", "raw"):
        if not isinstance(data[kind], bool):
            raise ConfigError(f"{name}: `{kind}` is {data[kind]!r}", hint="it is true or false")
    made.sandbox, made.network, made.raw = data["sandbox"], data["network"], data["raw"]
    people = data["people"]
    whole = isinstance(people, dict) and all(type(one) is int for one in people.values())
    if not whole or set(people) != set(made.people):
        raise ConfigError(f"{name}: `people` is {people!r}", hint="it says how many of pause, review, choose")
    made.people = {what: people[what] for what in made.people}
    return made


def _texts(data: Mapping[str, Any], kind: str, name: str) -> list[str]:
    value = data[kind]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{name}: `{kind}` is {value!r}", hint="it is a list of texts")
    return value


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def _quoted(text: str) -> str:
    escaped = "".join(
        one if one.isprintable() and one not in '"\\' else _ESCAPES.get(one, f"\\U{ord(one):08x}") for one in text
    )
    return f'"{escaped}"'


def _truth(value: bool) -> str:
    return "true" if value else "false"


# --- comparing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between what is locked and what a script can do.

    Attributes:
        name: Of the capability.
        before: What is locked.
        now: What the script can do.
        sites: The places that need it.
    """

    name: str
    before: str
    now: str
    sites: tuple[Site, ...] = ()


def widened(locked: Capabilities, now: Capabilities) -> list[Change]:
    """What a script can do that is not locked."""
    return list(_wider(locked, now))


def narrowed(locked: Capabilities, now: Capabilities) -> list[Change]:
    """What is locked, and the script no longer needs."""
    return [Change(one.name, one.now, one.before) for one in _wider(now, locked)]


def _wider(small: Capabilities, large: Capabilities) -> Iterator[Change]:
    for name in _LISTS:
        for one, sites in sorted(large.lists[name].items()):
            if name == "programs" and "?" in small.lists[name]:
                continue  # which program it is, nobody knows: it may be any
            allowed = allows if name == "run" else covers
            if not any(allowed(known, one) for known in small.lists[name]):
                yield Change(name, "", one, tuple(sites))
    for name, before, now in (("network", small.network, large.network), ("raw", small.raw, large.raw)):
        if now and not before:
            yield Change(name, "false", "true", tuple(large.places[name]))
    if LEVELS.index(large.sandbox) < LEVELS.index(small.sandbox):
        yield Change("sandbox", small.sandbox, large.sandbox, tuple(large.places["sandbox"]))
    for name in _NUMBERS:
        least, most = small.numbers[name], large.numbers[name]
        if least is not None and (most is None or most > least):
            yield Change(name, f"{least}", _NO_BOUND if most is None else f"{most}", tuple(large.places[name]))
    for what in small.people:
        if large.people[what] < small.people[what]:
            yield Change(f"people.{what}", f"{small.people[what]}", f"{large.people[what]}")
