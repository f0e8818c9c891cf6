"""The page for people: databases in a browser, which asks for them as any other client does."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response

from quanta_tissu.tissdb.server.failures import RequestError

router = APIRouter(include_in_schema=False)

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

# Scripts, styles and requests are those of this server only; nothing is made from text, nobody may frame it.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@router.get("/")
def index(request: Request) -> Response:
    """The page."""
    return _sent(request, "index.html")


@router.get("/page/{name}")
def part(request: Request, name: str) -> Response:
    """What the page loads."""
    return _sent(request, name)


def _sent(request: Request, name: str) -> Response:
    found = _parts().get(name)
    if found is None:
        raise RequestError(404, f"the page has no part {name[:80]!r}", hint="the page is at /")
    content, tag = found
    headers = _HEADERS | {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])


@cache
def _parts() -> dict[str, tuple[bytes, str]]:
    """Content and `ETag` of each file, by its name."""
    parts = {}
    for file in (resources.files("quanta_tissu.tissdb.server") / "page").iterdir():
        if file.name.rpartition(".")[2] in _TYPES:
            content = file.read_bytes()
            parts[file.name] = content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return parts
