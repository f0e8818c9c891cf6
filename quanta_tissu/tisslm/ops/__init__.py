"""The mathematics: one file per operation, forward and backward side by side (see `op.py` for the contract)."""

from quanta_tissu.tisslm.ops.linear import linear
from quanta_tissu.tisslm.ops.op import REGISTRY, Op, Sample
from quanta_tissu.tisslm.ops.rms_norm import rms_norm

__all__ = ["REGISTRY", "Op", "Sample", "linear", "rms_norm"]
