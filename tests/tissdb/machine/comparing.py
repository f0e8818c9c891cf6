"""What was found and what must be there, in forms that can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.documents import Document, Written
from quanta_tissu.tissdb.values import text_of
from tests.tissdb.machine.awaited import Awaited
from tests.tissdb.machine.model import Held, Stored


def exact(document: Document) -> tuple[Any, ...]:
    """A document in a form that tells 1 from 1.0."""
    times = (document.created, document.updated, document.expires)
    return document.id, document.revision, times, text_of(document.value)


def plain(result: Any) -> Any:
    """What a write gave, in lists."""
    if isinstance(result, Collection | Awaited):
        return None
    if isinstance(result, Written):
        return [result.id, result.revision]
    return [plain(one) for one in result] if isinstance(result, list) else result


def compare_vectors(held: Held, stored: Stored, found: dict[str, Any]) -> None:
    """Vectors as they were given: to the last bits of a float, or to a step of 8 bits."""
    assert found.keys() == stored.vectors.keys()
    for name, vector in stored.vectors.items():
        said = held.indexes[name]
        wanted = vector / np.linalg.norm(vector) if said["metric"] == "cosine" else vector
        off = 1e-6 if said["storage"] == "float32" else 0.01 * np.abs(wanted).max()
        assert np.allclose(found[name], wanted, rtol=0, atol=off)
