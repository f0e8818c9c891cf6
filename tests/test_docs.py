"""The documentation is what the code says: generated parts are fresh, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generate():
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_fresh():
    """In a process of its own: options remember the names of the first help they were shown in."""
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"`make docs` brings these up to date:\n{found.stdout}{found.stderr}"


def test_every_generated_part_is_used(generate):
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for part in generate.PARTS:
        assert f"<!-- generated: {part} -->" in text


def test_a_stale_part_is_noticed_and_written(generate, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("by hand\n<!-- generated: exit-codes -->\nold\n<!-- end generated -->\nby hand\n")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert "old" in page.read_text()
    monkeypatch.setattr("sys.argv", ["generate.py"])
    assert generate.main() == 0
    out = capsys.readouterr().out
    assert "wrote: docs/page.md" in out
    assert "wrote: docs/tisslang.ebnf" in out
    assert generate.stale_files(write=False) == []
    assert page.read_text().startswith("by hand\n<!-- generated: exit-codes -->\n| code | meaning |")
    assert page.read_text().endswith("<!-- end generated -->\nby hand\n")
    assert generate.stale_pages(write=False) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
