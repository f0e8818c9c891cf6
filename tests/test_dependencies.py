"""What the package imports, what it declares and what docs/dependencies.md explains are the same."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Where the import has another name.
MODULES = {
    "apsw-sqlite3mc": "apsw",
    "jsonschema-rs": "jsonschema_rs",
    "pyyaml": "yaml",
    "prompt-toolkit": "prompt_toolkit",
}
ON_REQUEST = {
    *(
        "fastapi",
        "lsprotocol",
        "matplotlib",
        "psycopg",
        "pygls",
        "pypdf",
        "safetensors",
        "starlette",
        "torch",
        "transformers",
        "uvicorn",
    )
}


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


def imported() -> set[str]:
    """Top-level modules of other projects that the package imports, anywhere in a file."""
    found = set()
    for path in (ROOT / "quanta_tissu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"quanta_tissu", "__future__"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    declared = {MODULES.get(name, name) for name in names(PROJECT["dependencies"])}
    assert imported() - ON_REQUEST == declared


def test_every_dependency_is_explained():
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = {name.lower() for name in re.findall(r"`([\w-]+)`", page)}
    declared = names(PROJECT["dependencies"]) | ON_REQUEST | names(PROJECT["optional-dependencies"]["test"])
    assert declared <= explained
