"""A project with runs, written by real journals."""

from __future__ import annotations

from pathlib import Path

import pytest

from quanta_tissu.tisslang.journal.journal import Journal


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with two runs, which is where commands are run: `done-1`, then `failed-1`."""
    folder = tmp_path / "project"
    with Journal.create(folder / ".tissu" / "runs" / "done-1", script="plan.tiss") as journal:
        of = journal.append("effect.intent", durable=True, key="0", op="PROMPT_AGENT", cls="MODEL", args={}).seq
        usage = {"calls": 1, "tokens": 1234, "cost": 0.5}
        journal.append("effect.result", durable=True, of=of, key="0", status="ok", value="y" * 300, usage=usage)
        journal.append("run.end", status="done")
    with Journal.create(folder / ".tissu" / "runs" / "failed-1", script="other.tiss") as journal:
        journal.append("run.end", status="failed", reason="it failed")
    monkeypatch.chdir(folder)
    return folder
