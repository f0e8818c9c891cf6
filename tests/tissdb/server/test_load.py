"""A thousand clients at once: everybody is answered, and every answer is right."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys

import pytest

CLIENTS = 1000


async def ask(reader, writer, method: str, path: str, body: bytes = b"") -> tuple[int, dict]:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(re.search(r"content-length: (\d+)", head, re.IGNORECASE)[1])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def client(port: int, number: int) -> list[int]:
    """Write a document, read it, change it under its revision; the status codes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    place = f"/v1/work/notes/documents/{number}"
    written, _ = await ask(reader, writer, "PUT", place, json.dumps({"n": number}).encode())
    read, document = await ask(reader, writer, "GET", place)
    assert document["n"] == number
    patched, _ = await ask(reader, writer, "PATCH", place, b'{"m": 1}')
    writer.close()
    return [written, read, patched]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_clients_at_once_are_all_answered(folder):
    resource = pytest.importorskip("resource")
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 4 * CLIENTS:
        pytest.skip("this system does not allow so many connections")
    command = [sys.executable, "-m", "quanta_tissu", "db", "serve", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # with few files, as it is started
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        port = int(re.search(r":(\d+) ", server.stderr.readline())[1])

        async def all_clients() -> list[list[int]]:
            return await asyncio.gather(*(client(port, number) for number in range(CLIENTS)))

        assert asyncio.run(all_clients()) == [[201, 200, 200]] * CLIENTS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
        server.kill()
        server.communicate()
