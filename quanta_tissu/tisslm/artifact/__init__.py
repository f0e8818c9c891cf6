"""Checkpoint directories: written atomically, read back with everything checked."""

from quanta_tissu.tisslm.artifact.checkpoint import CHECKPOINT, Artifact, read, write
from quanta_tissu.tisslm.artifact.tensors import (
    StoredTensor,
    find_tensors,
    load_metadata,
    load_tensors,
    save_tensors,
)

__all__ = [
    "CHECKPOINT",
    "Artifact",
    "StoredTensor",
    "find_tensors",
    "load_metadata",
    "load_tensors",
    "read",
    "save_tensors",
    "write",
]
