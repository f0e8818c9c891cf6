"""What a run may do without asking: rules that match facts of an effect, the first that fits decides.

A file of rules, `.tissu/rules.toml` in the project:

    [[rule]]
    decision = "deny"           # allow, ask or deny
    op = "RUN"                  # the command; also a list, also with * and ?
    program = ["curl", "wget"]  # programs that the text of the shell starts
    why = "the network is not for this project"

    [[rule]]
    decision = "ask"
    op = ["WRITE", "DELETE"]
    path = "deploy/**"

Other facts: `network` (true or false), `raw` (text that was not written in the script reaches the shell),
`sandbox` (the level), `collection`, `server` (that a script names with `@model`). A rule that allows needs all
programs of a command, or collections of a query, to fit; one that asks or denies any.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslang.engine.effects import Action, AskModel, QueryDatabase, RunCommand
from quanta_tissu.tisslang.engine.programs import programs
from quanta_tissu.tisslang.engine.queries import collections_of
from quanta_tissu.tisslang.engine.values import as_text
from quanta_tissu.tisslang.sandbox.policy import Level

Decision = Literal["allow", "ask", "deny"]

_FACTS = ("op", "program", "path", "network", "raw", "sandbox", "collection", "server")

_VALUES = {
    "op": tuple(one.op for one in Action.__subclasses__()),
    "sandbox": tuple(level.value for level in Level),
}
"""Facts that have few values."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        decision: What is done with what fits.
        facts: What an effect must be: patterns of texts, or a truth value.
        why: Said with the decision.
    """

    decision: Decision
    facts: Mapping[str, tuple[str, ...] | bool]
    why: str = ""

    @property
    def about(self) -> str:
        """What an effect must be, as people read it."""
        return ", ".join(
            f"{name} = {str(wanted).lower() if isinstance(wanted, bool) else ' or '.join(wanted)}"
            for name, wanted in self.facts.items()
        )

    def fits(self, facts: Mapping[str, Any]) -> bool:
        """Whether an effect with these facts is meant."""
        return all(self._fits(name, wanted, facts.get(name)) for name, wanted in self.facts.items())

    def _fits(self, name: str, wanted: tuple[str, ...] | bool, fact: Any) -> bool:
        if isinstance(wanted, bool):
            return fact is wanted
        if fact is None or isinstance(fact, bool):
            return False
        if name == "path":
            return _path(fact, wanted)
        if isinstance(fact, list):  # programs and collections: an effect may have several
            match = all if self.decision == "allow" else any
            return bool(fact) and match(any(fnmatchcase(one, pattern) for pattern in wanted) for one in fact)
        return any(fnmatchcase(str(fact), pattern) for pattern in wanted)


BUILT_IN = (
    Rule("ask", {"raw": True}, "text that was not written in the script reaches the shell"),
    Rule("ask", {"sandbox": ("none",)}, "the command is not kept in by a sandbox"),
    Rule("ask", {"network": True}, "the command may use the network"),
    Rule("ask", {"server": ("*",)}, "the script itself names the server that it sends prompts to"),
    Rule("allow", {}),
)
"""What holds where no rule of the project fits."""


def decide(rules: Sequence[Rule], facts: Mapping[str, Any]) -> Rule:
    """The first rule that fits."""
    return next(rule for rule in (*rules, *BUILT_IN) if rule.fits(facts))


def facts_of(action: Action, root: Path, level: str) -> dict[str, Any]:
    """The facts of an action.

    Args:
        action: It.
        root: The project's folder.
        level: How commands are kept in where the script says nothing.
    """
    args = action.args()
    facts: dict[str, Any] = {"op": action.op}
    if "path" in args:  # as it is in truth, whatever links and dots it is written with
        facts["path"] = os.path.relpath(os.path.realpath(root / as_text(args["path"])), os.path.realpath(root))
    if "collection" in args:
        facts["collection"] = [as_text(args["collection"])]
    if isinstance(action, QueryDatabase):
        facts["collection"] = collections_of(action.query)
    if isinstance(action, AskModel):
        model = as_text(action.settings.get("model", ""))
        if model.startswith(("http://", "https://")):
            facts["server"] = urlsplit(model).hostname or "?"
    if isinstance(action, RunCommand):
        facts |= {
            "program": programs(as_text(action.command), {n: as_text(one) for n, one in action.variables.items()}),
            "network": action.network,
            "raw": action.raw,
            "sandbox": action.sandbox or level,
        }
    return facts


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a file; none if there is no file.

    Raises:
        ConfigError: It cannot be read, or says something that is no rule.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the rules in {path} cannot be read: {error}", hint="it is a file of TOML") from None
    extra = sorted(set(data) - {"rule"})
    if extra:
        raise ConfigError(f"{path}: `{extra[0]}` is unknown", hint="rules are written [[rule]]")
    rules = data.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(one, Mapping) for one in rules):
        raise ConfigError(f"{path}: `rule` is no list", hint="rules are written [[rule]], in two brackets")
    return tuple(_rule(one, f"{path}: rule {number}") for number, one in enumerate(rules, 1))


def _rule(data: Mapping[str, Any], where: str) -> Rule:
    decision = data.get("decision")
    if decision not in ("allow", "ask", "deny"):
        raise ConfigError(f"{where}: the decision is {decision!r}", hint="it is allow, ask or deny")
    facts: dict[str, tuple[str, ...] | bool] = {}
    for name, value in data.items():
        if name in ("decision", "why"):
            continue
        if name not in _FACTS:
            raise ConfigError(f"{where}: `{name}` is no fact", hint=f"the facts are {', '.join(_FACTS)}")
        if name in ("network", "raw"):
            if not isinstance(value, bool):
                raise ConfigError(f"{where}: `{name}` is {value!r}", hint="it is true or false")
            facts[name] = value
            continue
        patterns = value if isinstance(value, list) else [value]
        if not patterns or not all(isinstance(one, str) for one in patterns):
            raise ConfigError(f"{where}: `{name}` is {value!r}", hint="it is a pattern, or a list of patterns")
        for one in patterns:  # a rule that can fit nothing would forbid nothing, and nobody would see it
            if name in _VALUES and not any(fnmatchcase(value, one) for value in _VALUES[name]):
                close = get_close_matches(one.upper() if name == "op" else one, _VALUES[name], n=1)
                hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(_VALUES[name]))}"
                raise ConfigError(f"{where}: `{name}` is {one!r}, which is never so", hint=hint)
        facts[name] = tuple(patterns)
    return Rule(decision, facts, str(data.get("why", "")))


def _path(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns fits all of a path; `**` is any number of folders."""
    return any(_parts_fit(PurePosixPath(path).parts, PurePosixPath(one).parts) for one in patterns)


def _parts_fit(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_parts_fit(parts[skip:], pattern[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _parts_fit(parts[1:], pattern[1:])
