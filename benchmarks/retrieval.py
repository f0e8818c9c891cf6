"""How well a knowledge base finds: recall at 10 by words, by meaning and by both, with intervals.

    python benchmarks/retrieval.py [--questions 400] [--embedder all-MiniLM-L6-v2|ngrams-1024|...] [--json]

The corpus is what modules of Python's standard library say of themselves: their docstrings as Markdown, a heading
for each function, class and method. The questions are made from it, half of each kind:

    by name          "What does heapq.merge do?"; the whole docstring is in the corpus
    by description   a docstring's first sentence as a question. That sentence is taken out of the corpus, so that
                     what is found is found by the rest

A question is answered if one of the first ten passages is of its function. Intervals are of 95 %, by bootstrap
over questions (Efron & Tibshirani 1993, section 13.3); hybrid is compared with each other way on the same
questions.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sysconfig
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sides import environment

SEED, K, SAMPLES = 0, 10, 2000
MODES = ("words", "meaning", "hybrid")


class Entry(NamedTuple):
    """A docstring: of which module, whose, and what it says first and then."""

    module: str
    name: str
    first: str
    rest: str


class Question(NamedTuple):
    """A question, and the heading under which its answer is."""

    kind: str
    text: str
    heading: str


def entries() -> list[Entry]:
    """Docstrings of two sentences or more of public functions, classes and methods, one for each name."""
    found: dict[str, Entry] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        if path.stem.startswith("_"):
            continue
        for name, text in _docstrings(ast.parse(path.read_text(encoding="utf-8")).body, path.stem):
            first, *rest = re.split(r"(?<=\.)\s+|\n\s*\n", text, maxsplit=1)
            if rest and len(first.split()) >= 4 and len(rest[0].split()) >= 12:
                found.setdefault(name, Entry(path.stem, name, " ".join(first.split()), rest[0]))
    return list(found.values())


def _docstrings(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            name = f"{prefix}.{node.name}"
            if text := ast.get_docstring(node):
                yield name, text
            if isinstance(node, ast.ClassDef):
                yield from _docstrings(node.body, name)


def questions(known: list[Entry], count: int) -> list[Question]:
    """So many questions, half of each kind, about different entries."""
    chosen = np.random.default_rng(SEED).permutation(len(known))[:count]
    made = []
    for number, place in enumerate(chosen):
        entry = known[place]
        if number % 2:
            made.append(Question("by description", f"{entry.first.rstrip('.')}?", entry.name))
        else:
            made.append(Question("by name", f"What does {entry.name} do?", entry.name))
    return made


def pages(known: list[Entry], asked: list[Question]) -> dict[str, str]:
    """A page for each module; the first sentence of what is asked by description is left out."""
    hidden = {question.heading for question in asked if question.kind == "by description"}
    found: dict[str, list[str]] = {}
    for entry in known:
        text = entry.rest if entry.name in hidden else f"{entry.first}\n\n{entry.rest}"
        found.setdefault(entry.module, []).append(f"## {entry.name}\n\n{textwrap.indent(text, '    ')}\n")
    return {f"{module}.md": "\n".join([f"# {module}", *parts]) for module, parts in found.items()}


def interval(values: np.ndarray) -> list[float]:
    """Bounds of the mean's 95 % interval, by bootstrap."""
    rng = np.random.default_rng(SEED)
    means = values[rng.integers(0, len(values), (SAMPLES, len(values)))].mean(axis=1)
    return [round(float(bound), 3) for bound in np.percentile(means, [2.5, 97.5])]


def measure(count: int, embedder: str | None) -> dict[str, Any]:
    """Add the pages, ask the questions, and sum up."""
    from quanta_tissu import tissdb
    from quanta_tissu.knowledge import KnowledgeBase, default_embedder
    from quanta_tissu.knowledge.choosing import embedder_named

    known = entries()
    if count > len(known):
        raise SystemExit(f"--questions {count}: there are {len(known)} docstrings to ask about")
    asked = questions(known, count)
    with tissdb.open(":memory:") as db:
        kb = KnowledgeBase(db, embedder_named(embedder) if embedder else default_embedder())
        began = time.perf_counter()
        for name, text in pages(known, asked).items():
            kb.add_text(text, name)
        adding = time.perf_counter() - began
        hits: dict[str, np.ndarray] = {}
        for mode in MODES:
            places = [_place([hit.heading for hit in kb.search(q.text, K, mode=mode)], q.heading) for q in asked]
            hits[mode] = np.array(places)
        size, name = len(kb), kb.embedder.name
    kinds = np.array([question.kind for question in asked])
    report: dict[str, Any] = {"embedder": name, "passages": size, "seconds_to_add": round(adding, 1), "kinds": {}}
    for kind in ("all", "by name", "by description"):
        some = kinds == kind if kind != "all" else np.ones(len(kinds), bool)
        rows = {}
        for mode in MODES:
            places = hits[mode][some]
            found = (places > 0).astype(float)
            rows[mode] = {
                "recall_at_10": round(float(found.mean()), 3),
                "interval": interval(found),
                "mean_reciprocal_rank": round(float(np.where(places > 0, 1 / np.maximum(places, 1), 0).mean()), 3),
            }
        hybrid = (hits["hybrid"][some] > 0).astype(float)
        for mode in MODES[:2]:
            gain = hybrid - (hits[mode][some] > 0)
            rows["hybrid"][f"against_{mode}"] = {"gain": round(float(gain.mean()), 3), "interval": interval(gain)}
        report["kinds"][kind] = {"questions": int(some.sum()), **rows}
    return report


def _place(headings: list[str], wanted: str) -> int:
    """The place of the first passage under a heading, from 1; 0 if there is none."""
    return next((place for place, h in enumerate(headings, 1) if h.rpartition(" › ")[2] == wanted), 0)


def show(report: dict[str, Any]) -> None:
    """Print the table."""
    print(
        f"{report['passages']} passages, vectors by {report['embedder']}, added in {report['seconds_to_add']} s\n"
    )
    for kind, rows in report["kinds"].items():
        print(f"{kind}, {rows['questions']} questions")
        for mode in MODES:
            row = rows[mode]
            low, high = row["interval"]
            print(
                f"  {mode:8} recall at 10 {row['recall_at_10']:.3f} ({low:.3f} – {high:.3f}), "
                f"mean reciprocal rank {row['mean_reciprocal_rank']:.3f}"
            )
        for mode in MODES[:2]:
            gain = rows["hybrid"][f"against_{mode}"]
            low, high = gain["interval"]
            print(f"  hybrid − {mode}: {gain['gain']:+.3f} ({low:+.3f} – {high:+.3f})")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--embedder", metavar="NAME", help="as for `tissu kb`")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    report = measure(arguments.questions, arguments.embedder)
    if arguments.json:
        print(json.dumps({"environment": environment(), "result": report}))
        return
    show(report)


if __name__ == "__main__":
    main()
