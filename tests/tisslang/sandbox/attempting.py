"""Makes all attempts of one level as one user, and prints what came of them; a process of its own.

python -m tests.tisslang.sandbox.attempting bwrap FOLDER
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox.policy import Level, Limits, Policy
from quanta_tissu.tisslang.sandbox.run import run
from tests.tisslang.sandbox.process_attempts import ATTEMPTS, Attempt

LIMITS = Limits(
    cpu_seconds=20,
    memory=400 << 20,
    file_size=64 << 20,
    open_files=256,
    processes=40,
    flood=8 << 20,
    temporary=64 << 20,
    free_disk=0,
)


@cache
def segment() -> int:
    """Memory that anybody may share (System V); it goes with `main`."""
    return ctypes.CDLL(None).shmget(0, 4096, 0o1666)


def guarded(project: Path) -> dict[str, tuple[object, ...]]:
    """What must be the same after each attempt: what makes git run programs, and the rules."""
    found = [
        project / ".tissu" / "rules.toml",
        project / ".git" / "config",
        *(project / ".git").glob("hooks/**/*"),
    ]
    return {
        str(path): (path.is_symlink(), path.stat().st_mode, path.stat().st_nlink, path.read_text())
        if path.is_file()
        else ()
        for path in found
    }


def attempt(one: Attempt, level: str, folder: Path, port: int) -> dict[str, object]:
    """Make one attempt in a project of its own."""
    base = folder / "".join(c if c.isalnum() else "-" for c in one.name)
    project, outside = base / "project", base / "outside"
    for made in (project / ".git" / "hooks", project / ".tissu" / "runs" / "1", outside):
        made.mkdir(parents=True)
    (project / ".git" / "config").write_text("[core]\n")
    (project / ".git" / "hooks" / "pre-push").write_text("#!/bin/sh\n")
    (project / ".git" / "hooks" / "pre-push").chmod(0o644)
    (project / ".tissu" / "rules.toml").write_text("# none\n")
    (project / ".tissu" / "runs" / "1" / "journal.jsonl").write_text("{}\n")
    before = guarded(project)
    (outside / "open.txt").write_text("open\n")
    (outside / "secret.txt").write_text("secret\n")
    (outside / "secret.txt").chmod(0o600)
    host = socket.socket(socket.AF_UNIX)
    host.bind(str(outside / "host.sock"))
    host.listen()
    named = socket.socket(socket.AF_UNIX)
    named.bind(f"\0tissu-host-{outside}")
    named.listen()
    code = one.code
    for name, value in (
        ("OUTSIDE", str(outside)),
        ("ENGINE", str(os.getpid())),
        ("PORT", str(port)),
        ("SEGMENT", str(segment())),
    ):
        code = code.replace(name, value)
    if one.python:
        (project / "attempt.py").write_text("def tell(): print('ESCAPED', flush=True)\n" + textwrap.dedent(code))
        code = "/usr/bin/python3 attempt.py"
    try:
        finished = run(
            code,
            root=project,
            policy=Policy(level=Level(level), limits=LIMITS),
            timeout=3 if one.ends == "timeout" else 40,
        )
    except SandboxError as error:
        return {"error": str(error), "kept": guarded(project) == before}
    finally:
        host.close()
        named.close()
    return {
        "output": (finished.stdout[-2000:] + finished.stderr[-2000:]).decode(errors="replace"),
        "exit_code": finished.exit_code,
        "ended_by": finished.ended_by,
        "open": (outside / "open.txt").read_text(),
        "outside": sorted(path.name for path in outside.iterdir()),
        "kept": guarded(project) == before,
        "cores": len(list(project.glob("core*"))),
    }


def main() -> None:
    level, folder = sys.argv[1], Path(sys.argv[2])
    os.environ["TISSU_TEST_SECRET"] = "s3cret"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        chosen = [one for one in ATTEMPTS if one.claimed(level) != "no"]
        bombs = [one for one in chosen if one.name.startswith("fork")]  # others of the same user would feel them
        found = {one.name: attempt(one, level, folder, port) for one in bombs}
        rest = [one for one in chosen if one not in bombs]
        with ThreadPoolExecutor(3) as pool:
            came = pool.map(lambda one: attempt(one, level, folder, port), rest)
            found |= dict(zip([one.name for one in rest], came, strict=True))
    assert ctypes.CDLL(None).shmctl(segment(), 0, None) == 0, "it has been removed"
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    found["left"] = {"output": "\n".join(line for line in left.splitlines() if "sleep 4242" in line)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
