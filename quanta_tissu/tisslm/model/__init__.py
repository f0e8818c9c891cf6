"""The decoder-only transformer: modules made of ops, chosen by name in the configuration."""

from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.dropout import DropoutSeeds, TorchDropout
from quanta_tissu.tisslm.model.kv_cache import KVCache
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec
from quanta_tissu.tisslm.model.recorder import Recorder
from quanta_tissu.tisslm.model.summary import Summary

__all__ = [
    "Decoder",
    "DropoutSeeds",
    "KVCache",
    "ParameterSpec",
    "Parameters",
    "Recorder",
    "Summary",
    "TorchDropout",
]
