"""nanoGPT's published CPU run, over several seeds: does this trainer reach its validation loss of 1.88?

    python benchmarks/baby_gpt.py tinyshakespeare.txt --seeds 5 [--json]

Each seed is one `tissu train --preset baby-gpt`, followed by two measurements of its last weights: the mean over
the whole validation split, and nanoGPT's own estimate, the mean over 20 random batches of 12 windows. The estimate
is the noisier of the two, for its choice of windows; the published figure is one draw of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PUBLISHED, TOLERANCE = 1.88, 0.03
BATCHES, BATCH_SIZE = 20, 12


def train(text: Path, seed: int, out: Path) -> dict[str, float]:
    """One run; the fields of the result."""
    command = [sys.executable, "-m", "quanta_tissu", "train", "--preset", "baby-gpt", "--data", str(text)]
    command += ["--out", str(out), "--set", f"train.seed={seed}", "--json"]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    first = next(line["val_loss"] for line in lines if line.get("step") == 0 and "val_loss" in line)
    last = max(out.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    return {
        "seed": seed,
        "loss_at_step_0": first,
        "validation_loss": result["val_loss"],
        "nanogpt_estimate": nanogpt_estimate(last, out / "data"),
        "seconds": result["seconds"],
        "tokens_per_second": result["tokens_per_second"],
    }


def nanogpt_estimate(checkpoint: Path, dataset: Path) -> float:
    """Mean loss over random batches of the validation split, as nanoGPT estimates it."""
    from quanta_tissu.tisslm import artifact
    from quanta_tissu.tisslm.config import DataConfig
    from quanta_tissu.tisslm.data.batches import make_batches
    from quanta_tissu.tisslm.data.dataset import TokenDataset

    decoder = artifact.read(checkpoint).decoder
    tokens = TokenDataset.open(dataset).validation
    batches = make_batches(tokens, DataConfig(windows="random"), decoder.config.context_length, seed=1337)
    drawn = [batches.sequences(number * BATCH_SIZE, BATCH_SIZE) for number in range(BATCHES)]
    return float(np.mean([decoder.loss(batch.inputs, batch.targets) for batch in drawn]))


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="tinyshakespeare.txt")
    parser.add_argument("--seeds", type=int, default=5, help="number of runs (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            train(arguments.text, seed, Path(folder) / str(seed)) for seed in range(1337, 1337 + arguments.seeds)
        ]
    losses = [run["validation_loss"] for run in runs]
    mean, spread = statistics.mean(losses), statistics.stdev(losses) if len(losses) > 1 else 0.0
    reached = abs(mean - PUBLISHED) <= TOLERANCE
    if arguments.json:
        print(json.dumps({"runs": runs, "mean": mean, "standard_deviation": spread, "reached": reached}))
        return
    print("| seed | loss at step 0 | whole validation split | nanoGPT's estimate | seconds | tokens/s |")
    print("|---|---|---|---|---|---|")
    for run in runs:
        print(
            f"| {run['seed']} | {run['loss_at_step_0']:.4f} | {run['validation_loss']:.4f} "
            f"| {run['nanogpt_estimate']:.4f} | {run['seconds']:.0f} | {run['tokens_per_second']:,.0f} |"
        )
    print(
        f"\n{mean:.4f} ± {spread:.4f} (published: {PUBLISHED}; within {TOLERANCE}: {'yes' if reached else 'no'})"
    )


if __name__ == "__main__":
    main()
