"""Optimizers: how gradients change weights, all behind one interface over flat buffers."""

from quanta_tissu.tisslm.train.optimizers.adam import Adam, AdamW
from quanta_tissu.tisslm.train.optimizers.base import Group, Optimizer
from quanta_tissu.tisslm.train.optimizers.factory import grouped, make_optimizer, num_buffers
from quanta_tissu.tisslm.train.optimizers.lion import Lion
from quanta_tissu.tisslm.train.optimizers.muon import Matrix, Muon
from quanta_tissu.tisslm.train.optimizers.rmsprop import RMSProp
from quanta_tissu.tisslm.train.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Group",
    "Lion",
    "Matrix",
    "Muon",
    "Optimizer",
    "RMSProp",
    "grouped",
    "make_optimizer",
    "num_buffers",
]
