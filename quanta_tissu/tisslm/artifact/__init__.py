"""Checkpoint directories: written atomically, read back with everything checked."""

from quanta_tissu.tisslm.artifact.checkpoint import CHECKPOINT, Artifact, read, write
from quanta_tissu.tisslm.artifact.tensors import load_metadata, load_tensors, save_tensors

__all__ = ["CHECKPOINT", "Artifact", "load_metadata", "load_tensors", "read", "save_tensors", "write"]
