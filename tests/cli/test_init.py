"""`tissu init` writes a project folder that can be used at once, and overwrites nothing."""

from __future__ import annotations

import re

import pytest

from quanta_tissu.tisslm.config.fields import all_fields
from quanta_tissu.tisslm.config.load import load_config


def test_the_configuration_is_the_presets_with_every_field_explained(tissu, tmp_path):
    assert tissu("init", str(tmp_path / "p"), "--preset", "baby-gpt").code == 0
    text = (tmp_path / "p" / "tissu.yaml").read_text(encoding="utf-8")
    assert load_config(tmp_path / "p" / "tissu.yaml", environ={}) == load_config(preset="baby-gpt", environ={})
    assert all(f"  {field.name}: " in text for field in all_fields().values())
    assert text.count("default:") == len(all_fields())


def test_the_environment_does_not_leak_into_the_file(tissu, tmp_path, monkeypatch):
    monkeypatch.setenv("TISSU_TRAIN__SEED", "99")
    tissu("init", str(tmp_path / "p"))
    assert load_config(tmp_path / "p" / "tissu.yaml", environ={}).train.seed == 1337


def test_the_next_commands_are_printed_and_in_the_readme(tissu, tmp_path):
    out = tissu("init", str(tmp_path / "p")).out
    readme = (tmp_path / "p" / "README.md").read_text(encoding="utf-8")
    command = "tissu train --config tissu.yaml --out runs/first"
    assert command in out
    assert command in readme
    assert "builtin:python" in readme
    assert "/runs/" in (tmp_path / "p" / ".gitignore").read_text(encoding="utf-8")


def test_the_commands_of_the_readme_exist(tissu, tmp_path):
    tissu("init", str(tmp_path / "p"))
    readme = (tmp_path / "p" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^tissu (\w+) (.*)$", readme, re.MULTILINE)
    assert [name for name, _ in commands] == ["train", "evaluate", "generate", "chat"]
    for name, arguments in commands:
        help_text = tissu(name, "--help").out
        for option in re.findall(r"--\w+", arguments.partition("#")[0]):
            assert option in help_text


def test_a_text_of_ones_own_is_named_so_that_the_project_finds_it(tissu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poems.txt").write_text("Tyger Tyger")
    tissu("init", "p", "--data", "poems.txt")
    source = load_config(tmp_path / "p" / "tissu.yaml", environ={}).data.source
    assert source == str((tmp_path / "poems.txt").resolve())
    tissu("init", "q", "--data", "builtin:python")
    assert load_config(tmp_path / "q" / "tissu.yaml", environ={}).data.source == "builtin:python"


def test_a_text_that_does_not_exist_is_refused(tissu, tmp_path):
    outcome = tissu("init", str(tmp_path / "p"), "--data", "nowhere.txt")
    assert outcome.code == 1
    assert "nowhere.txt" in outcome.err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", ["tissu.yaml", "README.md", ".gitignore"])
def test_nothing_is_overwritten(tissu, tmp_path, name):
    (tmp_path / name).write_text("mine")
    (tmp_path / "other.txt").write_text("mine")
    outcome = tissu("init", str(tmp_path))
    assert outcome.code == 2
    assert name in outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {name, "other.txt"}
    assert (tmp_path / name).read_text() == "mine"


def test_an_existing_folder_with_other_files_is_fine(tissu, tmp_path):
    (tmp_path / "other.txt").write_text("mine")
    assert tissu("init", str(tmp_path)).code == 0


def test_a_folder_that_cannot_be_made(tissu, tmp_path):
    (tmp_path / "file").write_text("mine")
    outcome = tissu("init", str(tmp_path / "file" / "p"))
    assert outcome.code == 1
    assert "Not a directory" in outcome.err


def test_an_unknown_preset(tissu, tmp_path):
    outcome = tissu("init", str(tmp_path / "p"), "--preset", "demoo")
    assert outcome.code == 2
    assert "did you mean 'demo'?" in outcome.err
