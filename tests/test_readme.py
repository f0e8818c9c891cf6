"""The README tells the truth: its commands and snippets run, in order, in a copy of the checkout.

A comment above a block of shell or Python says how it is run here; a block without one is an error.

    <!-- test: -->                                     as it stands
    <!-- test: TISSU_TRAIN__MAX_SECONDS=5 -->          with these environment variables, to make it short
    <!-- test: shared:NAME -->                         with this file of the shared data in the folder
    <!-- test: skip (why) -->                          not at all
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_BLOCK = re.compile(
    r"(?:^<!-- test:(?P<how>.*?)-->\n)?^```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block and what is said about testing it."""

    language: str
    code: str
    line: int
    how: str | None

    @property
    def words(self) -> list[str]:
        return shlex.split(self.how or "")

    @property
    def skipped(self) -> bool:
        return self.words[:1] == ["skip"]

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.words if "=" in word and not self.skipped)

    @property
    def shared_files(self) -> list[str]:
        return [word.removeprefix("shared:") for word in self.words if word.startswith("shared:")]


def blocks(text: str) -> list[Block]:
    return [
        Block(match["language"], match["code"], text.count("\n", 0, match.start("code")), match["how"])
        for match in _BLOCK.finditer(text)
    ]


BLOCKS = blocks(README.read_text(encoding="utf-8"))


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder like the checkout: its files by link, a `runs` of its own, this environment as `.venv`."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".venv", "runs"}:
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def test_every_block_says_how_it_is_tested():
    assert len(BLOCKS) >= 8
    for block in BLOCKS:
        assert block.how is not None, f"README.md:{block.line}: no <!-- test: ... --> above this block"
        if block.skipped:
            assert re.search(r"\(.{10,}\)", block.how), f"README.md:{block.line}: skip (why)"
        else:
            odd = [word for word in block.words if not re.match(r"[A-Z_]+=|shared:", word)]
            assert not odd, f"README.md:{block.line}: {odd} is not understood"


@pytest.mark.slow
@pytest.mark.data
def test_the_commands_and_snippets_run_in_order(checkout, shared_data, monkeypatch):
    stamp = Path(sys.prefix, ".installed")
    if not stamp.exists() or stamp.stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime:
        pytest.skip("`make demo` would install into this environment; run the tests with `make test`")
    monkeypatch.chdir(checkout)
    namespace: dict[str, object] = {}
    for block in BLOCKS:
        if block.skipped:
            continue
        for name in block.shared_files:
            Path(name).symlink_to(shared_data / name)
        if block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.code, f"README.md:{block.line}", "exec"), namespace)
            assert printed.getvalue().strip(), f"README.md:{block.line} printed nothing"
        else:
            environ = {**os.environ, **block.environment, "PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}"}
            outcome = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.code],
                env=environ, cwd=checkout, capture_output=True, text=True,
            )  # fmt: skip
            assert outcome.returncode == 0, f"README.md:{block.line}\n{outcome.stdout}\n{outcome.stderr}"


def test_the_tree_names_every_folder_and_nothing_else():
    tree = re.search(r"```text\n(quanta_tissu/.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    named, parents = set(), []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents[depth:] = [name.rstrip("/")]
        assert (ROOT / Path(*parents)).exists(), f"{name} is in the README's tree and not in the checkout"
        assert len(line.split(maxsplit=1)) == 2 or depth == 0, f"{name} is not explained"
        named.add("/".join(parents))
    packages = {
        str(path.parent.relative_to(ROOT))
        for path in (ROOT / "quanta_tissu").rglob("__init__.py")
    }  # fmt: skip
    deeper = {package for package in packages if package.count("/") > 2} - {"quanta_tissu/tisslm/ops/kernels"}
    assert packages - deeper <= named


def test_the_notation_of_this_file():
    text = 'x\n<!-- test: A_B=1 shared:a.txt C="two words" -->\n```sh\nls\n```\n```python\n1\n```\n<!-- test: skip (too slow here) -->\n```sh\nmake\n```\n'  # noqa: E501
    first, second, third = blocks(text)
    assert (first.code, first.line, first.environment) == ("ls\n", 3, {"A_B": "1", "C": "two words"})
    assert (first.shared_files, first.skipped) == (["a.txt"], False)
    assert (second.language, second.how) == ("python", None)
    assert third.skipped
