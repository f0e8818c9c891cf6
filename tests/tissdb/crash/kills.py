"""Kill processes that write, at random, and see that nothing that they were told is lost.

    python tests/tissdb/crash/kills.py --kills 1000 [--encrypted]

Some processes insert and delete, one checkpoints and makes backups; all are killed (SIGKILL) and begun anew, also
while they recover what the last one left. Each writes what was acknowledged to a file of its own, as somebody
outside would remember it. They are forked from a process that has everything imported, so that they are killed
while they work, also on a slow machine, and not while they start Python.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import TissuError
from quanta_tissu.tissdb.sqlite import backend

WRITERS = 4

KEY = bytes(range(32))


def work(role: str, database: Path, memory: Path, key: bytes | None) -> None:
    """Write or maintain for ever; end with 3 if the database refuses."""
    try:
        (write if role[0] == "w" else maintain)(database, role, memory, key)
    except TissuError as error:
        print(f"{role}: {error}", file=sys.stderr)
        sys.exit(3)


def write(database: Path, name: str, memory: Path, key: bytes | None) -> None:
    """Insert documents for ever, in ones and pairs, changing some; note each when it is acknowledged."""
    note = os.open(memory, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    chance = random.Random(os.getpid())
    with tissdb.open(database, busy_timeout=60, key=key) as db:
        number = 0
        while True:
            id = f"{name}-{os.getpid()}-{number}"
            number += 1
            db["a"].insert({"text": f"alpha {number}"}, id=id, vectors={"near": [number, 1]})
            os.write(note, f"+ {id}\n".encode())
            if chance.random() < 0.2:
                with db.transaction() as tx:
                    for side in ("left", "right"):
                        tx[side].insert({}, id=id)
                os.write(note, f"= {id}\n".encode())
            if chance.random() < 0.2:
                db["a"].delete(id)
                os.write(note, f"- {id}\n".encode())


def maintain(database: Path, name: str, memory: Path, key: bytes | None) -> None:
    """Checkpoint and make backups for ever."""
    backend._CHECKPOINT_BYTES = 1
    with tissdb.open(database, busy_timeout=60, key=key) as db:
        for number in range(10**9):
            db._backend.maintain()
            if number % 20 == 0:
                copy = memory.with_name(f"copy-{os.getpid()}-{number}.db")
                db.backup(copy)
                copy.unlink()


def storm(folder: Path, kills: int, seed: int = 0, key: bytes | None = None, least: int = 0) -> list[str]:
    """Kill processes that write and maintain one database.

    Args:
        folder: Of the database, and of what each process remembers.
        kills: How often, or oftener:
        seed: Of moments and victims.
        key: The database is encrypted.
        least: It goes on until so many writes were acknowledged, however slow the machine is.

    Returns:
        What is wrong afterwards.
    """
    chance = random.Random(seed)
    database = folder / "test.db"
    with tissdb.open(database, key=key) as db:
        db["a"].create_index("words", kind="text", fields="text")
        db["a"].create_index("near", kind="vector", dimension=2)
    roles = [*(f"w{n}" for n in range(WRITERS)), "m0"]

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "quanta_tissu.tissdb.tissql.run"])

    def start(role: str) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=work, args=(role, database, folder / f"{role}.log", key), daemon=True)
        process.start()
        return process

    running = {role: start(role) for role in roles}
    wrong = []
    try:
        number = 0
        while number < kills or acknowledged(folder) < least:
            number += 1
            time.sleep(chance.expovariate(1 / 0.25))
            role = chance.choice(roles)
            if running[role].exitcode is not None:
                wrong.append(f"{role} ended by itself with {running[role].exitcode}")
            running[role].kill()
            running[role].join()
            running[role] = start(role)
    finally:
        for process in running.values():
            process.kill()
            process.join()
    return wrong + lost(database, folder, key)


def acknowledged(folder: Path) -> int:
    """How many writes the processes remember that they were told of."""
    return sum(len(memory.read_text().splitlines()) for memory in folder.glob("w*.log"))


def lost(database: Path, folder: Path, key: bytes | None) -> list[str]:
    """What was acknowledged and is not so, what is there by halves, and what the database itself finds wrong."""
    wrong = []
    with tissdb.open(database, key=key) as db:
        there = {name: {document.id for document in db[name]} for name in ("a", "left", "right")}
        for memory in folder.glob("w*.log"):
            for line in memory.read_text().splitlines():
                what, id = line.split(" ")
                if what == "=" and not (id in there["left"] and id in there["right"]):
                    wrong.append(f"the pair {id} was acknowledged and is not there")
                if what == "-" and id in there["a"]:
                    wrong.append(f"{id} was deleted and is there")
            lines = memory.read_text().splitlines()
            deleted = {line[2:] for line in lines if line[0] == "-"}
            last = {line[2:] for line in lines if line[0] == "+"} - deleted
            # The deletion of the very last one before a kill may have happened without being acknowledged.
            gone = [id for id in last if id not in there["a"] and not db_deleted(db, id)]
            wrong += [f"{id} was acknowledged and is not there" for id in gone]
        if there["left"] != there["right"]:
            wrong.append(f"half of a transaction: {sorted(there['left'] ^ there['right'])[:3]}")
        wrong += db.check()
    return wrong


def db_deleted(db: tissdb.Database, id: str) -> bool:
    """Whether the log says that a document was deleted."""
    return db.read_connection(
        lambda connection: bool(connection.rows("SELECT 1 FROM _log WHERE id = ? AND action = 'delete'", (id,)))
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encrypted", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        wrong = storm(Path(folder), arguments.kills, arguments.seed, KEY if arguments.encrypted else None)
        acknowledged = sum(len(memory.read_text().splitlines()) for memory in Path(folder).glob("w*.log"))
        print(f"{arguments.kills} kills, {acknowledged:,} acknowledged, {len(wrong)} wrong")
        print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
