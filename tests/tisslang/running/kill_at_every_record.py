"""Kills a run at every boundary of its journal, goes on with it, and compares what came of it.

The script has thirty effects of every class. A child process runs it and is killed with SIGKILL right before or
right after it writes its n-th record; another one goes on with the run, which may be killed as well. At the end
files, variables, documents and the meaning of the journal must be those of a run that nobody disturbed, and the
commands must have been done once each.

    python -m tests.tisslang.running.kill_at_every_record --every 1 --sandbox bwrap
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quanta_tissu import tissdb
from quanta_tissu.tisslang.engine.program import read_program
from quanta_tissu.tisslang.journal.anchor import anchor_path
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.verify import verify
from quanta_tissu.tisslang.running.lifecycle import RUNS, Options, replay, resume, start
from quanta_tissu.tisslang.running.live.documents import Documents
from quanta_tissu.tisslang.running.live.models import Models
from quanta_tissu.tisslang.running.live.performer import LivePerformer
from quanta_tissu.tisslang.running.people import Answer, Question
from quanta_tissu.tisslang.running.rules import Rule
from quanta_tissu.tisslang.sandbox.policy import Level, Policy
from quanta_tissu.tisslang.source import SourceFile

SCRIPT = """\
TASK "Everything once" {
    SETUP {
        MKDIR "out/pages"
        WRITE "old.txt" "old"
    }
    STEP "Files" {
        WRITE "out/a.txt" "first\\n"
        APPEND "out/a.txt" "second\\n"
        READ "out/a.txt" AS text
        DELETE "old.txt"
        ASSERT NOT FILE "old.txt" EXISTS
        FOR name IN ["x", "y", "z"] {
            WRITE "out/pages/{{name}}.txt" "page {{name}}"
        }
    }
    STEP "Commands" {
        RUN "echo one >> done.log"
        RUN "cat out/a.txt | wc -l && echo two >> done.log"
    }
    STEP "On a copy" {
        @sandbox txn
        RUN "echo three >> done.log"
        WRITE "out/copy.txt" "from the copy"
        RUN "cat out/copy.txt && echo four >> done.log"
        ASSERT LAST_RUN.STDOUT CONTAINS "from the copy"
    }
    STEP "Models" {
        PROMPT_AGENT "a colour" INTO colour
        PROMPT_AGENT "a number" INTO number
        WRITE "out/answers.txt" "{{colour}} {{number}}"
    }
    STEP "Documents" {
        VAR note = {title: "Hello", colour: colour}
        INSERT_DOC "notes" FROM_VAR note INTO id
        VAR change = {title: "Goodbye"}
        UPDATE_DOC "notes" DOC_ID id WITH_VAR change
        INSERT_DOC "notes" FROM_VAR change INTO second
        DELETE_DOC "notes" DOC_ID second
        QUERY_DB "SELECT title, colour FROM notes" INTO rows
    }
    PARALLEL {
        STEP "Left" {
            WRITE "out/left.txt" "left"
            RUN "echo five >> left.log"
            VAR left = FILE "left.log"
        }
        STEP "Right" {
            WRITE "out/right.txt" "right"
            PROMPT_AGENT "a colour on the right" INTO right
        }
    }
    STEP "People" {
        REQUEST_REVIEW text
        CHOOSE "Which?" {
            OPTION "This" { WRITE "out/chosen.txt" "this" }
            OPTION "That" { WRITE "out/chosen.txt" "that" }
        }
    }
    STEP "Failures" {
        TRY {
            READ "nothing.txt" AS nothing
        } CATCH AS problem {
            VAR code = problem.code
        }
        VAR tries = 0
        RETRY MAX 3 {
            APPEND "out/tries.txt" "."
            ASSERT FILE "out/tries.txt" == ".."
        } FIX_WITH PROMPT_AGENT "mend it: {{failure}}" INTO colour
    }
}
"""

ANSWERS = """\
- when: "a colour on the right"
  answer: red
- when: "a colour"
  answer: blue
- when: "a number"
  answer: "7"
- when: "mend it"
  answer: again
"""


class Silent:
    """Nobody watches."""

    def notice(self, notice: Any) -> None: ...

    def begin(self, effect: Any) -> None: ...

    def end(self, effect: Any, outcome: Any, replayed: bool) -> None: ...


@dataclass
class KnowsWhatWasDone:
    """A person who approves, chooses the second, and looks whether a command of unknown fate was done."""

    root: Path

    def ask(self, question: Question) -> Answer:
        if question.what != "doubt":
            return Answer(choice={"review": "approve", "choose": "That"}[question.what], by="tester")
        logs = "".join(path.read_text() for path in self.root.glob("*.log"))
        word = next(one for one in ("one", "two", "five") if f"echo {one}" in question.shown)
        return Answer(choice="skip" if word in logs else "retry", by="tester")


class Killing:
    """Kills this process right before or right after the n-th record from now on is written."""

    def __init__(self, number: int, after: bool) -> None:
        self._left = number
        self._after = after
        self._append = Journal.append
        self._lock = threading.Lock()

    def install(self) -> None:
        killing = self

        def append(journal: Journal, kind: str, **fields: Any) -> Any:
            with killing._lock:
                killing._left -= 1
                last = killing._left == 0
            if last and not killing._after:
                os.kill(os.getpid(), signal.SIGKILL)
            record = killing._append(journal, kind, **fields)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return record

        Journal.append = append  # type: ignore[method-assign]


def performer(root: Path, journal: Journal, options: Options) -> LivePerformer:
    return LivePerformer(
        root,
        journal.folder / "scratch",
        Policy(level=Level(options.sandbox)),
        Models(options.models, root, (0.0, 0.0)),
        Documents(str(root / ".tissu" / "database.db"), "test"),
        secrets={},
        redactor=journal.redactor,
        keep=journal.put,
        on_output=lambda effect, stream, data: None,
    )


def prepare(root: Path) -> None:
    (root / ".tissu").mkdir()
    (root / ".tissu" / "answers.yaml").write_text(ANSWERS)


def go(root: Path, sandbox: str) -> str:
    """Start the run, or go on with it; how it ended."""
    options = Options(sandbox=sandbox, models={"": "mock:.tissu/answers.yaml"})
    about = {
        "doer": lambda journal, options: performer(root, journal, options),
        "person": KnowsWhatWasDone(root),
        "watcher": Silent(),
        "rules": [Rule("allow", {})],
    }
    folder = root / RUNS / "run"
    journal = folder / "journal.jsonl"
    if not journal.exists() or not journal.stat().st_size:  # killed before it was a run
        shutil.rmtree(folder, ignore_errors=True)
        anchor_path(folder).unlink(missing_ok=True)
        ending = start(read_program(SourceFile(SCRIPT, "plan.tiss"), None), root, options, name="run", **about)
    elif '"kind":"run.end"' in journal.read_text():  # killed when everything was over
        return "done"
    else:
        ending = resume(folder, **about)
    if ending.status != "done":
        print(ending.status, ending.failure or ending.error or ending.question, file=sys.stderr)
    return ending.status


def in_child(root: Path, sandbox: str, killing: Killing | None) -> int:
    """Do it in a child process; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            if killing is not None:
                killing.install()
            os._exit(0 if go(root, sandbox) == "done" else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(2)
    return os.waitpid(child, 0)[1]


def outcome(root: Path) -> dict[str, Any]:
    """All that a run leaves: files, variables, documents, and what its journal says of effects."""
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".tissu" not in path.parts
    }
    folder = root / RUNS / "run"
    with tissdb.open(root / ".tissu" / "database.db") as database:
        documents = sorted(str(one.value) for one in database["notes"].scan())
    with Journal.open(folder) as journal:
        meaning: dict[str, Any] = {}
        for record in journal.records:
            fields = journal.expanded(record)
            if record.kind == "effect.result" and fields["status"] != "void":
                meaning[fields["key"]] = (fields["status"], fields.get("problem"), _steady(fields.get("value")))
        variables = journal.expanded(journal.records[-1])["variables"]
    variables.pop("id", None)  # ids of documents are random
    variables.pop("second", None)
    return {"files": files, "variables": variables, "documents": documents, "meaning": meaning}


def _steady(value: Any) -> Any:
    """A value without what differs from run to run: times, ids, and what is not known of a command in doubt."""
    if isinstance(value, dict) and "EXECUTION_TIME" in value:
        return "command"
    if isinstance(value, str) and len(value) == 36 and value.count("-") == 4:
        return "id"
    return value


def differences(root: Path, expected: dict[str, Any]) -> list[str]:
    """What is not as it would be if nobody had killed anything."""
    found = outcome(root)
    wrong = [
        f"{name} differ: {found[name]!r}\nnot {expected[name]!r}"
        for name in expected
        if found[name] != expected[name]
    ]
    verdict = verify(root / RUNS / "run")
    if not verdict.ok:
        wrong.append(f"the chain is broken: {verdict.findings}")
    if replay(root / RUNS / "run", watcher=Silent()).status != "done":
        wrong.append("the replay ends otherwise")
    return wrong


def campaign(every: int, sandbox: str, *, twice: bool = False) -> tuple[int, list[str]]:
    """Kill at every n-th boundary; how often, and what was wrong."""
    base = Path(tempfile.mkdtemp(prefix="tiss-kills-"))
    wrong: list[str] = []
    kills = 0
    try:
        quiet = base / "quiet"
        quiet.mkdir()
        prepare(quiet)
        if in_child(quiet, sandbox, None) != 0:
            return 0, ["the run fails without being killed"]
        expected = outcome(quiet)
        with Journal.open(quiet / RUNS / "run") as journal:
            records = len(journal.records)
        for number in range(1, records + 1, every):
            for after in (False, True):
                root = base / f"{number}-{after}"
                root.mkdir()
                prepare(root)
                status = in_child(root, sandbox, Killing(number, after))
                if not os.WIFSIGNALED(status):
                    wrong.append(f"{number}, {after}: it was not killed: {status}")
                    continue
                kills += 1
                if twice and os.WIFSIGNALED(in_child(root, sandbox, Killing(2 + number % 5, not after))):
                    kills += 1
                if in_child(root, sandbox, None) != 0:
                    wrong.append(f"killed {'after' if after else 'before'} record {number}: it does not go on")
                else:
                    wrong += [
                        f"killed {'after' if after else 'before'} record {number}: {one}"
                        for one in differences(root, expected)
                    ]
                shutil.rmtree(root)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return kills, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="kill at every n-th record")
    parser.add_argument("--sandbox", default="bwrap")
    parser.add_argument("--twice", action="store_true", help="kill what goes on, too")
    arguments = parser.parse_args()
    kills, wrong = campaign(arguments.every, arguments.sandbox, twice=arguments.twice)
    print(f"{kills} kills, {len(wrong)} of them wrong")
    for one in wrong:
        print(one)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
