"""The page on training shows code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from quanta_tissu.tisslm.config import Config

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/training.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["step 0", "step 20"]
    assert lines[-1].startswith("runs/watched/best ")


def test_the_settings_shown_are_settings():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert Config.model_validate(yaml.safe_load(text)).optimizer.layer_decay == 0.9


def test_every_optimizer_is_in_the_table():
    names = Config.model_fields["optimizer"].annotation.model_fields["name"].annotation.__args__
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(names)
