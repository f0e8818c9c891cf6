"""Running `tissu` as a user does, in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from quanta_tissu.cli.app import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def tissu(capsys, monkeypatch):
    """Run a command line in this process: `tissu("doctor", "--json")`."""
    monkeypatch.delenv("TISSU_DEBUG", raising=False)

    def call(*args: str) -> Outcome:
        capsys.readouterr()
        code = run(list(args))
        captured = capsys.readouterr()
        return Outcome(int(code), captured.out, captured.err)

    return call


@pytest.fixture
def tissu_process():
    """Start `tissu` as a process of its own."""

    def start(*args: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "quanta_tissu", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return start
