"""Time to nanoGPT's validation loss: `tissu train --preset baby-gpt-fast` against nanoGPT's CPU run in PyTorch.

    python benchmarks/time_to_loss.py tinyshakespeare.txt --seeds 5 [--json]

Both learn tinyshakespeare by character with 0.8M parameters (4 layers, width 128, 4 heads, 64 characters of
context). PyTorch's side is nanoGPT's published CPU run in eager mode with what serves it best: fused AdamW,
`scaled_dot_product_attention`, one thread per core; every 250 steps it estimates both losses from 20 batches as
nanoGPT does, and at the end it takes the whole validation split. Ours is the command as a user types it; the
weights that it saved are evaluated on the whole split, too.

What is timed is the whole process, from its start to its end: imports, text, training, every evaluation, and for
ours tokenizer, dataset and checkpoints. The sides alternate, seed by seed. Before that our command makes two steps
that do not count, so that kernels are compiled and files are in memory, and PyTorch is imported once.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sides import environment, spread
from train_vs_torch import CLIP, LEARNING_RATE, SIZES, torch_model, torch_optimizer

TARGET, PRESET = 1.88, "baby-gpt-fast"
STEPS, WARMUP, FINAL_RATE = 2000, 100, 1e-4
EVAL_INTERVAL, EVAL_BATCHES = 250, 20


# --- nanoGPT's run in PyTorch ------------------------------------------------------------------------------------


def nanogpt(text: Path, seed: int, steps: int) -> dict[str, float]:
    """The published run, `train_shakespeare_char` on a CPU; its loss over the whole validation split."""
    import torch
    from torch import nn

    from quanta_tissu.tisslm.engine.threads import replica_count

    size = SIZES["small"]
    torch.set_num_threads(replica_count(None))
    torch.manual_seed(seed)
    characters = text.read_text(encoding="utf-8")
    ids = {character: number for number, character in enumerate(sorted(set(characters)))}
    if len(ids) != size.vocab:
        raise SystemExit(f"{text} has {len(ids)} different characters; tinyshakespeare has {size.vocab}")
    tokens = torch.tensor([ids[character] for character in characters])
    cut = int(0.9 * len(tokens))
    splits = {"train": tokens[:cut], "val": tokens[cut:]}

    model = torch_model(size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                residual = name.endswith(("out.weight", "down.weight"))
                parameter.normal_(0.0, 0.02 / math.sqrt(2 * size.layers) if residual else 0.02)
    parameters, optimizer = list(model.parameters()), torch_optimizer(model)

    def batch(split: str) -> tuple[Any, Any]:
        data = splits[split]
        starts = torch.randint(len(data) - size.context, (size.batch,))
        return (
            torch.stack([data[i : i + size.context] for i in starts]),
            torch.stack([data[i + 1 : i + 1 + size.context] for i in starts]),
        )

    def estimate() -> None:
        with torch.no_grad():
            losses = {s: np.mean([model(*batch(s)).item() for _ in range(EVAL_BATCHES)]) for s in splits}
        print(f"train {losses['train']:.4f}  val {losses['val']:.4f}", file=sys.stderr)

    for step in range(steps):
        if step % EVAL_INTERVAL == 0:
            estimate()
        for group in optimizer.param_groups:
            group["lr"] = nanogpt_learning_rate(step, steps)
        optimizer.zero_grad(set_to_none=True)
        loss = model(*batch("train"))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
    estimate()
    return {"validation_loss": whole_split(model, splits["val"], size.context)}


def nanogpt_learning_rate(step: int, steps: int) -> float:
    """Linear warmup, then half a cosine down to a tenth."""
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / max(1, steps - WARMUP)
    return FINAL_RATE + 0.5 * (1 + math.cos(math.pi * progress)) * (LEARNING_RATE - FINAL_RATE)


def whole_split(model: Any, tokens: Any, context: int) -> float:
    """Mean loss of every token but the first, in windows that do not overlap."""
    import torch

    count = (len(tokens) - 1) // context
    total = 0.0
    with torch.no_grad():
        for first in range(0, count, 64):
            rows = min(64, count - first)
            span = slice(first * context, (first + rows) * context)
            after = slice(span.start + 1, span.stop + 1)
            total += model(tokens[span].view(rows, -1), tokens[after].view(rows, -1)).item() * rows * context
        if rest := len(tokens) - 1 - count * context:
            total += model(tokens[None, -rest - 1 : -1], tokens[None, -rest:]).item() * rest
    return total / (len(tokens) - 1)


# --- both sides, one after the other -----------------------------------------------------------------------------


def timed(command: list[str]) -> tuple[float, dict[str, Any]]:
    """Seconds that a process took from start to end, and the JSON object on its last line."""
    began = time.perf_counter()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{finished.stderr}")
    return seconds, json.loads(finished.stdout.splitlines()[-1])


def pytorch(text: Path, seed: int, steps: int) -> dict[str, float]:
    """One run of PyTorch's side in a process of its own."""
    command = [sys.executable, __file__, str(text), "--worker", str(seed), "--torch-steps", str(steps)]
    seconds, result = timed(command)
    return {"seconds": seconds, "loss": result["validation_loss"]}


def ours(text: Path, seed: int, *settings: str) -> dict[str, float]:
    """One run of our side; the loss is that of the weights it saved, on the whole split."""
    from quanta_tissu.tisslm import artifact
    from quanta_tissu.tisslm.data.batches import evaluation_batches
    from quanta_tissu.tisslm.data.dataset import TokenDataset

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "quanta_tissu", "train", "--preset", PRESET, "--data", str(text)]
        command += ["--out", str(out), "--set", f"train.seed={seed}", "--json"]
        for setting in settings:
            command += ["--set", setting]
        seconds, result = timed(command)
        decoder = artifact.read(out / "best").decoder
        tokens = TokenDataset.open(out / "data").validation
        nats = [
            float(decoder.loss(batch.inputs, batch.targets)) * batch.num_targets
            for batch in evaluation_batches(tokens, decoder.config.context_length, 32)
        ]
        return {
            "seconds": seconds,
            "loss": math.fsum(nats) / (len(tokens) - 1),
            "training_seconds": result["seconds"],
            "steps": result["step"],
            "parameters": decoder.parameters.num_elements,
        }


def compare(text: Path, seeds: list[int], torch_steps: int, settings: list[str]) -> dict[str, Any]:
    """Let both sides make their runs in turns."""
    ours(text, seeds[0], "train.max_steps=2")
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    runs = []
    for number, seed in enumerate(seeds):
        sides = {"pytorch": lambda s: pytorch(text, s, torch_steps), "ours": lambda s: ours(text, s, *settings)}
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        run: dict[str, Any] = {"seed": seed} | {name: sides[name](seed) for name in order}
        run["ratio"] = run["ours"]["seconds"] / run["pytorch"]["seconds"]
        runs.append(run)
        print(row(run), file=sys.stderr, flush=True)
    summary: dict[str, Any] = {}
    for side in ("ours", "pytorch"):
        losses = [run[side]["loss"] for run in runs]
        summary[side] = {
            "seconds": spread([run[side]["seconds"] for run in runs]),
            "losses": spread(losses),
            "mean_loss": statistics.fmean(losses),
            "standard_deviation": statistics.stdev(losses) if len(losses) > 1 else 0.0,
            "reached": sum(loss <= TARGET for loss in losses),
        }
    return {"runs": runs, **summary, "ratio": spread([run["ratio"] for run in runs]), "target": TARGET}


def row(run: dict[str, Any]) -> str:
    """One seed as a row of the table."""
    mine, theirs = run["ours"], run["pytorch"]
    return (
        f"| {run['seed']} | {theirs['seconds']:.1f} | {theirs['loss']:.4f} | {mine['seconds']:.1f} | "
        f"{mine['loss']:.4f} | {run['ratio']:.3f} |"
    )


def main() -> None:
    """Parse the command line; compare, or be PyTorch's side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="tinyshakespeare.txt")
    parser.add_argument("--seeds", type=int, default=5, help="number of runs of each side (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings for our side")
    parser.add_argument("--torch-steps", type=int, default=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds: at least one")
    if arguments.worker is not None:
        print(json.dumps(nanogpt(arguments.text, arguments.worker, arguments.torch_steps)))
        return
    around = environment("torch")
    result = compare(
        arguments.text, list(range(1337, 1337 + arguments.seeds)), arguments.torch_steps, arguments.set
    )
    if arguments.json:
        print(json.dumps({"environment": around, **result}))
        return
    print("  ".join(f"{name} {value}" for name, value in around.items()))
    print("| seed | PyTorch, s | its loss | ours, s | our loss | ratio |\n|---|---|---|---|---|---|")
    for run in result["runs"]:
        print(row(run))
    for name, title in (("pytorch", "nanoGPT's run in PyTorch"), ("ours", PRESET)):
        side = result[name]
        print(
            f"{title}: {side['seconds']['median']:.1f} s, loss {side['mean_loss']:.4f} ± "
            f"{side['standard_deviation']:.4f}, {side['reached']} of {len(result['runs'])} at {TARGET} or below"
        )
    print(f"ratio of the times: {result['ratio']['median']:.3f} (median; a third is {1 / 3:.3f})")


if __name__ == "__main__":
    main()
