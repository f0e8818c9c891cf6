"""The ends of logs, read once for all who wait for them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

from fastapi.concurrency import run_in_threadpool

from quanta_tissu.tissdb.database import Database

POLL = 0.1
"""Seconds between two looks."""


class Heads:
    """Numbers of the last entries, by name of the database."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def seq(self, name: str, db: Database) -> int:
        """The number of the last entry, at most half a look old."""
        async with self._locks[name]:
            read, seq = self._seen.get(name, (0.0, 0))
            if time.monotonic() - read >= POLL / 2:
                seq = (await run_in_threadpool(db.head)).seq
                self._seen[name] = time.monotonic(), seq
            return seq
