"""`tissu runs`: a line for each run."""

from __future__ import annotations

import json

from quanta_tissu.tisslang.journal.journal import Journal


def test_lists_runs_with_what_became_of_them(tissu, project):
    header, done, failed = tissu("runs").out.splitlines()
    assert header.split() == ["RUN", "STATUS", "STARTED", "TOOK", "TOKENS", "COST", "SCRIPT"]
    assert done.split()[:2] == ["done-1", "done"]
    assert done.split()[-3:] == ["1,234", "0.5000", "plan.tiss"]
    assert failed.split()[:2] == ["failed-1", "failed"]


def test_finds_the_project_from_a_folder_inside_of_it(tissu, project, monkeypatch):
    (project / "deep" / "inside").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "inside")
    assert "done-1" in tissu("runs").out
    monkeypatch.chdir("/")
    assert "done-1" in tissu("runs", "--project", str(project)).out


def test_json_has_all_of_it(tissu, project):
    first, second = map(json.loads, tissu("runs", "--json").out.splitlines())
    assert first | {"started": "", "ended": "", "seconds": 0} == {
        "id": "done-1", "script": "plan.tiss", "status": "done", "reason": "", "started": "", "ended": "",
        "seconds": 0, "effects": 1, "calls": 1, "tokens": 1234, "cost": 0.5,
    }  # fmt: skip
    assert (second["status"], second["reason"]) == ("failed", "it failed")


def test_a_run_that_goes_on_one_that_was_killed_and_one_that_cannot_be_read(tissu, project):
    runs = project / ".tissu" / "runs"
    with Journal.create(runs / "now", script="plan.tiss"):
        assert {"running"} == {row["status"] for row in _rows(tissu) if row["id"] == "now"}
    (runs / "broken").mkdir()
    statuses = {row["id"]: row["status"] for row in _rows(tissu)}
    assert (statuses["now"], statuses["broken"]) == ("interrupted", "damaged")
    assert "broken" in tissu("runs").out


def _rows(tissu):
    return [json.loads(line) for line in tissu("runs", "--json").out.splitlines()]


def test_a_project_without_runs(tissu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = tissu("runs")
    assert (outcome.code, outcome.out) == (0, "")
    assert "no runs in" in outcome.err


def test_when_no_run_can_be_read_that_is_said(tissu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tissu" / "runs" / "a").mkdir(parents=True)
    outcome = tissu("report")
    assert outcome.code == 1
    assert "of the 1 runs in" in outcome.err
    assert "none can be read" in outcome.err
