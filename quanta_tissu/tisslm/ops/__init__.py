"""The mathematics: one file per operation, forward and backward side by side (see `op.py` for the contract)."""

from quanta_tissu.tisslm.ops.add import add
from quanta_tissu.tisslm.ops.add_layer_norm import add_layer_norm
from quanta_tissu.tisslm.ops.add_rms_norm import add_rms_norm
from quanta_tissu.tisslm.ops.attention import attention
from quanta_tissu.tisslm.ops.cross_entropy import cross_entropy
from quanta_tissu.tisslm.ops.dropout import dropout
from quanta_tissu.tisslm.ops.embedding import embedding
from quanta_tissu.tisslm.ops.gelu import gelu
from quanta_tissu.tisslm.ops.gelu_tanh import gelu_tanh
from quanta_tissu.tisslm.ops.layer_norm import layer_norm
from quanta_tissu.tisslm.ops.linear import linear
from quanta_tissu.tisslm.ops.linear_cross_entropy import linear_cross_entropy
from quanta_tissu.tisslm.ops.multiply import multiply
from quanta_tissu.tisslm.ops.op import REGISTRY, Op, Sample
from quanta_tissu.tisslm.ops.power import power
from quanta_tissu.tisslm.ops.relu import relu
from quanta_tissu.tisslm.ops.reshape import reshape
from quanta_tissu.tisslm.ops.rms_norm import rms_norm
from quanta_tissu.tisslm.ops.rope import rope
from quanta_tissu.tisslm.ops.silu import silu
from quanta_tissu.tisslm.ops.softmax import softmax
from quanta_tissu.tisslm.ops.split import split
from quanta_tissu.tisslm.ops.swiglu import swiglu
from quanta_tissu.tisslm.ops.tanh import tanh

__all__ = [
    "REGISTRY",
    "Op",
    "Sample",
    "add",
    "add_layer_norm",
    "add_rms_norm",
    "attention",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "gelu_tanh",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "multiply",
    "power",
    "relu",
    "reshape",
    "rms_norm",
    "rope",
    "silu",
    "softmax",
    "split",
    "swiglu",
    "tanh",
]
