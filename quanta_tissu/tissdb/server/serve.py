"""Starts a server and runs it until it is told to end."""

from __future__ import annotations

import importlib.util
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quanta_tissu.errors import ConfigError, DatabaseError, MissingDependencyError
from quanta_tissu.tissdb.server.settings import Settings

if TYPE_CHECKING:
    from quanta_tissu.tissdb.server.access import Encoder

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    place: str,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8470,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    encoder: Encoder | None = None,
    started: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve databases until interrupted; what was begun is answered first.

    Args:
        place: A folder of databases, a file, or an address.
        settings: How the server behaves.
        host: Where it listens.
        port: On which port; 0 for any.
        tls_cert: Certificate with its chain, as PEM: requests are then encrypted.
        tls_key: The key of the certificate.
        encoder: Makes vectors of texts, for searches near a text.
        started: Called with its address once it listens.

    Raises:
        MissingDependencyError: FastAPI or uvicorn is not installed.
        ConfigError: It would be open to others without tokens, or half of TLS is missing.
        NotFoundError: There is no such folder or database.
    """
    if not all(map(importlib.util.find_spec, ("fastapi", "uvicorn"))):
        raise MissingDependencyError(
            "the server needs FastAPI and uvicorn, which are not installed",
            hint="install them with `pip install 'quanta-tissu[server]'`",
        )
    if settings.tokens is None and host not in LOOPBACK:
        raise ConfigError(
            f"without tokens everybody who reaches {host} could do everything",
            hint="make one with `tissu db token add` and give --tokens, or listen on 127.0.0.1",
        )
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("TLS needs both a certificate and its key", hint="give --tls-cert and --tls-key")
    for file in (tls_cert, tls_key):
        if file is not None and not file.is_file():
            raise ConfigError(f"there is no file {file}", hint="a certificate and its key, both as PEM")
    import uvicorn

    from quanta_tissu.tissdb.server.app import create_app
    from quanta_tissu.tissdb.server.logs import write_log

    write_log(requests=settings.log_requests)
    app = create_app(place, settings, encoder=encoder)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=15,
    )
    try:
        config.load()
    except ssl.SSLError as error:
        raise ConfigError(
            f"{tls_cert} and {tls_key} are no certificate with its key ({error.reason or error})",
            hint="both are files of PEM, and the key is that of the certificate",
        ) from None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise DatabaseError(
            f"port {port} of {host} cannot be listened on: {error.strerror}",
            hint="--port names another one, 0 any",
        ) from None
    _allow_many_connections()
    scheme = "http" if tls_cert is None else "https"
    shown = f"[{host}]" if ":" in host else host
    started(f"{scheme}://{shown}:{listening.getsockname()[1]}")
    uvicorn.Server(config).run(sockets=[listening])


def _allow_many_connections() -> None:
    """Let this process have as many open files, which connections are, as the system lets it ask for."""
    try:
        import resource
    except ImportError:  # Windows counts otherwise
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
