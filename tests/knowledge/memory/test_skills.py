"""Skills: every version stays, and what surely works is found first."""

from __future__ import annotations

import threading

import pytest
from scipy.stats import beta

from quanta_tissu.errors import ConfigError, NotFoundError
from quanta_tissu.knowledge.memory import SkillLibrary
from quanta_tissu.knowledge.memory.skills import lower_bound


@pytest.fixture
def skills(every_db, embedder):
    return SkillLibrary(every_db, embedder)


def test_every_version_is_kept_and_the_newest_is_current(skills):
    first = skills.save("tidy", "SORT", "Sort the lines of a file", note="begun")
    assert (first.name, first.language, first.versions, first.text) == ("tidy", "tisslang", 1, "SORT")
    second = skills.save("tidy", "SORT DESC", language="python")
    assert (second.language, second.versions, second.current.number) == ("tisslang", 2, 2)
    assert second.description == "Sort the lines of a file"
    kept = [(version.number, version.text, version.note) for version in skills.versions("tidy")]
    assert kept == [(1, "SORT", "begun"), (2, "SORT DESC", "")]
    assert skills.version("tidy", 1) == first.current
    assert skills["tidy"] == second
    assert "tidy" in skills
    assert "other" not in skills
    assert len(skills) == 1


def test_the_same_text_and_description_make_no_new_version(skills):
    skills.save("tidy", "SORT", "Sort the lines of a file")
    assert skills.save("tidy", "SORT").versions == 1
    assert skills.save("tidy", "SORT", "Sort the lines of a file").versions == 1
    assert skills.save("tidy", "SORT", "Order lines").versions == 2


def test_rolling_back_brings_text_and_description_back_and_loses_nothing(skills):
    skills.save("tidy", "SORT", "Sort the lines of a file")
    skills.save("tidy", "BOIL", "Boil an egg")
    assert skills.search("boil eggs")[0].skill.name == "tidy"
    back = skills.roll_back("tidy", 1)
    assert (back.text, back.description, back.versions) == ("SORT", "Sort the lines of a file", 2)
    assert skills.search("boil eggs") == []
    assert skills.search("sort lines")[0].skill == back
    assert skills.roll_back("tidy", 2).text == "BOIL"
    assert skills.save("tidy", "FRY", "Fry an egg").current.number == 3


def test_uses_are_counted_for_the_version_that_was_used(skills):
    skills.save("tidy", "SORT", "Sort the lines of a file")
    skills.save("tidy", "SORT DESC")
    skills.record("tidy", True)
    skills.record("tidy", False, version=1, detail="no file", run="runs/7")
    used = skills.record("tidy", True)
    assert [(v.successes, v.failures) for v in skills.versions("tidy")] == [(0, 1), (2, 0)]
    uses = skills.uses("tidy")
    assert [(use.version, use.success, use.detail, use.run) for use in uses] == [
        (2, True, "", None), (1, False, "no file", "runs/7"), (2, True, "", None),
    ]  # fmt: skip
    assert uses[-1] == used


def test_of_skills_that_fit_alike_the_surer_is_first(skills):
    for name in ("tidy a", "tidy b", "tidy c"):
        skills.save(name, "SORT", "Sort the lines of a file")
    for _ in range(9):
        skills.record("tidy b", True)
        skills.record("tidy c", False)
    found = skills.search("sort the lines of a file")
    assert [one.skill.name for one in found] == ["tidy b", "tidy a", "tidy c"]
    assert found[0].score == pytest.approx(found[0].relevance * (1 + found[0].surety) / 2)
    assert found[0].words is not None
    assert 0 < found[0].nearness < 1
    assert [one.skill.name for one in skills.search("sort the lines of a file", 1)] == ["tidy b"]


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (1, 0), (9, 1), (0, 10), (500, 3)])
def test_the_lower_bound_is_that_of_the_posterior(successes, failures):
    assert lower_bound(successes, failures) == pytest.approx(beta.ppf(0.05, 1 + successes, 1 + failures), rel=1e-9)


def test_the_lower_bound_tells_what_is_untried_from_what_does_not_work():
    bounds = [lower_bound(0, 10), lower_bound(0, 0), lower_bound(1, 0), lower_bound(9, 1), lower_bound(90, 10)]
    assert bounds == sorted(bounds)
    assert bounds[1] == pytest.approx(0.05)


def test_versions_saved_at_once_are_all_kept(skills):
    skills.save("tidy", "0", "Sort the lines of a file")
    threads = [threading.Thread(target=skills.save, args=("tidy", str(number))) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = skills.versions("tidy")
    assert [version.number for version in versions] == list(range(1, 8))
    assert sorted(version.text for version in versions) == [str(number) for number in range(7)]


def test_uses_recorded_at_once_are_all_counted(skills):
    skills.save("tidy", "0", "Sort the lines of a file")
    threads = [threading.Thread(target=skills.record, args=("tidy", True)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert skills["tidy"].current.successes == len(skills.uses("tidy")) == 8


def test_a_deleted_skill_is_gone_with_its_record(skills, every_db):
    skills.save("tidy", "SORT", "Sort the lines of a file")
    skills.save("other", "BOIL", "Boil an egg")
    skills.record("tidy", True)
    skills.delete("tidy")
    assert [skill.name for skill in skills.skills()] == ["other"]
    assert (len(every_db["skills_versions"]), len(every_db["skills_uses"])) == (1, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.save("", "x", "y"), ConfigError, "'' is no name of a skill"),
        (lambda s: s.save("x", " ", "y"), ConfigError, "the text of skill 'x' is empty"),
        (lambda s: s.save("x", "y"), ConfigError, "the new skill 'x' has no description"),
        (lambda s: s["x"], NotFoundError, "there is no skill 'x'"),
        (lambda s: s.record("x", True), NotFoundError, "there is no skill 'x'"),
        (lambda s: s.record("known", True, version=2), NotFoundError, "skill 'known' has no version 2"),
        (lambda s: s.roll_back("known", 0), NotFoundError, "skill 'known' has no version 0"),
        (lambda s: s.delete("x"), NotFoundError, "there is no skill 'x'"),
        (lambda s: s.search(" "), ConfigError, "the question is empty"),
    ],
)
def test_what_means_nothing_is_refused(db, embedder, call, error, message):
    skills = SkillLibrary(db, embedder)
    skills.save("known", "SORT", "Sort lines")
    with pytest.raises(error, match=message):
        call(skills)
    assert len(skills) == 1
    assert skills.uses("known") == []
