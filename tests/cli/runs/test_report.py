"""`tissu report`: a page of a run."""

from __future__ import annotations


def test_writes_a_page_of_the_last_run(tissu, project):
    outcome = tissu("report")
    assert outcome.out == "failed-1.html\n"
    assert "other.tiss" in (project / "failed-1.html").read_text()


def test_of_the_run_and_to_the_file_that_are_named(tissu, project, tmp_path):
    path = tmp_path / "page.html"
    assert tissu("report", "done", "--out", str(path)).out == f"{path}\n"
    assert "plan.tiss" in path.read_text()
    assert tissu("report", "failed", "--out", str(path)).code == 0
    assert "other.tiss" in path.read_text()


def test_to_standard_output(tissu, project):
    assert tissu("report", "--out", "-").out.startswith("<!doctype html>\n<html lang=")


def test_nothing_else_is_replaced(tissu, project):
    (project / "failed-1.html").write_text("something else")
    outcome = tissu("report")
    assert outcome.code == 1
    assert "failed-1.html exists and is something else" in outcome.err
    assert (project / "failed-1.html").read_text() == "something else"


def test_anchors_kept_elsewhere_are_compared(tissu, project, tmp_path):
    elsewhere = str(tmp_path / "anchors.jsonl")
    tissu("audit", "--note", elsewhere)
    assert "1 anchor kept elsewhere in it" in tissu("report", "--out", "-", "--anchor", elsewhere).out


def test_a_record_that_was_changed_is_shown_and_is_a_failure(tissu, project):
    journal = project / ".tissu" / "runs" / "failed-1" / "journal.jsonl"
    journal.write_text(journal.read_text().replace("other.tiss", "OTHER.tiss"))
    outcome = tissu("report", "failed-1")
    assert (outcome.code, outcome.out) == (1, "failed-1.html\n")
    assert "tissu audit failed-1 shows where" in outcome.err
    assert (project / "failed-1.html").exists()
