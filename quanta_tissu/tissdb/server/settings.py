"""What a server may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quanta_tissu.tissdb.sqlite.protection import Secret


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves; sizes in bytes, times in seconds.

    Attributes:
        tokens: File of tokens (`tokens.TokenFile`). Without one everybody is an administrator, so that such a
            server answers on this machine only.
        rate: Requests of a token in a second, over time; 0 for any number.
        burst: Requests that may come at once before the rate counts.
        max_body: Bytes of a request, other than `_bulk`.
        max_line: Bytes of a line of `_bulk`.
        max_wait: Seconds that `_changes` may wait.
        transaction_timeout: Seconds without a word after which a transaction is forgotten.
        query_timeout: Seconds that a query, a search or another read may take; None for any time.
        max_transactions: Open transactions of all clients.
        max_operations: Operations of a transaction.
        max_transaction_bytes: Bytes of a transaction.
        log_requests: Write a line to the log for each request, also for those that went well.
        secret: Key or passphrase of the databases' files, if they are encrypted.
    """

    tokens: Path | None = None
    rate: float = 0.0
    burst: int = 100
    max_body: int = 32 * 2**20
    max_line: int = 32 * 2**20
    max_wait: float = 60.0
    transaction_timeout: float = 60.0
    query_timeout: float | None = 30.0
    max_transactions: int = 1000
    max_operations: int = 10_000
    max_transaction_bytes: int = 64 * 2**20
    log_requests: bool = False
    secret: Secret | None = None
