"""Runs of a project: found by name, and told in a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.record import Record
from quanta_tissu.tisslang.journal.runs import (
    find_project,
    find_run,
    list_runs,
    removed_runs,
    runs_folder,
    sound_records,
    summarise,
    worked,
)


@pytest.fixture
def project(tmp_path):
    for name in ("b-1", "a-2"):
        with Journal.create(runs_folder(tmp_path) / name, script=f"{name}.tiss") as journal:
            journal.append("run.end", status="done")
    return tmp_path


def test_a_project_is_the_nearest_folder_above_that_has_runs(project, tmp_path):
    (project / "deep" / "inside").mkdir(parents=True)
    assert find_project(project / "deep" / "inside") == project
    (project / "deep" / ".tissu" / "runs").mkdir(parents=True)
    assert find_project(project / "deep" / "inside") == project / "deep"


def test_runs_are_listed_by_name_and_found_by_its_beginning(project):
    assert [one.name for one in list_runs(project)] == ["a-2", "b-1"]
    assert find_run("b-1", project).name == find_run("b", project).name == "b-1"
    assert find_run("last", project).name == "a-2"
    assert find_run(str(runs_folder(project) / "b-1"), project).name == "b-1"
    with pytest.raises(JournalError, match="there is no run ''"):
        find_run("", project)


def test_a_run_without_its_folder_is_one_that_was_removed(project):
    assert removed_runs(project) == []
    (runs_folder(project) / "b-1").rename(project / "elsewhere")
    assert removed_runs(project) == ["b-1"]
    assert removed_runs(project / "elsewhere") == []


def test_records_that_are_sound_are_found_in_a_damaged_journal(project):
    path = runs_folder(project) / "b-1" / "journal.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes() + b"torn")
    assert [one.kind for one in sound_records(path.parent)] == ["run.start", "run.end"]


def test_a_summary_adds_up_what_models_cost(project):
    folder = runs_folder(project) / "c"
    with Journal.create(folder, script="c.tiss") as journal:
        for usage in ({"calls": 1, "tokens": 10, "cost": 0.5}, {"calls": 2, "tokens": 5}, {}, "nonsense"):
            journal.append("effect.result", of=1, usage=usage)
        assert summarise(folder).status == "running"
    summary = summarise(folder)
    assert (summary.effects, summary.calls, summary.tokens, summary.cost) == (4, 3, 15, 0.5)
    assert (summary.status, summary.reason) == ("interrupted", "")
    with Journal.open(folder) as journal:
        journal.append("run.resume")
        journal.append("run.end", status="failed", reason="why")
    assert (summarise(folder).status, summarise(folder).reason) == ("failed", "why")


def test_the_time_before_a_resume_does_not_count():
    start = datetime(2026, 11, 22, tzinfo=UTC)

    def record(seconds: int, kind: str, **fields) -> Record:
        return Record(1, start + timedelta(seconds=seconds), kind, fields, "", "")

    records = [
        record(0, "run.start"),
        record(5, "note"),
        record(100, "note", recovered=True),
        record(150, "run.resume"),
        record(157, "run.end"),
    ]
    assert worked(records) == 12
    assert worked([]) == 0
