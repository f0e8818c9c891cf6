"""`tissu audit`: says whether records are what was written."""

from __future__ import annotations

import json
import shutil


def test_runs_that_are_in_order(tissu, project):
    outcome = tissu("audit")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "done-1: ok, in order: the chain of 4 records holds, 1 contents are whole",
        "failed-1: ok, in order: the chain of 2 records holds",
    ]


def test_one_of_them_by_its_name_the_beginning_of_it_or_last(tissu, project):
    for name in ("failed-1", "fail", "last", str(project / ".tissu" / "runs" / "failed-1")):
        assert tissu("audit", name).out.startswith("failed-1: ok")


def test_a_change_is_named_with_its_record(tissu, project):
    path = project / ".tissu" / "runs" / "done-1" / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"tokens":1234', b'"tokens":1233'))
    outcome = tissu("audit", "done-1")
    assert outcome.code == 1
    assert "done-1: CHANGED\n  record 3 was altered" in outcome.out
    content = json.loads(tissu("audit", "done-1", "--json").out)
    assert content["ok"] is False
    assert content["findings"][0] | {"message": ""} == {
        "change": "altered", "record": 3, "message": "", "severe": True,
    }  # fmt: skip


def test_a_run_that_was_removed_is_missed(tissu, project):
    shutil.rmtree(project / ".tissu" / "runs" / "done-1")
    outcome = tissu("audit")
    assert outcome.code == 1
    assert "done-1: was removed: it is anchored, and its folder is gone" in outcome.out
    assert [json.loads(line)["run"] for line in tissu("audit", "--json").out.splitlines()] == [
        "failed-1",
        "done-1",
    ]
    assert "the run done-1 was removed" in tissu("audit", "done-1").err


def test_ends_noted_elsewhere_find_who_changes_both(tissu, project, tmp_path):
    elsewhere = str(tmp_path / "anchors.jsonl")
    assert tissu("audit", "--note", elsewhere).code == 0
    assert f"and 1 anchors of {elsewhere} are in it" in tissu("audit", "done-1", "--anchor", elsewhere).out
    path = project / ".tissu" / "runs" / "done-1" / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    (project / ".tissu" / "anchors" / "done-1.json").unlink()
    outcome = tissu("audit", "done-1", "--anchor", elsewhere)
    assert outcome.code == 1
    assert "records 3 to 4 are missing, which the anchors kept elsewhere knew: the end was cut off" in outcome.out


def test_a_run_that_was_removed_with_its_anchor_is_missed_by_those_kept_elsewhere(tissu, project, tmp_path):
    elsewhere = str(tmp_path / "anchors.jsonl")
    tissu("audit", "--note", elsewhere)
    shutil.rmtree(project / ".tissu" / "runs" / "done-1")
    (project / ".tissu" / "anchors" / "done-1.json").unlink()
    assert tissu("audit").code == 0
    outcome = tissu("audit", "--anchor", elsewhere)
    assert outcome.code == 1
    assert "done-1: was removed" in outcome.out


def test_a_run_that_was_not_noted_yet_is_not_proved_and_can_be_noted(tissu, project, tmp_path):
    elsewhere = str(tmp_path / "anchors.jsonl")
    tissu("audit", "done-1", "--note", elsewhere)
    outcome = tissu("audit", "--anchor", elsewhere, "--note", elsewhere)
    assert outcome.code == 0
    assert f"note: {elsewhere} knows nothing of this run, and proves nothing about it" in outcome.out
    assert "knows nothing" not in tissu("audit", "--anchor", elsewhere).out


def test_an_end_that_is_not_anchored_is_not_noted(tissu, project, tmp_path):
    elsewhere = str(tmp_path / "anchors.jsonl")
    tissu("audit", "--note", elsewhere)
    (project / ".tissu" / "anchors" / "done-1.json").unlink()
    outcome = tissu("audit", "done-1", "--anchor", elsewhere, "--note", elsewhere)
    assert outcome.code == 1
    assert "the end of done-1 cannot be noted: it is not anchored" in outcome.err


def test_names_that_mean_no_run(tissu, project, tmp_path, monkeypatch):
    assert "there is no run 'nothing' in" in tissu("audit", "nothing").err
    assert "there is no run at ./nothing" in tissu("audit", "./nothing").err
    shutil.copytree(project / ".tissu" / "runs" / "done-1", project / ".tissu" / "runs" / "done-2")
    assert "2 runs begin with 'done'" in tissu("audit", "done").err
    monkeypatch.chdir(tmp_path)
    for arguments in (["audit"], ["audit", "last"]):
        outcome = tissu(*arguments)
        assert outcome.code == 1
        assert "there are no runs in" in outcome.err


def test_ends_are_not_noted_in_a_file_that_is_something_else(tissu, project, tmp_path):
    other = tmp_path / "letter.txt"
    other.write_text("Dear all\n")
    outcome = tissu("audit", "--note", str(other))
    assert outcome.code == 1
    assert "letter.txt is no file of anchors" in outcome.err
    assert other.read_text() == "Dear all\n"
