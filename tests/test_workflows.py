"""The workflows in examples/ do what they say: each is run in a copy of its folder, through the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quanta_tissu import tissdb
from quanta_tissu.cli.app import run as tissu

WORKFLOWS = Path(__file__).parents[1] / "examples" / "workflows"
FOLDERS = sorted(path for path in WORKFLOWS.iterdir() if path.is_dir())


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """Makes a copy of a workflow's folder the current one."""

    def begin(name: str) -> Path:
        project = tmp_path / name
        shutil.copytree(WORKFLOWS / name, project)
        monkeypatch.chdir(project)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        return project

    return begin


def run(*options: str) -> None:
    assert tissu(["run", "plan.tiss", *options]) == 0


def test_every_workflow_is_tested_and_described():
    here = Path(__file__).read_text()
    described = (WORKFLOWS / "README.md").read_text()
    for folder in FOLDERS:
        assert f'workflow("{folder.name}")' in here, folder.name
        assert f"| `{folder.name}` |" in described, folder.name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_without_a_mistake_and_well_formatted(folder, capsys):
    assert tissu(["lang", "check", str(folder)]) == 0
    assert "warning" not in capsys.readouterr().out
    assert tissu(["lang", "fmt", "--check", str(folder)]) == 0


def test_a_function_is_written_tested_and_mended(workflow, capsys):
    project = workflow("write_and_test")
    run("--model", "mock:answers.yaml")
    assert "text.split()" in (project / "words.py").read_text()
    assert "attempt 1 of 3 failed" in capsys.readouterr().err


def test_tickets_are_sorted_into_the_database(workflow):
    project = workflow("triage_tickets")
    run("--model", "mock:answers.yaml", "--database", "tickets.db")
    assert (project / "report.md").read_text() == (
        "# Tickets\n\n- billing: 2\n- login: 1\n- other: 1\n\nUrgent:\n\n"
        "- Charged twice\n- Charged without an order\n- No login since the update"
    )
    with tissdb.open(project / "tickets.db") as database:
        assert database["tickets"].count() == 4


def test_a_name_is_changed_on_a_copy(workflow):
    project = workflow("rename_safely")
    run()
    assert "sum_of_prices(prices) * (1 + rate)" in (project / "shop.py").read_text()


def test_nothing_is_changed_if_the_tests_fail_on_the_copy(workflow):
    project = workflow("rename_safely")
    (project / "rename.py").write_text("import pathlib\npathlib.Path('shop.py').write_text('broken(')\n")
    before = (project / "shop.py").read_text()
    assert tissu(["run", "plan.tiss"]) == 1
    assert (project / "shop.py").read_text() == before


def test_figures_are_worked_out_side_by_side(workflow):
    project = workflow("report_from_data")
    run()
    assert (project / "out" / "report.md").read_text() == (
        "# Sales\n\n4 sales, 275 in all.\n\n- north: 150\n- south: 80\n- west: 45\n\n"
    )


def test_release_notes_are_chosen_and_reviewed(workflow, capsys):
    project = workflow("release_notes")
    run("--model", "mock:answers.yaml", "--answer", "Users", "--answer", "approve")
    assert "Search finds words with umlauts." in (project / "NEWS.md").read_text()
    assert "at most 1 model call, " in capsys.readouterr().out


def test_rejected_release_notes_are_not_kept(workflow):
    project = workflow("release_notes")
    answers = ("--answer", "Developers", "--answer", "reject: which search?")
    assert tissu(["run", "plan.tiss", "--model", "mock:answers.yaml", *answers]) == 1
    assert not (project / "NEWS.md").exists()


def test_a_workflow_is_written_and_shown(workflow, capsys):
    project = workflow("write_a_workflow")
    run("--model", "mock:answers.yaml", "--answer", "approve")
    assert tissu(["lang", "check", str(project / "approved.tiss")]) == 0


@pytest.mark.data
def test_a_model_on_this_machine_answers_and_a_person_reviews(workflow, shared_data, tmp_path):
    model = tmp_path / "stories"
    weights, tokenizer = shared_data / "stories260K.bin", shared_data / "tok512.bin"
    assert tissu(["import", str(weights), "--tokenizer", str(tokenizer), "--out", str(model)]) == 0
    project = workflow("answer_with_review")
    run("--model", str(model), "--answer", "approve")
    answer = (project / "answer.txt").read_text()
    assert len(answer.split()) > 10
    with tissdb.open(project / ".tissu" / "database.db") as database:
        (kept,) = database["answers"].scan()
    assert kept.value["answer"] == answer
