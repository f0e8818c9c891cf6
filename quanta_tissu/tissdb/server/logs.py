"""Lines of the server's log, each with the id of the request that it is about."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

REQUEST: ContextVar[str] = ContextVar("request", default="-")
"""The id of the request that is being answered, also in the threads that work for it."""

log = logging.getLogger("tissdb.server")

_FORMAT = "%(asctime)s %(levelname)s [%(request)s] %(name)s: %(message)s"


class _WithRequest(logging.Filter):
    """Adds the request's id to what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request = REQUEST.get()
        return True


def write_log(*, requests: bool) -> None:
    """Write what this process logs to standard error.

    Args:
        requests: With a line for each request; otherwise only what is wrong.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_WithRequest())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(logging.INFO if requests else logging.WARNING)
