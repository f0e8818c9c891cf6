"""Python's collector of cycles, kept from walking what has none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector from running while something is built that lives on and has no cycles.

    Tokens and trees are many small objects. While they are made, the collector walks those that are there again
    and again, to find nothing: a quarter of the time. Reference counts free what is freed, as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
