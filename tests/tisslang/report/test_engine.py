"""What the engine records is told: a run of a real script, its audit and its page."""

from __future__ import annotations

import pytest

from quanta_tissu.cli.app import run as tissu
from quanta_tissu.tisslang.journal.runs import find_run, summarise
from quanta_tissu.tisslang.journal.verify import verify
from quanta_tissu.tisslang.report.page import report
from quanta_tissu.tisslang.report.story import tell

SCRIPT = """\
#TISS! version=1.0
TASK "Mend the notes" {
    SET_BUDGET TOKEN_COUNT = 5000
    STEP "Look" {
        READ "notes.txt" AS notes
        ASSERT notes CONTAINS "Ada"
    }
    STEP "Write" {
        PROMPT_AGENT "Say it shorter: {{notes}}" INTO shorter
        REQUEST_REVIEW shorter
        WRITE "short.txt" shorter
        APPEND "short.txt" "\\nthe end\\n"
    }
    STEP "Check" {
        READ "short.txt" AS result
        ASSERT result CONTAINS "Charles"
    }
}
"""
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which the script was run: reviewed after a pause, and failed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "plan.tiss").write_text(SCRIPT)
    (folder / "notes.txt").write_text(f"Ada met somebody. <script>alert(1)</script> {SECRET}\n")
    (folder / "answers.yaml").write_text('- when: "shorter"\n  answer: Ada met.\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("TISSU_SECRET_PHRASE", SECRET)
        patch.chdir(folder)
        assert tissu(["run", "plan.tiss", "--model", "mock:answers.yaml", "--unattended", "wait"]) == 75
        assert tissu(["resume", "last", "--answer", "approve: well said", "--unattended", "wait"]) == 1
    return folder


def test_a_run_is_told_from_its_record(project):
    folder = find_run("last", project)
    assert verify(folder).ok
    summary = summarise(folder)
    assert (summary.status, summary.script, summary.calls) == ("failed", "plan.tiss", 1)
    story = tell(folder)
    assert [(step.title, step.status) for step in story.steps if step.key] == [
        ("Look", "done"),
        ("Write", "done"),
        ("Check", "failed"),
    ]
    assert [entry.fields["op"] for entry in story.entries("effect") if not entry.again] == [
        "READ", "PROMPT_AGENT", "ASK", "WRITE", "APPEND", "READ",
    ]  # fmt: skip
    [approval] = story.approvals()
    assert (approval.answer["answer"], approval.answer["comment"], approval.bound) == (
        "approve",
        "well said",
        True,
    )
    assert [(one.name, one.limit) for one in story.budgets] == [("TOKEN_COUNT", 5000)]
    assert story.budgets[0].spent == summary.tokens > 0
    assert story.sources == {"plan.tiss": SCRIPT}

    page = report(folder, verify(folder))
    assert "^" * len('result CONTAINS "Charles"') in page
    assert "+the end" in page
    assert "Ada met." in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [secret PHRASE]" in page


def test_no_secret_is_in_anything_that_is_kept(project):
    kept = [path for path in (project / ".tissu").rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
