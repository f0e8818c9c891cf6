"""Training speed of this trainer against the same model in eager PyTorch, side by side.

    python benchmarks/train_vs_torch.py --size small|large|gpt2|all --rounds 10 [--json]

Both train the same decoder (pre-norm, LayerNorm, tied embeddings, learned positions; exact GELU without biases, or
for `gpt2` its tanh approximation with biases) from the same weights on the same batches, with AdamW, weight decay
on matrices and embeddings, and the gradient norm clipped. Ours is the `TrainStep` that `tissu train` runs, guards
included; PyTorch's is the usual eager loop with what serves it best on a CPU: `scaled_dot_product_attention`,
fused AdamW, one thread per core.

Each side lives in a process of its own, so that neither sees the other's threads or allocator. They take turns: in
every round each makes the same number of steps while the other waits. Before anything is timed, the losses of the
first steps must agree to 1e-4. Reported are the median and quartiles of the rounds, the best single step,
and the ratio of each round's pair (above 1: this trainer is faster). On a busy machine the best steps compare most
fairly.

How far a step is from what the machine can do at all says the share of the matrix-product peak: the operations of
a step in the time of the best one, by what one thread per core reaches on separate products of 1024³, measured
before the rounds and after. Counted are 6 for each weight and token (2 forward, 4 backward), the output matrix
included and the table of positions not, and those of causal attention, 6·T·D for each layer and token.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sides import Side, environment, serve, spread, turns

AGREEMENT = 1e-4
FIRST_STEPS = 5
BATCHES = 8  # different ones, used in turn


@dataclass(frozen=True)
class Size:
    """Shape of the model and of a batch, and steps per turn."""

    batch: int
    context: int
    layers: int
    width: int
    heads: int
    steps: int
    vocab: int = 65
    bias: bool = False
    activation: str = "gelu"
    learning_rate: float = 1e-3

    @property
    def parameters(self) -> int:
        """Number of weights, positions and all."""
        block = 12 * self.width**2 + (13 if self.bias else 2) * self.width
        return self.layers * block + (self.vocab + self.context + 1 + self.bias) * self.width

    @property
    def operations(self) -> int:
        """Floating-point operations of a step, multiplications and additions, as the file's head counts them."""
        weights = self.parameters - self.context * self.width
        attention = self.layers * self.context * self.width
        return 6 * self.batch * self.context * (weights + attention)


SIZES = {
    "small": Size(batch=12, context=64, layers=4, width=128, heads=4, steps=25),
    "large": Size(batch=8, context=256, layers=6, width=384, heads=6, steps=1),
    # Its learning rate is one of a warm-up. With 1e-3 from the first step on, where Adam's step is the gradient's
    # sign, differences of rounding grow to 1e-3 in five steps.
    "gpt2": Size(
        batch=4,
        context=256,
        layers=12,
        width=768,
        heads=12,
        steps=1,
        vocab=50257,
        bias=True,
        activation="gelu_tanh",
        learning_rate=3e-5,
    ),
}

LEARNING_RATE, BETAS, EPS, DECAY, CLIP, NORM_EPS = 1e-3, (0.9, 0.99), 1e-8, 0.1, 1.0, 1e-5
PEAK_SIZE, PEAK_SECONDS = 1024, 2.0


def token_batches(size: Size) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets, the same on both sides; neighbouring tokens are related, so that the loss can fall."""
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 4, size=(BATCHES, size.batch, size.context + 1))
    tokens = np.cumsum(steps, axis=-1) % size.vocab
    return [(np.ascontiguousarray(t[:, :-1]), np.ascontiguousarray(t[:, 1:])) for t in tokens]


# --- this trainer ------------------------------------------------------------------------------------------------


def configuration(size: Size) -> Any:
    """The settings of a size, as `tissu train` takes them."""
    from quanta_tissu.tisslm.config import Config

    return Config.model_validate(
        {
            "model": {
                "vocab_size": size.vocab,
                "context_length": size.context,
                "n_layers": size.layers,
                "d_model": size.width,
                "n_heads": size.heads,
                "feed_forward": size.activation,
                "norm": "layer_norm",
                "norm_eps": NORM_EPS,
                "positions": "learned",
                "bias": size.bias,
                "tie_embeddings": True,
            },
            "optimizer": {
                "name": "adamw",
                "learning_rate": size.learning_rate,
                "betas": BETAS,
                "eps": EPS,
                "weight_decay": DECAY,
            },
            "schedule": {"name": "constant", "warmup_steps": 0},
            "train": {"clip_norm": CLIP, "batch_size": size.batch},
        }
    )


def ours(size: Size, weights: Path | None, *, recompute: bool = False) -> Callable[[int], float]:
    """A function that makes step number n and returns its loss; writes its initial weights for the other side."""
    from quanta_tissu.tisslm.data.batches import Batch
    from quanta_tissu.tisslm.engine.threads import replica_count
    from quanta_tissu.tisslm.model import Decoder
    from quanta_tissu.tisslm.train.replicas import Replicas
    from quanta_tissu.tisslm.train.step import TrainStep

    config = configuration(size)
    decoder = Decoder.initialise(config.model, seed=0)
    if weights is not None:
        np.savez(weights, **decoder.parameters)
    step = TrainStep(config, Replicas(decoder, replica_count(None), recompute=recompute))
    batches = [Batch(inputs, targets) for inputs, targets in token_batches(size)]
    return lambda n: step([batches[n % BATCHES]], n, 1_000_000).loss


# --- the same in PyTorch -----------------------------------------------------------------------------------------


def torch_model(size: Size) -> Any:
    """The model as an eager PyTorch module; called with ids and targets (B, T) it gives their loss."""
    import torch
    from torch import nn
    from torch.nn import functional

    approximate = {"gelu": "none", "gelu_tanh": "tanh"}[size.activation]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_1 = nn.LayerNorm(size.width, eps=NORM_EPS, bias=size.bias)
            self.qkv = nn.Linear(size.width, 3 * size.width, bias=size.bias)
            self.out = nn.Linear(size.width, size.width, bias=size.bias)
            self.norm_2 = nn.LayerNorm(size.width, eps=NORM_EPS, bias=size.bias)
            self.up = nn.Linear(size.width, 4 * size.width, bias=size.bias)
            self.down = nn.Linear(4 * size.width, size.width, bias=size.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            B, T, D = x.shape
            q, k, v = self.qkv(self.norm_1(x)).split(D, dim=2)
            q, k, v = (a.view(B, T, size.heads, D // size.heads).transpose(1, 2) for a in (q, k, v))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(B, T, D))
            return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate=approximate))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(size.vocab, size.width)
            self.positions = nn.Embedding(size.context, size.width)
            self.blocks = nn.ModuleList(Block() for _ in range(size.layers))
            self.norm = nn.LayerNorm(size.width, eps=NORM_EPS, bias=size.bias)

        def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.norm(x), self.tokens.weight)
            return functional.cross_entropy(logits.view(-1, size.vocab), targets.view(-1))

    return Model()


def torch_optimizer(model: Any, learning_rate: float = LEARNING_RATE) -> Any:
    """Fused AdamW with nanoGPT's settings; matrices and embeddings decay, norms and biases do not."""
    import torch

    parameters = list(model.parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": DECAY},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=BETAS,
        eps=EPS,
        fused=True,
    )


def pytorch(size: Size, weights: Path | None) -> Callable[[int], float]:
    """As `ours`, in eager PyTorch, from the weights that `ours` wrote, if any."""
    import torch
    from torch import nn

    from quanta_tissu.tisslm.engine.threads import replica_count

    torch.set_num_threads(replica_count(None))
    model = torch_model(size)
    if weights is not None:
        _load(model, weights)
    parameters, optimizer = list(model.parameters()), torch_optimizer(model, size.learning_rate)
    batches = [tuple(torch.from_numpy(a) for a in batch) for batch in token_batches(size)]

    def step(n: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(*batches[n % BATCHES])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return loss.item()

    return step


def _load(model: Any, weights: Path) -> None:
    """Fill the PyTorch model with weights that `ours` wrote."""
    import torch

    names = {
        "tokens": "model.embed_tokens",
        "positions": "model.embed_positions",
        "norm": "model.norm",
        "norm_1": "input_layernorm",
        "qkv": "self_attn.qkv_proj",
        "out": "self_attn.o_proj",
        "norm_2": "post_attention_layernorm",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    }
    saved = np.load(weights)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            *prefix, part, kind = name.split(".")
            block = f"model.layers.{prefix[1]}." if prefix else ""
            parameter.copy_(torch.from_numpy(saved[f"{block}{names[part]}.{kind}"]))


# --- the peak ----------------------------------------------------------------------------------------------------


def product_peak() -> float:
    """Billions of operations a second in matrix products, one thread and one product at a time per core."""
    from quanta_tissu.tisslm.engine.threads import ThreadTeam, replica_count

    def products() -> list[float]:
        a, b = np.random.default_rng(0).random((2, PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
        out = np.empty_like(a)
        end, seconds = time.perf_counter() + PEAK_SECONDS, []
        while (began := time.perf_counter()) < end:
            np.matmul(a, b, out=out)
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadTeam(replica_count(None)) as team:
        found = team.run([products] * team.size)
    return sum(2e-9 * PEAK_SIZE**3 / statistics.median(seconds) for seconds in found)


# --- taking turns ------------------------------------------------------------------------------------------------

SIDES = {"ours": ours, "pytorch": pytorch}


def worker(side: str, size_name: str, weights: Path) -> Callable[[int], dict[str, list[float]]]:
    """What one side answers to a number of steps: it makes them, and tells losses and times."""
    step, made = SIDES[side](SIZES[size_name], weights), itertools.count()

    def answer(steps: int) -> dict[str, list[float]]:
        losses, milliseconds = [], []
        for n in itertools.islice(made, steps):
            began = time.perf_counter()
            losses.append(step(n))
            milliseconds.append(1000 * (time.perf_counter() - began))
        return {"losses": losses, "milliseconds": milliseconds}

    return answer


def compare(size_name: str, rounds: int) -> dict[str, Any]:
    """Check that both sides compute the same, then let them take turns."""
    size = SIZES[size_name]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        common = ("--size", size_name, "--weights", str(weights))
        sides = {name: Side(__file__, "--worker", name, *common) for name in SIDES}
    peak = product_peak()
    first = {name: side.ask(FIRST_STEPS)["losses"] for name, side in sides.items()}
    difference = max(abs(a - b) for a, b in zip(*first.values(), strict=True))
    if not difference < AGREEMENT:
        raise SystemExit(f"{size_name}: the losses of the first steps differ by {difference:.2g}: {first}")
    for side in sides.values():
        side.ask(size.steps)  # caches, frequencies
    times: dict[str, list[list[float]]] = {name: [] for name in sides}
    for name in turns(sides, rounds):
        times[name].append(sides[name].ask(size.steps)["milliseconds"])
    for side in sides.values():
        side.close()
    peak = max(peak, product_peak())
    means = {name: [statistics.fmean(turn) for turn in of_side] for name, of_side in times.items()}
    best = {name: min(map(min, of_side)) for name, of_side in times.items()}
    tokens = size.batch * size.context
    return {
        "size": size_name,
        "loss_difference": difference,
        "rounds": rounds,
        "steps_per_round": size.steps,
        **{
            name: {
                "milliseconds_per_step": spread(means[name]) | {"best": round(best[name], 3)},
                "tokens_per_second": round(1000 * tokens / statistics.median(means[name])),
                "share_of_peak": round(1e-6 * size.operations / best[name] / peak, 3),
            }
            for name in sides
        },
        "ratio": spread([theirs / mine for mine, theirs in zip(means["ours"], means["pytorch"], strict=True)]),
        "operations_per_step": size.operations,
        "product_peak_gflops": round(peak, 1),
        "ratio_of_best": round(best["pytorch"] / best["ours"], 3),
    }


def main() -> None:
    """Parse the command line; compare, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(lambda: worker(arguments.worker, arguments.size, arguments.weights))
        return
    names = list(SIZES) if arguments.size == "all" else [arguments.size]
    around = environment("torch")
    results = [compare(name, arguments.rounds) for name in names]
    if arguments.json:
        print(json.dumps({"environment": around, "results": results}))
        return
    print("  ".join(f"{name} {value}" for name, value in around.items()))
    heads = f"{'size':8}{'side':10}{'ms/step':>10}{'quartiles':>20}{'best':>10}{'tokens/s':>12}{'of peak':>10}"
    print(heads)
    for result in results:
        for side in SIDES:
            time_ = result[side]["milliseconds_per_step"]
            quartiles = f"{time_['q25']:.2f} – {time_['q75']:.2f}"
            rate = result[side]["tokens_per_second"]
            line = f"{result['size']:8}{side:10}{time_['median']:10.2f}{quartiles:>20}{time_['best']:10.2f}"
            print(f"{line}{rate:>12,}{result[side]['share_of_peak']:10.0%}")
        ratio = result["ratio"]
        quartiles = f"{ratio['q25']:.3f} – {ratio['q75']:.3f}"
        print(
            f"{result['size']:8}{'ratio':10}{ratio['median']:10.3f}{quartiles:>20}{result['ratio_of_best']:10.3f}"
        )


if __name__ == "__main__":
    main()
