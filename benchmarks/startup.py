"""How long it takes until something happens: the help, a first generation, a first training step.

    python benchmarks/startup.py --rounds 5 --cold-rounds 2 [--json]

Every figure is the time of a whole process, from its start to its end:

    help               tissu --help
    generate, cold     tissu generate, one token, where no kernel was ever compiled (an empty cache of its own)
    generate, warm     the same again
    train, cold        tissu train, one step, with another empty cache
    train, warm        the same again

The model has the architecture of the preset demo (a million parameters) and random weights; training tokenizes
200 kB of text by character first, and validates and saves after the step. Files are in memory: a command runs
once before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sides import environment, spread

BARS = {"help": 0.3, "generate, cold": 60.0, "generate, warm": 2.0}
"""Seconds that a median may take at most."""

_WORDS = ("def", "return", "self", "import", "from", "class", "if", "else", "for", "in", "not", "None")


def run(*arguments: str, cache: Path) -> float:
    """Seconds of one `tissu` command with this cache of kernels."""
    environ = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    command = [sys.executable, "-m", "quanta_tissu", *arguments]
    found = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if found.returncode:
        raise SystemExit(f"tissu {' '.join(arguments)} failed:\n{found.stderr}")
    return seconds


def prepare(folder: Path) -> tuple[Path, Path]:
    """A checkpoint with random weights, and a text."""
    from quanta_tissu.tisslm import tokenizers
    from quanta_tissu.tisslm.config import TokenizerConfig
    from quanta_tissu.tisslm.config.load import load_config
    from quanta_tissu.tisslm.language_model import LanguageModel
    from quanta_tissu.tisslm.model import Decoder

    words = random.Random(0)
    text = folder / "text.txt"
    text.write_text(" ".join(words.choice(_WORDS) for _ in range(50_000)), encoding="utf-8")
    tokenizer = tokenizers.train(TokenizerConfig(kind="character"), [text.read_text(encoding="utf-8")])
    config = load_config(None, "demo", [])
    model = config.model.model_copy(update={"vocab_size": 2048})
    checkpoint = folder / "model"
    LanguageModel(Decoder.initialise(model, seed=0), tokenizer, config).save(checkpoint)
    return checkpoint, text


def measure(rounds: int, cold_rounds: int) -> dict[str, Any]:
    """All commands, cold and warm."""
    with tempfile.TemporaryDirectory(prefix="tissu-") as name:
        folder = Path(name)
        checkpoint, text = prepare(folder)
        generate = ["generate", str(checkpoint), "--prompt", "def", "--max-new-tokens", "1"]
        settings = ["train.max_steps=1", "train.eval_steps=1", "tokenizer.kind=character"]
        train = ["train", "--preset", "demo", "--data", str(text), "--out", str(folder / "run")]
        train += [word for setting in settings for word in ("--set", setting)]
        times: dict[str, list[float]] = {}

        def note(name: str, *arguments: str, cache: Path) -> None:
            shutil.rmtree(folder / "run", ignore_errors=True)
            times.setdefault(name, []).append(run(*arguments, cache=cache))

        run("--help", cache=folder / "none")
        run(*generate, cache=folder / "before")
        for number in range(cold_rounds):
            note("generate, cold", *generate, cache=folder / f"generate-{number}")
            note("train, cold", *train, cache=folder / f"train-{number}")
        for _ in range(rounds):
            note("help", "--help", cache=folder / "none")
            note("generate, warm", *generate, cache=folder / "generate-0")
            note("train, warm", *train, cache=folder / "train-0")
    order = ("help", "generate, cold", "generate, warm", "train, cold", "train, warm")
    results = {
        name: {"seconds": spread(times[name]), "best": round(min(times[name]), 3), "at_most": BARS.get(name)}
        for name in order
    }
    return {"environment": environment(), "rounds": rounds, "cold_rounds": cold_rounds, "results": results}


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    lines = ["  ".join(f"{name} {value}" for name, value in report["environment"].items())]
    lines.append(f"{'seconds':20}{'median':>10}{'quartiles':>18}{'best':>10}{'at most':>10}")
    for name, result in report["results"].items():
        seconds, bar = result["seconds"], result["at_most"]
        quartiles = f"{seconds['q25']:.2f} – {seconds['q75']:.2f}"
        limit = "" if bar is None else f"{bar:g}"
        lines.append(f"{name:20}{seconds['median']:10.2f}{quartiles:>18}{result['best']:10.2f}{limit:>10}")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="warm runs of each command (default: 5)")
    parser.add_argument("--cold-rounds", type=int, default=2, help="runs with an empty cache (default: 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    report = measure(arguments.rounds, arguments.cold_rounds)
    print(json.dumps(report) if arguments.json else table(report))


if __name__ == "__main__":
    main()
