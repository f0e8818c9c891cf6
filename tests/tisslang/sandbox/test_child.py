"""The helper process of a command, apart from what it does for one: `test_run.py` has that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from quanta_tissu.tisslang.sandbox import child

PACKAGE = Path(child.__file__).parents[3]


def test_it_imports_little_because_each_command_waits_for_it():
    code = f"import sys; sys.path.append({str(PACKAGE)!r}); import quanta_tissu.tisslang.sandbox.child"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code + "; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    expensive = {
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "json",
        "pathlib",
        "re",
        "shutil",
    }
    expensive |= {"signal", "subprocess", "tempfile", "threading", "typing", "quanta_tissu.errors"}
    assert "ctypes" in loaded
    assert not loaded & expensive
