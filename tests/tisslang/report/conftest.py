"""Runs as the engine records them, written by a real journal."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from quanta_tissu.tisslang.journal.journal import Journal

SCRIPT = """\
#TISS! version=1.0 Language=Python
TASK "Create and test a script" {
    @persona "careful_engineer"
    SET_BUDGET EXECUTION_TIME = "5m"
    SET_BUDGET TOKEN_COUNT = 2000
    STEP "Write it" {
        READ "tests.py" AS tests
        PROMPT_AGENT "Write a function that reverses words. Tests: {{tests}}" INTO code
        REQUEST_REVIEW code
        WRITE "words.py" <<PY
{{code}}
PY
    }
    STEP "Check it" {
        RUN "python3 -m pytest -q"  TIMEOUT "60s"
        ASSERT LAST_RUN.EXIT_CODE == 0
        ASSERT FILE "words.py" EXISTS
    }
}
"""
TESTS = "from words import reverse\n\n\ndef test_reverse():\n    assert reverse('a b c') == 'c b a'\n"
FIRST = 'def reverse(text):\n    """The words of a text backwards."""\n    return " ".join(reversed(text))\n'
SECOND = FIRST.replace("reversed(text)", "reversed(text.split())")
OUTPUT = """\
F                                                                        [100%]
=================================== FAILURES ===================================
_________________________________ test_reverse _________________________________

    def test_reverse():
>       assert reverse('a b c') == 'c b a'
E       AssertionError: assert 'c   b   a' == 'c b a'

tests.py:5: AssertionError
=========================== short test summary info ============================
FAILED tests.py::test_reverse - AssertionError: assert 'c   b   a' == 'c b a'
1 failed in 0.03s
"""


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Writer:
    """Writes what the engine would."""

    def __init__(self, folder: Path, **start) -> None:
        self.journal = Journal.create(folder, **start)

    def effect(self, key, op, cls, args, line, value=None, *, result=True, **more):
        of = self.journal.append(
            "effect.intent", durable=True, key=key, op=op, cls=cls, args=args, line=line, source="plan.tiss"
        ).seq
        if result:
            fields = {"of": of, "key": key, "status": "ok", "value": value, "seconds": 0.0} | more
            self.journal.append("effect.result", durable=True, **fields)

    def ask(self, key, what, title, shown, options, answer=None, *, by="ada", comment="", line=1):
        seal = hashlib.sha256(shown.encode()).hexdigest()
        self.journal.append(
            "approval.request", key=key, what=what, title=title, shown=self.journal.put(shown.encode()),
            options=options, digest=seal, line=line,
        )  # fmt: skip
        if answer is not None:
            self.journal.append(
                "approval.answer", key=key, what=what, answer=answer, by=by, comment=comment, digest=seal
            )

    def __getattr__(self, name):
        return getattr(self.journal, name)


def write_run(folder: Path) -> Path:
    """A run that fails once, is corrected, reviewed, and done."""
    run = Writer(
        folder, script="plan.tiss", title="Create and test a script", sources={"plan.tiss": SCRIPT}, by="ada",
        root="/home/ada/words", engine="0.1.0",
        options={"sandbox": "bwrap", "network": False, "models": {"": "runs/demo/best"}, "database": ""},
    )  # fmt: skip
    top = "0:TASK"
    run.append("budget", key=f"{top}/1:SET_BUDGET", name="EXECUTION_TIME", limit=300.0, line=4)
    run.append("budget", key=f"{top}/2:SET_BUDGET", name="TOKEN_COUNT", limit=2000, line=5)
    step = f"{top}/3:STEP"
    run.append("step.begin", key=step, title="Write it", line=6)
    run.effect(f"{step}/0:READ", "READ", "READ", {"path": "tests.py"}, 7, TESTS, seconds=0.0004)
    usage = {"calls": 1, "tokens": 612, "cost": 0.0031}
    prompt = f"Write a function that reverses words. Tests: {TESTS}"
    args = {"prompt": prompt, "schema": None, "settings": {"persona": "careful_engineer", "temperature": 0.2}}
    run.effect(f"{step}/1:PROMPT_AGENT", "PROMPT_AGENT", "MODEL", args, 8, FIRST, usage=usage, seconds=3.2)
    key = f"{step}/2:REQUEST_REVIEW"
    of = run.append(
        "effect.intent", key=key, op="ASK", cls="HUMAN", args={"what": "review", "shown": FIRST}, line=9
    )
    run.ask(key, "review", "is this right?", FIRST, ["approve", "reject"], "approve", comment="try it", line=9)
    value = {"approved": True, "by": "ada", "comment": "try it"}
    run.append("effect.result", of=of.seq, key=key, status="ok", value=value, seconds=0.0)
    files = [["A", "words.py", None, digest(FIRST)]]
    run.effect(
        f"{step}/3:WRITE", "WRITE", "WRITE", {"path": "words.py", "text": FIRST}, 10, files=files, seconds=0.002
    )
    run.append("step.end", key=step, status="done", seconds=3.3)
    step = f"{top}/4:STEP"
    run.append("step.begin", key=step, title="Check it", line=14)
    run.append("decision", key=f"{step}/0:IF.0", what="IF", condition="attempts < 3", holds=True, line=14)
    value = {"STDOUT": OUTPUT, "STDERR": "", "EXIT_CODE": 1, "EXECUTION_TIME": 0.41}
    run.effect(
        f"{step}/0:RUN",
        "RUN",
        "RUN",
        {"command": "python3 -m pytest -q", "variables": {}},
        15,
        value,
        seconds=0.41,
    )
    run.append(
        "assert",
        key=f"{step}/1:ASSERT",
        holds=False,
        text="LAST_RUN.EXIT_CODE == 0",
        values={"LAST_RUN.EXIT_CODE": 1},
        line=16,
    )
    run.append(
        "decision",
        key=f"{step}#1",
        what="RETRY",
        attempt=1,
        of=3,
        condition="this does not hold: LAST_RUN.EXIT_CODE == 0",
        line=16,
    )
    args = {"prompt": f"Correct this:\n{FIRST}\nThe tests say:\n{OUTPUT}", "schema": None, "settings": {}}
    run.effect(
        f"{step}#1.fix",
        "PROMPT_AGENT",
        "MODEL",
        args,
        16,
        SECOND,
        usage={"calls": 1, "tokens": 980, "cost": 0.0049},
        seconds=4.1,
    )
    files = [["M", "words.py", digest(FIRST), digest(SECOND)]]
    run.effect(
        f"{step}/2:WRITE", "WRITE", "WRITE", {"path": "words.py", "text": SECOND}, 10, files=files, seconds=0.002
    )
    value = {"STDOUT": "1 passed in 0.01s\n", "STDERR": "", "EXIT_CODE": 0, "EXECUTION_TIME": 0.39}
    run.effect(
        f"{step}/3:RUN",
        "RUN",
        "RUN",
        {"command": "python3 -m pytest -q", "variables": {}},
        15,
        value,
        seconds=0.39,
    )
    run.append(
        "assert",
        key=f"{step}/4:ASSERT",
        holds=True,
        text="LAST_RUN.EXIT_CODE == 0",
        values={"LAST_RUN.EXIT_CODE": 0},
        line=16,
    )
    run.append("assert", key=f"{step}/5:ASSERT", holds=True, text='FILE "words.py" EXISTS', values={}, line=17)
    run.ask(
        f"{step}/6:RUN",
        "permit",
        "may this be done? (the command may use the network)",
        "curl -T words.py https://example.org\n(network: yes)",
        ["allow", "deny"],
        "deny",
        comment="not needed",
        line=17,
    )
    problem = {"code": "R204", "message": "RUN was refused: ada did not allow it: not needed", "help": None}
    run.effect(
        f"{step}/6:RUN",
        "RUN",
        "RUN",
        {"command": "curl -T words.py https://example.org", "variables": {}},
        17,
        status="failed",
        problem=problem,
    )
    run.append("note", key=f"{step}/7:LOG", text="words.py is written and tested", line=17)
    run.append("step.end", key=step, status="done", seconds=5.0)
    run.append("run.end", durable=True, status="done", variables={"code": SECOND, "tests": TESTS})
    run.close()
    return folder


def write_failed_run(folder: Path) -> Path:
    """A run that was killed, resumed, and failed."""
    run = Writer(
        folder, script="plan.tiss", title="Create and test a script", sources={"plan.tiss": SCRIPT}, by="ada"
    )
    step = "0:TASK/4:STEP"
    run.append("step.begin", key=step, title="Check it", line=14)
    run.effect(
        f"{step}/0:RUN", "RUN", "RUN", {"command": "python3 -m pytest -q", "variables": {}}, 15, result=False
    )
    run.append("run.resume", durable=True, by="ada", engine="0.1.0")
    value = {"STDOUT": OUTPUT, "STDERR": "", "EXIT_CODE": 1, "EXECUTION_TIME": 0.41}
    run.effect(
        f"{step}/0:RUN",
        "RUN",
        "RUN",
        {"command": "python3 -m pytest -q", "variables": {}},
        15,
        value,
        seconds=0.41,
    )
    run.append(
        "assert",
        key=f"{step}/1:ASSERT",
        holds=False,
        text="LAST_RUN.EXIT_CODE == 0",
        values={"LAST_RUN.EXIT_CODE": 1},
        line=16,
    )
    run.append("step.end", key=step, status="failed", seconds=0.5)
    condition = "LAST_RUN.EXIT_CODE == 0"
    start = SCRIPT.index(condition)
    run.append(
        "diagnostic", code="R201", message=f"this does not hold: {condition}", file="plan.tiss", line=16,
        statement=f"ASSERT {condition}", label="it is 1", help="see what the command wrote",
        notes=["the end of what it wrote:", *OUTPUT.splitlines()[-2:]], span=[start, start + len(condition)],
        values={"LAST_RUN.EXIT_CODE": 1},
    )  # fmt: skip
    run.append("run.end", durable=True, status="failed", reason=f"this does not hold: {condition}", variables={})
    run.close()
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / ".tissu" / "runs" / "20261122-234500-ab12")


@pytest.fixture
def failed_run(tmp_path) -> Path:
    return write_failed_run(tmp_path / ".tissu" / "runs" / "20261122-235900-cd34")
