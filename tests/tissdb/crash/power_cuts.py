"""Cut the power at every write of random workloads, in every way, and see what is left.

    python tests/tissdb/crash/power_cuts.py --cuts 20000

What must hold after every cut: everything that was acknowledged is there, what was under way is there whole or not
at all, and the database's own check finds nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

import apsw

from quanta_tissu.errors import TissuError
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend
from quanta_tissu.tissdb.sqlite.protection import Secret, cipher_layer
from tests.tissdb.crash.disk import MODES, Cut, Disk, RecordingLayer, cuts
from tests.tissdb.crash.workload import NAME, State, Workload, open_on, state_of


def record(folder: Path, seed: int, operations: int, secret: Secret | None = None) -> tuple[Disk, list[State]]:
    """Run a workload and keep what it asked of the disk."""
    disk = Disk()
    layer = RecordingLayer(disk, f"recording-{seed}", encrypted=secret is not None)
    workload = Workload(seed, disk.mark)
    with open_on(folder, f"recording-{seed}", secret) as db:
        workload.run(db, operations)
    if secret is not None:
        apsw.unregister_vfs(cipher_layer(f"recording-{seed}"))
    layer.unregister()
    return disk, workload.states


def problem_after(
    cut: Cut, mode: str, seed: int, states: list[State], folder: Path, secret: Secret | None = None
) -> str | None:
    """What is wrong with the database after a cut, None if nothing is."""
    for name, data in cut.files(mode, seed).items():
        (folder / name).write_bytes(data)
    try:
        if not (folder / NAME).exists():
            return None if cut.marks == 0 else "the file is gone"
        with Database(SqliteBackend(folder / NAME, durable=False, secret=secret)) as db:
            found = state_of(db)
            allowed = states[cut.marks : cut.marks + 2]
            if {name: documents for name, documents in found.items() if documents or name in allowed[0]} not in [
                {name: documents for name, documents in state.items() if documents or name in found}
                for state in allowed
            ]:
                return f"after operation {cut.marks} the documents are neither its state nor the next"
            problems = db.check()
            return problems[0] if problems else None
    except TissuError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for file in folder.iterdir():
            file.unlink()


def check_workload(
    seed: int,
    operations: int,
    modes: tuple[str, ...] = MODES,
    every: int = 1,
    secret: Secret | None = None,
) -> Iterator[tuple[Cut, str, str | None]]:
    """Every cut of a workload in every mode, and what is wrong after it."""
    shared = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="power-cuts-", dir=shared if shared.is_dir() else None))
    try:
        (root / "run").mkdir()
        (root / "after").mkdir()
        disk, states = record(root / "run", seed, operations, secret)
        for cut in cuts(disk.events):
            if cut.at % every == seed % every:
                for mode in modes:
                    yield cut, mode, problem_after(cut, mode, seed, states, root / "after", secret)
    finally:
        shutil.rmtree(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=20_000, help="how many at least")
    parser.add_argument("--operations", type=int, default=40, help="of one workload")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encrypted", action="store_true")
    arguments = parser.parse_args()
    secret = Secret(key=bytes(range(32))) if arguments.encrypted else None
    count, bad, seed, started = 0, 0, arguments.seed, time.monotonic()
    while count < arguments.cuts:
        for cut, mode, problem in check_workload(seed, arguments.operations, secret=secret):
            count += 1
            if problem is not None:
                bad += 1
                print(f"workload {seed}, event {cut.at}, {mode}: {problem}", flush=True)
            if count % 1000 == 0:
                print(f"{count:,} cuts, {bad} bad, {time.monotonic() - started:.0f} s", flush=True)
        seed += 1
    print(f"{count:,} cuts of {seed - arguments.seed} workloads, {bad} bad", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
