"""Checkpoint directories: written atomically, read back with everything checked."""

from quanta_tissu.tisslm.artifact.checkpoint import Artifact, read, write
from quanta_tissu.tisslm.artifact.tensors import load_metadata, load_tensors, save_tensors

__all__ = ["Artifact", "load_metadata", "load_tensors", "read", "save_tensors", "write"]
