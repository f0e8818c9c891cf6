"""What a user of `tissu run` may rely on, scenario by scenario, through the command line."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_bdd import given, parsers, scenarios, then, when

from quanta_tissu.cli.app import run as tissu

scenarios(".")


@dataclass
class World:
    """A project, and what came of the last command in it."""

    project: Path
    capture: pytest.CaptureFixture[str]
    code: int | None = None
    said: str = ""
    options: list[str] = field(default_factory=list)

    def do(self, *arguments: str) -> None:
        self.capture.readouterr()
        self.code = tissu(list(arguments))
        found = self.capture.readouterr()
        self.said = found.out + found.err

    @property
    def run(self) -> str:
        """The name of the only run."""
        return next(one.name for one in (self.project / ".tissu" / "runs").iterdir() if one.is_dir())


@pytest.fixture
def world(tmp_path, monkeypatch, capsys) -> World:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return World(project, capsys)


def _text(docstring: str) -> str:
    return textwrap.dedent(docstring) + "\n"


# --- given -------------------------------------------------------------------------------------------------------


@given("the script")
def _(world, docstring):
    (world.project / "plan.tiss").write_text(_text(docstring))


@given(parsers.parse('a file "{path}" with "{text}"'))
@given(parsers.re(r'a file "(?P<path>[^"]+)" with "(?P<text>)"'))
def _(world, path, text):
    (world.project / path).write_text(text)


@given(parsers.parse('a link "{path}" to "{target}"'))
def _(world, path, target):
    (world.project / path).symlink_to(target)


@given(parsers.parse('the environment variable "{name}" is "{value}"'))
def _(monkeypatch, name, value):
    monkeypatch.setenv(name, value)


@given(parsers.parse('the model answers "{first}" and then "{second}"'))
def _(world, first, second):
    (world.project / "answers.json").write_text(json.dumps([first, second]))
    world.options += ["--model", "mock:answers.json"]


# --- when --------------------------------------------------------------------------------------------------------


@when("it is run")
def _(world):
    world.do("run", "plan.tiss", *world.options)


@when(parsers.parse('it is run with the answer "{answer}"'))
def _(world, answer):
    world.do("run", "plan.tiss", "--answer", answer, *world.options)


@when("it is run, and nobody is there to wait for")
def _(world):
    world.do("run", "plan.tiss", "--unattended", "wait", *world.options)


@when(parsers.parse('it goes on with the answer "{answer}"'))
def _(world, answer):
    world.do("resume", world.run, "--answer", answer)


@when("it goes on with the script")
def _(world, docstring):
    (world.project / "plan.tiss").write_text(_text(docstring))
    world.do("resume", world.run, "--script", "plan.tiss")


@when("it does the failed step again")
def _(world):
    world.do("resume", world.run, "--again")


@when("it is replayed")
def _(world):
    world.do("replay", world.run)


@when("somebody changes the record")
def _(world):
    journal = world.project / ".tissu" / "runs" / world.run / "journal.jsonl"
    os.chmod(journal, 0o600)
    journal.write_text(journal.read_text().replace('"RUN"', '"LOG"', 1))


# --- then --------------------------------------------------------------------------------------------------------


@then("it succeeds")
def _(world):
    assert world.code == 0, world.said


@then(parsers.parse('it fails with "{code}"'))
def _(world, code):
    assert world.code == 1, world.said
    assert f"[{code}]" in world.said


@then("it waits")
def _(world):
    assert world.code == 75, world.said


@then("it is refused")
def _(world):
    assert world.code == 1, world.said
    assert world.said.startswith("error: ")


@then(parsers.parse('the message has "{text}"'))
def _(world, text):
    assert text in world.said


@then(parsers.parse('the file "{path}" holds "{text}"'))
def _(world, path, text):
    assert (world.project / path).read_text() == text.replace("\\n", "\n")


@then(parsers.parse('the file "{path}" holds'))
def _(world, path, docstring):
    assert (world.project / path).read_text() == docstring


@then(parsers.parse('there is a file "{path}"'))
def _(world, path):
    assert (world.project / path).exists()


@then(parsers.parse('there is no file "{path}"'))
def _(world, path):
    assert not (world.project / path).exists()
