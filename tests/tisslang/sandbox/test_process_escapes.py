"""Commands that try to get out, each as root and as an ordinary user, on every level that claims to stop it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.tisslang.sandbox.process_attempts import ATTEMPTS

ROOT = Path(__file__).parents[3]
USERS = ("root", "nobody") if os.geteuid() == 0 else ("this user",)
NOBODY = 65534

pytestmark = pytest.mark.usefixtures("every_level")

CASES = [
    (one, level, who)
    for one in ATTEMPTS
    for level in ("landlock", "bwrap")
    if one.claimed(level) != "no"
    for who in USERS
]


@cache
def outcomes(level: str, who: str) -> dict[str, dict[str, object]]:
    """What came of all attempts on a level, as a user."""
    with tempfile.TemporaryDirectory(prefix="tissu-escapes-", ignore_cleanup_errors=True) as folder:
        other = who == "nobody"
        if other:
            os.chown(folder, NOBODY, NOBODY)
        done = subprocess.run(
            [_python(other), "-m", "tests.tisslang.sandbox.attempting", level, folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            user=NOBODY if other else None,
            group=NOBODY if other else None,
            extra_groups=[] if other else None,
            env={**os.environ, "HOME": folder, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


def _python(other: bool) -> str:
    """A Python that the user may run: one in root's home may not be."""
    own = os.path.realpath(sys.executable)
    return "/usr/bin/python3" if other and own.startswith("/root/") else sys.executable


def test_there_are_more_than_fifty_attempts():
    assert len({one.name for one in ATTEMPTS}) == len(ATTEMPTS) > 50


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("one", "level", "who"), CASES, ids=[f"{c[1]}-{c[2]}-{c[0].name}" for c in CASES])
def test_nobody_gets_out(one, level, who):
    came = outcomes(level, who)[one.name]
    assert came["kept"], came
    if one.claimed(level) in ("undone", "noticed"):
        said = {"undone": "it was undone", "noticed": "nobody was at work on it"}[one.claimed(level)]
        assert said in came["error"], came
        return
    assert "error" not in came, came
    assert "ESCAPED" not in came["output"], came
    assert came["open"] == "open\n"
    assert came["outside"] == ["host.sock", "open.txt", "secret.txt"]
    assert came["cores"] == 0
    if one.ends is not None:
        assert came["ended_by"] == one.ends, came


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", USERS)
@pytest.mark.parametrize("level", ["landlock", "bwrap"])
def test_nothing_is_left_behind(level, who):
    assert outcomes(level, who)["left"]["output"] == ""
