"""Peak memory of training, beside the same model, batch and optimizer in eager PyTorch.

    python benchmarks/memory.py --size small|large|gpt2|all [--steps 4] [--json]

Model, weights, batches and steps are those of `train_vs_torch.py`, and the losses must agree as they do there.
Every row is a process of its own that imports what it needs, builds the model and makes steps, with nothing else
running beside it; ours comes first and writes its initial weights to a file for PyTorch. Reported are

    peak        the largest resident set of the process (VmHWM), libraries and all
    above       the same less what was resident after the imports
    of PyTorch  both as a share of PyTorch's

and, for orientation, the least that float32 training with AdamW can do with: weights, two moments and gradients.
Compiled kernels come from the cache on disk, which a first run fills. The row `recomputed` sets `train.recompute`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sides import environment
from train_vs_torch import AGREEMENT, SIZES, ours, pytorch

ROWS = ("ours", "recomputed", "pytorch")


def resident(field: str) -> int:
    """Bytes from the process's status: VmRSS now, VmHWM at most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("the size of the process is read from /proc, which only Linux has")


def measure(row: str, size_name: str, steps: int, weights: Path | None) -> dict[str, Any]:
    """Train in this process, from the weights that the row `ours` has written, if any."""
    if row == "pytorch":
        import torch  # noqa: F401
    else:
        import numba  # noqa: F401

        from quanta_tissu.tisslm import model, train  # noqa: F401
    imported = resident("VmRSS")
    size = SIZES[size_name]
    if row == "pytorch":
        step = pytorch(size, weights)
    else:
        step = ours(size, weights if row == "ours" else None, recompute=row == "recomputed")
    losses = [step(n) for n in range(steps)]
    return {"losses": losses, "peak": resident("VmHWM"), "above": resident("VmHWM") - imported}


def run(row: str, size_name: str, steps: int, weights: Path | None = None) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--row", row, "--size", size_name, "--steps", str(steps)]
    command += [] if weights is None else ["--weights", str(weights)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{row}, {size_name}: {found.stderr}")
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def compare(size_name: str, steps: int) -> dict[str, Any]:
    """All rows of one size."""
    size = SIZES[size_name]
    with tempfile.TemporaryDirectory() as folder:
        rows = {row: run(row, size_name, steps, Path(folder) / "weights.npz") for row in ROWS}
    for name in ("recomputed", "pytorch"):
        losses = zip(rows["ours"]["losses"], rows[name]["losses"], strict=True)
        if not (difference := max(abs(a - b) for a, b in losses)) < AGREEMENT:
            raise SystemExit(f"{size_name}: the losses of ours and {name} differ by {difference:.2g}")
    for row in rows.values():
        row["of_pytorch"] = {key: round(row[key] / rows["pytorch"][key], 3) for key in ("peak", "above")}
    return {"size": size_name, "steps": steps, "least": 16 * size.parameters, **rows}


def main() -> None:
    """Parse the command line; compare, or be one of the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        answers, sys.stdout = sys.stdout, sys.stderr
        measured = measure(arguments.row, arguments.size, arguments.steps, arguments.weights)
        print(json.dumps(measured), file=answers)
        return
    names = list(SIZES) if arguments.size == "all" else [arguments.size]
    around, results = environment("torch"), [compare(name, arguments.steps) for name in names]
    if arguments.json:
        print(json.dumps({"environment": around, "results": results}))
        return
    print("  ".join(f"{name} {value}" for name, value in around.items()))
    print(f"{'size':8}{'':12}{'peak MB':>10}{'of PyTorch':>12}{'above MB':>10}{'of PyTorch':>12}")
    for result in results:
        print(f"{result['size']:8}{'least':12}{'':22}{result['least'] / 1e6:10,.0f}")
        for name in ROWS:
            row, share = result[name], result[name]["of_pytorch"]
            line = f"{result['size']:8}{name:12}{row['peak'] / 1e6:10,.0f}{share['peak']:12.2f}"
            print(f"{line}{row['above'] / 1e6:10,.0f}{share['above']:12.2f}")


if __name__ == "__main__":
    main()
