"""Every file in examples/ runs as it stands, from any folder, and does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, folder: Path) -> str:
    """Run an example in an empty folder; return what it prints."""
    outcome = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == ""
    assert list(folder.iterdir()) == [], "an example leaves nothing behind"
    return outcome.stdout


def test_there_is_a_test_for_every_example():
    known = {"ask_python.py", "remember.py", "train_in_python.py", "your_own_op.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == known


@pytest.mark.slow
def test_training_in_python_learns_and_invents_names(tmp_path):
    printed = run("train_in_python.py", tmp_path)
    losses = [float(loss) for loss in re.findall(r"validation loss ([\d.]+)", printed)]
    assert len(losses) == 5
    assert losses[-1] < losses[0] - 0.7
    known, invented, names = re.search(r"(\d+) names learned; (\d+) invented: (.+)", printed).groups()
    assert int(known) > 300
    assert int(invented) == len(names.split(", ")) >= 5


def test_an_op_of_ones_own_is_proved_and_learns(tmp_path):
    printed = run("your_own_op.py", tmp_path)
    errors = dict(re.findall(r"^(.+?) +worst relative error (\S+)$", printed, re.MULTILINE))
    assert float(errors["central differences"]) < 1e-9
    assert {"float32", "contract", "non-contiguous input"} < set(errors)
    means = [float(mean) for mean in re.findall(r"mean squared error (\S+)", printed)]
    assert means[-1] < means[0] / 100


def test_the_example_stops_if_its_gradient_is_wrong(tmp_path):
    source = (EXAMPLES / "your_own_op.py").read_text(encoding="utf-8")
    wrong = source.replace("dy * 2 * r", "dy * r")
    assert wrong != source
    outcome = subprocess.run([sys.executable, "-c", wrong], cwd=tmp_path, capture_output=True, text=True)
    assert outcome.returncode == 1
    assert "the gradient is wrong" in outcome.stderr


def test_what_is_remembered_fits_fades_and_proves_itself(tmp_path):
    printed = run("remember.py", tmp_path)
    assert "40 turns; a window of 1" in printed
    assert "(quoted from turns 1-" in printed
    assert "found again: assistant: On day 3 we visit museum 3." in printed
    assert re.findall(r"Imperial\. \(strength ([\d.]+)\)", printed) == ["0.90", "0.45", "0.22"]
    assert printed.index("book by phone: worked 5") < printed.index("book by mail: worked 0")
    assert printed.endswith("first was Trains, and is Buses\nafter undoing it is Trains: True\n")


@pytest.mark.slow
def test_the_documentation_answers_with_citations_and_says_when_it_cannot(tmp_path, minilm):
    printed = run("ask_python.py", tmp_path)
    merge, copy, choose, egg = re.split(r"\n\n", printed)[1:5]
    in_one_line = " ".join(merge.split())
    cited = re.search(r"Merge multiple sorted inputs into a single sorted output\. \[(\d)\]", in_one_line)[1]
    assert re.search(rf"\[{cited}\] heapq › heapq\.merge \(heapq\.md, lines \d+-\d+\), nearness 0\.\d\d", merge)
    assert "shutil.copytree" in copy
    assert "random.choice" in choose
    assert egg.endswith("Nothing relevant was found.")
