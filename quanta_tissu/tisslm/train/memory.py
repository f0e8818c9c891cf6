"""How much memory a run will take, estimated before it takes any, and how much there is."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.config import Config, ModelConfig
from quanta_tissu.tisslm.engine.tape import LARGE
from quanta_tissu.tisslm.model import Decoder, Parameters
from quanta_tissu.tisslm.train.optimizers import num_buffers
from quanta_tissu.tisslm.wording import in_bytes

_FLOAT = 4  # bytes of a float32, which weights and activations are
_PROGRAM = 85_000_000  # measured at three sizes (docs/experiments.md)
_MEMINFO = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training step holds at its peak, roughly.

    Attributes:
        weights: The weights themselves.
        gradients: One for each weight. They come as activations go.
        optimizer: State of the update rule.
        average: Moving average of the weights.
        activations: What the forward pass of one micro-batch keeps for the backward pass, all replicas together.
        block: What a block keeps while it runs for the second time, in so far as that is more than its gradients,
            which come as it goes; nothing if blocks are not recomputed.
        head: What the loss adds to that: some logits for each replica, and the gradient of the output matrix.
        program: What comes on top of arrays while a process trains: compiled kernels, workspaces of BLAS, gaps.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    block: int
    head: int
    program: int = _PROGRAM

    @property
    def arrays(self) -> int:
        """The peak of what is held in arrays."""
        passes = max(self.gradients + self.block, self.activations + max(self.block, self.head))
        return self.weights + self.optimizer + self.average + passes

    @property
    def total(self) -> int:
        """The peak of the run."""
        return self.arrays + self.program


def estimate_memory(config: Config, model: ModelConfig, replicas: int) -> MemoryEstimate:
    """Estimate the peak of a run from its settings alone.

    Buffers as long as the weights are exact. Activations count, for each token of a micro-batch, what the tape
    holds for every block. What ops allocate for a moment, dropout masks and the reference engine's copies are left
    out; several replicas rarely all reach their peak at the same moment.

    Args:
        config: The sections `optimizer` and `train` are used.
        model: The architecture, with `vocab_size` resolved.
        replicas: Number of model replicas.

    Raises:
        ConfigError: `vocab_size` is not resolved.
    """
    specs = Decoder.specs(model)
    weights = _FLOAT * Parameters.flat_size(specs)
    tokens = config.train.batch_size * model.context_length
    sharing = min(replicas, config.train.batch_size)
    matrices = _FLOAT * sum(spec.size for spec in specs if spec.layer == 0 and spec.init == "matrix")
    float16 = config.train.precision == "float16" and config.train.engine != "torch"
    block = _FLOAT * tokens * _floats_per_token(model, config.train.engine)
    if not float16 and config.train.engine != "torch":
        block -= _FLOAT * tokens * _made_again_per_token(model, tokens // sharing)
    if float16:
        block += sharing * matrices  # rounded copies, one for each replica
    # The first block's input, and the last one's output in front of a norm.
    ends = _FLOAT * tokens * model.d_model * (2 if model.norm_placement == "pre" else 1)
    recompute = config.train.recompute
    return MemoryEstimate(
        weights=weights,
        gradients=weights,
        optimizer=weights * num_buffers(config.optimizer),
        average=0 if config.train.ema_decay is None else weights,
        activations=ends + model.n_layers * (_FLOAT * tokens * model.d_model if recompute else block),
        # While it is walked through, its feed-forward layer meets gradients as large as itself.
        block=max(0, block + _FLOAT * tokens * _wide_floats(model) - matrices) if recompute else 0,
        head=_head_bytes(model, tokens, sharing, config.train.engine),
    )


def require_memory(config: Config, model: ModelConfig, replicas: int, available: int | None) -> None:
    """Refuse a run that does not fit, before the system ends it without a word.

    Args:
        config: As in `estimate_memory`.
        model: As in `estimate_memory`.
        replicas: As in `estimate_memory`.
        available: Bytes that are there, from `available_memory`; None if that is not known: nothing is checked.

    Raises:
        TrainingError: The estimate is larger than what is available.
    """
    if available is None:
        return
    needed = estimate_memory(config, model, replicas)
    if needed.total <= available:
        return
    if needed.activations > needed.arrays - needed.activations:
        hint = (
            f"activations take {in_bytes(needed.activations)} of it: reduce train.batch_size (and raise "
            "train.gradient_accumulation as much) or model.context_length"
        )
        if not config.train.recompute:
            hint += "; or set train.recompute = true, which takes a third more time"
    else:
        hint = (
            f"the weights take {in_bytes(needed.weights)}, and training holds that several times: reduce "
            "model.d_model, model.n_layers or the vocabulary"
        )
    raise TrainingError(
        f"training this model takes about {in_bytes(needed.total)} of memory, "
        f"and {in_bytes(available)} are available",
        hint=hint,
    )


def available_memory() -> int | None:
    """Bytes that this process can still get, on Linux; None elsewhere.

    What the system can give without swapping (MemAvailable), or what the process's control group leaves of its
    limit if that is less. Cached files do not count as used: the system drops them when memory is asked for.
    """
    if sys.platform != "linux":
        return None
    system = _number_after("MemAvailable:", _read(_MEMINFO))
    left = [size for size in (*_left_in_groups(), None if system is None else system * 1024) if size is not None]
    return min(left, default=None)


def _floats_per_token(model: ModelConfig, engine: str) -> int:
    """Elements that a block leaves on the tape for each token."""
    width, keys = model.d_model, model.kv_heads * model.head_dim
    # Two norms and their inputs, queries, mixed values; attention's weights, or their normalisers alone.
    attention = 6 * width + 2 * keys + model.n_heads * (model.context_length if engine == "reference" else 1)
    return attention + _wide_floats(model)


def _made_again_per_token(model: ModelConfig, tokens: int) -> int:
    """Elements of a block that the tape does not keep, if those of a replica's tokens are large."""
    norms, activation = 2 * [model.d_model], model.ff_width
    return sum(width for width in (*norms, activation) if _FLOAT * tokens * width >= LARGE)


def _wide_floats(model: ModelConfig) -> int:
    """Elements in the wide part of a feed-forward layer for each token, before and after the activation."""
    return (3 if model.feed_forward == "swiglu" else 2) * model.ff_width


def _head_bytes(model: ModelConfig, tokens: int, replicas: int, engine: str) -> int:
    """What the loss needs beside the activations (`ops/kernels/linear_cross_entropy.py`)."""
    vocab_size, rows = model.vocab_size or 0, tokens // replicas
    if engine == "fast":  # the others have all logits at a time
        from quanta_tissu.tisslm.ops.kernels.linear_cross_entropy import rows_at_a_time

        rows = min(rows, rows_at_a_time(vocab_size, _FLOAT))
    matrices = 1 if engine == "fast" else replicas  # gradients of the output matrix that are there at a time
    return _FLOAT * (vocab_size * (replicas * rows + matrices * model.d_model) + tokens * model.d_model)


def _left_in_groups() -> list[int | None]:
    """What the control groups of this process leave, from its own up to the root; version 2 and version 1."""
    left: list[int | None] = []
    for line in _read(_OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names, cached, root = ("memory.max", "memory.current"), "inactive_file ", _GROUPS
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cached, root = "total_inactive_file ", _GROUPS / "memory"
        else:
            continue
        own = Path(path.lstrip("/"))
        for group in (own, *own.parents):  # in a container the path may be the host's: then only the root is there
            limit, used = (_number_after("", _read(root / group / name)) for name in names)
            if limit is not None and used is not None:
                freeable = _number_after(cached, _read(root / group / "memory.stat")) or 0
                left.append(max(0, limit - used + freeable))
    return left


def _number_after(label: str, text: str) -> int | None:
    found = re.search(rf"^{label}\s*(\d+)", text, re.MULTILINE)
    return None if found is None else int(found[1])


def _read(path: Path) -> str:
    """A file of the system, or nothing."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
