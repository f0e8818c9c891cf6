"""A library of skills: scripts with descriptions, versions and a record of how they did, found by search.

A skill is ranked by how well its description fits, and by how surely it works:

    score = relevance · (1 + surety) / 2

`surety` is the lower end of what its current version's share of success may be: the 5 % quantile of Beta(1 + s, 1
+ f) after s successes and f failures, the posterior of a share of which nothing was known (Bayes's uniform prior;
Brown, Cai & DasGupta 2001, "Interval Estimation for a Binomial Proportion", section 3.1, compare such intervals).
A new version has 0.05, one success 0.22, 9 of 10 0.64, and what has failed ten times 0.005: unlike Wilson's bound,
which is 0 for both, it tells what is untried from what does not work. What fits well is at most halved for being
unsure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quanta_tissu.errors import ConfigError, NotFoundError
from quanta_tissu.knowledge.embedders import Embedder, default_embedder
from quanta_tissu.knowledge.searchable import CANDIDATES, SearchableCollection, checked_name, relevances
from quanta_tissu.tissdb import Database

_QUANTILE = 0.05


@dataclass(frozen=True)
class Version:
    """One version of a skill; it never changes but for its counts.

    Attributes:
        number: From 1.
        text: The script.
        description: What it does, as it was said with this version.
        note: Why it was made.
        successes: How often it worked.
        failures: How often it did not.
        time: When it was made.
    """

    number: int
    text: str
    description: str
    note: str
    successes: int
    failures: int
    time: dt.datetime

    @property
    def surety(self) -> float:
        """Share of success that it has with a probability of 95 % at least."""
        return lower_bound(self.successes, self.failures)


@dataclass(frozen=True)
class Skill:
    """A skill.

    Attributes:
        name: Its name.
        language: What its text is written in.
        current: The version that is in use.
        versions: How many there are.
    """

    name: str
    language: str
    current: Version
    versions: int

    @property
    def description(self) -> str:
        """What it does."""
        return self.current.description

    @property
    def text(self) -> str:
        """The script."""
        return self.current.text


@dataclass(frozen=True)
class FoundSkill:
    """A skill that a search has found, and why.

    Attributes:
        skill: The skill.
        score: relevance · (1 + surety) / 2.
        relevance: How well name and description fit, 0 to 1.
        surety: The lower end of its share of success.
        words: Its place by words, from 1; None if they did not find it.
        nearness: Cosine between its vector and the question's; None if it was not among the nearest.
    """

    skill: Skill
    score: float
    relevance: float
    surety: float
    words: int | None
    nearness: float | None


@dataclass(frozen=True)
class Use:
    """A use of a skill.

    Attributes:
        skill: Its name.
        version: The number of the version that was used.
        success: Whether it worked.
        detail: What happened.
        run: In which run.
        time: When.
    """

    skill: str
    version: int
    success: bool
    detail: str
    run: str | None
    time: dt.datetime


def lower_bound(successes: int, failures: int) -> float:
    """The 5 % quantile of a share of success of which nothing was known before; see the head of this file."""
    from scipy.special import betaincinv

    return float(betaincinv(1 + successes, 1 + failures, _QUANTILE))


class SkillLibrary:
    """Skills of a database.

    Args:
        db: The database.
        embedder: What makes vectors of descriptions; by default the sentence encoder if it is installed, vectors
            by spelling otherwise.
        collection: The skills; versions and uses are in two more with `_versions` and `_uses` after its name.

    Raises:
        DatabaseError: The collection was made with another embedder.
    """

    def __init__(self, db: Database, embedder: Embedder | None = None, collection: str = "skills") -> None:
        self._db = db
        self._versions, self._uses = f"{collection}_versions", f"{collection}_uses"
        self._skills = SearchableCollection(
            db,
            default_embedder() if embedder is None else embedder,
            collection,
            text=["name", "description"],
        )
        for name, fields in ((self._versions, ["skill", "number"]), (self._uses, ["skill"])):
            if "place" not in db[name].indexes:
                with db.transaction() as transaction:
                    if "place" not in transaction[name].indexes:
                        transaction[name].create_index("place", fields=fields)

    def save(
        self, name: str, text: str, description: str | None = None, *, language: str = "tisslang", note: str = ""
    ) -> Skill:
        """Add a skill, or a new version of it, which is current from now on.

        A version with the text and the description of the current one is not made again.

        Args:
            name: Its name.
            text: The script.
            description: What it does, in the words in which somebody would look for it; by default as before.
            language: What the text is written in; it stays what it was for the first version.
            note: Why the version was made.

        Raises:
            ConfigError: The name or the text is none, or a new skill has no description.
        """
        checked_name(name, "a skill")
        if not text.strip():
            raise ConfigError(f"the text of skill {name!r} is empty", hint="give the script")
        while True:
            before = self._find(self._db, name)
            said = before["description"] if description is None and before else (description or "").strip()
            if not said:
                raise ConfigError(f"the new skill {name!r} has no description", hint="say what it does")
            vector = self._skills.vector(f"{name}: {said}")
            with self._db.transaction() as transaction:
                now = self._find(transaction, name)
                if now != before:  # somebody has saved it meanwhile
                    continue
                if now is not None:
                    current = self._version(transaction, name, now["current"])
                    if (current.text, current.description) == (text, said):
                        return Skill(name, now["language"], current, now["versions"])
                number = 1 if now is None else now["versions"] + 1
                version: dict[str, Any] = {"skill": name, "number": number, "text": text, "description": said}
                version |= {"note": note, "successes": 0, "failures": 0, "time": dt.datetime.now(dt.UTC)}
                transaction[self._versions].insert(version)
                value: dict[str, Any] = {"name": name, "description": said, "current": number, "versions": number}
                value["language"] = language if now is None else now["language"]
                self._put(transaction, value, vector)
            return self[name]

    def roll_back(self, name: str, version: int) -> Skill:
        """Make another version the current one; all stay.

        Raises:
            NotFoundError: There is no such skill or version.
        """
        chosen = self.version(name, version)
        vector = self._skills.vector(f"{name}: {chosen.description}")
        with self._db.transaction() as transaction:
            value = self._known(transaction, name)
            value |= {"current": version, "description": chosen.description}
            self._put(transaction, value, vector)
        return self[name]

    def record(
        self, name: str, success: bool, *, version: int | None = None, detail: str = "", run: str | None = None
    ) -> Use:
        """Note that a skill was used, and whether it worked.

        Args:
            name: The skill.
            success: Whether it worked.
            version: The version that was used; by default the current one.
            detail: What happened.
            run: In which run.

        Raises:
            NotFoundError: There is no such skill or version.
        """
        with self._db.transaction() as transaction:
            number = self._known(transaction, name)["current"] if version is None else version
            self._version(transaction, name, number)
            count = "successes" if success else "failures"
            sql = f'UPDATE "{self._versions}" SET {count} = {count} + 1 WHERE skill = ? AND number = ?'
            transaction.query(sql, [name, number])
            use = Use(name, number, bool(success), detail, run, dt.datetime.now(dt.UTC))
            transaction[self._uses].insert(dict(vars(use)))
        return use

    def delete(self, name: str) -> None:
        """Forget a skill with all its versions and uses.

        Raises:
            NotFoundError: There is none of this name.
        """
        with self._db.transaction() as transaction:
            self._known(transaction, name)
            for collection in (self._versions, self._uses):
                transaction.query(f'DELETE FROM "{collection}" WHERE skill = ?', [name])
            transaction[self._skills.name].delete(name)

    # -- finding -------------------------------------------------------------------------------------------------

    def search(self, question: str, k: int = 5) -> list[FoundSkill]:
        """Skills that fit a question, by relevance and by how surely they work, the best first.

        Looked at are the 50 skills (or 4k, if that is more) that fit the question best.

        Raises:
            ConfigError: The question is empty.
        """
        hits = self._skills.search(question, max(CANDIDATES, 4 * k))
        found = []
        for hit, relevance in relevances(hits, self._skills.embedder.relevant):
            skill = self._skill(hit.document.value)
            surety = skill.current.surety
            words = None if hit.text is None else hit.text.rank
            nearness = None if hit.vector is None else hit.vector.score
            found.append(FoundSkill(skill, relevance * (1 + surety) / 2, relevance, surety, words, nearness))
        return sorted(found, key=lambda one: (-one.score, one.skill.name))[:k]

    def skills(self) -> list[Skill]:
        """All skills, by name."""
        documents = self._db[self._skills.name].scan()
        return sorted((self._skill(document.value) for document in documents), key=lambda skill: skill.name)

    def __getitem__(self, name: str) -> Skill:
        return self._skill(self._known(self._db, name))

    def __contains__(self, name: str) -> bool:
        return self._find(self._db, name) is not None

    def __len__(self) -> int:
        return len(self._db[self._skills.name])

    def version(self, name: str, number: int) -> Version:
        """One version of a skill.

        Raises:
            NotFoundError: There is no such skill or version.
        """
        self._known(self._db, name)
        return self._version(self._db, name, number)

    def versions(self, name: str) -> list[Version]:
        """All versions of a skill, the first one first.

        Raises:
            NotFoundError: There is no such skill.
        """
        self._known(self._db, name)
        rows = self._db.query(f'SELECT * FROM "{self._versions}" WHERE skill = ? ORDER BY number', [name])
        return [_version(row) for row in rows]

    def uses(self, name: str) -> list[Use]:
        """The record of a skill's uses, the first one first.

        Raises:
            NotFoundError: There is no such skill.
        """
        self._known(self._db, name)
        rows: Any = self._db.query(f'SELECT * FROM "{self._uses}" WHERE skill = ? ORDER BY time, _id', [name])
        names = ("skill", "version", "success", "detail", "run", "time")
        return [Use(*(row[field] for field in names)) for row in rows]

    # -- documents -----------------------------------------------------------------------------------------------

    def _skill(self, value: Mapping[str, Any]) -> Skill:
        current = self._version(self._db, value["name"], value["current"])
        return Skill(value["name"], value["language"], current, value["versions"])

    def _find(self, scope: Any, name: str) -> dict[str, Any] | None:
        document = scope[self._skills.name].get(name)
        return None if document is None else dict(document.value)

    def _known(self, scope: Any, name: str) -> dict[str, Any]:
        value = self._find(scope, name)
        if value is None:
            known = ", ".join(repr(skill.name) for skill in self.skills()[:10])
            raise NotFoundError(f"there is no skill {name!r}", hint=f"skills: {known or 'none yet'}")
        return value

    def _version(self, scope: Any, name: str, number: int) -> Version:
        for row in scope.query(f'SELECT * FROM "{self._versions}" WHERE skill = ? AND number = ?', [name, number]):
            return _version(row)
        raise NotFoundError(f"skill {name!r} has no version {number}", hint="`versions(name)` lists them")

    def _put(self, transaction: Any, value: dict[str, Any], vector: Any) -> None:
        """Write a skill whose id is its name, with its vector."""
        new = self._skills.new(value, vector, value["name"])
        transaction[self._skills.name].upsert(new.id, value, vectors=new.vectors)


def _version(row: Mapping[str, Any]) -> Version:
    names = ("number", "text", "description", "note", "successes", "failures", "time")
    return Version(*(row[name] for name in names))
