"""Personas: where they are found, and what their files hold."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import ModelError
from quanta_tissu.tisslang.llm.personas import persona, personas


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    folder = tmp_path / "config" / "tissu" / "personas"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "personas").mkdir(parents=True)
    return root


def test_the_project_comes_before_the_user_and_both_before_the_package(user, project):
    assert persona("careful_engineer", project).origin == "built in"
    (user / "careful_engineer.md").write_text("Mine.")
    assert persona("careful_engineer", project).text == "Mine."
    (project / "personas" / "careful_engineer.md").write_text("---\ndescription: Ours.\n---\n\nThe project's.\n")
    found = persona("careful_engineer", project)
    assert (found.name, found.description, found.text, found.origin) == (
        *("careful_engineer", "Ours.", "The project's.", "project"),
    )
    assert persona("careful_engineer").origin == "user"


def test_every_persona_of_the_package_says_what_it_is_good_for():
    built_in = personas()
    assert len(built_in) >= 4
    assert all(one.description and len(one.text) > 100 and one.origin == "built in" for one in built_in)
    assert "careful_engineer" in [one.name for one in built_in]


def test_all_personas_are_listed_once_by_name(user, project):
    (project / "personas" / "zoe.md").write_text("You are Zoe.")
    (project / "personas" / "not a name.md").write_text("x")
    (user / "zoe.md").write_text("Another Zoe.")
    names = [one.name for one in personas(project)]
    assert names == sorted(set(names))
    assert names[-1] == "zoe"
    assert personas(project)[-1].text == "You are Zoe."


def test_without_a_configuration_folder_the_users_is_in_their_home(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config" / "tissu" / "personas"
    folder.mkdir(parents=True)
    (folder / "me.md").write_text("You are me.")
    assert persona("me").text == "You are me."


def test_an_unknown_name_is_answered_with_the_nearest(project):
    with pytest.raises(ModelError, match="no persona 'carefull_engineer'") as refusal:
        persona("carefull_engineer", project)
    assert refusal.value.hint == "did you mean careful_engineer?"
    with pytest.raises(ModelError) as refusal:
        persona("xyzzy", project)
    assert "personas/xyzzy.md" in refusal.value.hint


@pytest.mark.parametrize("name", ["", "../secret", "a/b", ".hidden", "a b", "x" * 65, "a\n"])
def test_a_name_is_never_a_path(name, project):
    with pytest.raises(ModelError, match="cannot be the name"):
        persona(name, project)


def test_a_link_out_of_the_project_is_refused(project, tmp_path):
    (tmp_path / "secret.md").write_text("the password is 1234")
    (project / "personas" / "spy.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(ModelError, match="leads out of the project"):
        persona("spy", project)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "says nothing"),
        (b"---\ndescription: x\n---\n  \n", "says nothing"),
        (b"---\ndescription: x\n", "never closed"),
        (b"---\ncolour: red\n---\nx", "not understood: colour"),
        (b"---\ndescription: 3\n---\nx", "not understood"),
        (b"---\n- a\n---\nx", "not understood"),
        (b"---\na: b: c\n---\nx", "not valid YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "more than 65,536 bytes"),
    ],
)
def test_a_file_that_is_no_persona_is_refused(project, data, message):
    (project / "personas" / "bad.md").write_bytes(data)
    with pytest.raises(ModelError, match=message):
        persona("bad", project)


def test_blanks_and_line_ends_of_other_systems_are_understood(project):
    (project / "personas" / "w.md").write_bytes(b"\xef\xbb\xbf---\r\ndescription: d\r\n---\r\nYou are W.\r\n")
    assert (persona("w", project).text, persona("w", project).description) == ("You are W.", "d")
    (project / "personas" / "e.md").write_text("---\n---\nNo front matter at all.")
    assert persona("e", project).description == ""
