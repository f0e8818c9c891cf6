"""An editor as the language server sees it: JSON-RPC over the standard input and output of `tissu lang lsp`.

The server is a process of its own, as for editors, or a thread of the tests: faster, and seen by coverage.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from quanta_tissu.tisslang.lsp.server import build

WAIT = 60  # seconds for an answer; a machine may be busy


class RefusedError(Exception):
    """The server answered with an error."""


class Process:
    """`tissu lang lsp` as an editor starts it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from quanta_tissu.cli import main; main()", "lang", "lsp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.input, self.output = self._process.stdin, self._process.stdout
        self.errors: list[bytes] = []
        threading.Thread(target=lambda: self.errors.extend(self._process.stderr), daemon=True).start()

    def wait(self) -> int:
        return self._process.wait(WAIT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(WAIT)


class Thread:
    """The same server in this process, over two pipes."""

    def __init__(self) -> None:
        theirs, ours = os.pipe()
        back, forth = os.pipe()
        self.input, self.output = os.fdopen(ours, "wb"), os.fdopen(back, "rb")
        self._server = build()
        streams = {"stdin": os.fdopen(theirs, "rb"), "stdout": os.fdopen(forth, "wb")}
        self._thread = threading.Thread(target=self._server.start_io, kwargs=streams, daemon=True)
        self._thread.start()
        self.errors: list[bytes] = []

    def wait(self) -> int:
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        return 0 if self._server.asked_to_end else 1

    def kill(self) -> None:
        self.input.close()
        self._thread.join(WAIT)


class Client:
    """A client, and the server that it started.

    Args:
        root: The folder that the editor works in.
        server: It; by default a process.
        capabilities: What the editor says that it can do.

    Attributes:
        capabilities: What the server said that it can do.
        diagnostics: What was said last of each script.
    """

    def __init__(self, root: Path, server: Process | Thread | None = None, **capabilities: Any) -> None:
        self.server = server or Process()
        self._ids = itertools.count(1)
        self._versions = itertools.count(1)
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._answers: dict[int, dict[str, Any]] = {}
        self.diagnostics: dict[str, dict[str, Any]] = {}
        threading.Thread(target=self._read, daemon=True).start()
        folders = [{"uri": root.as_uri(), "name": root.name}]
        can = {"completion": {"completionItem": {"snippetSupport": True}}, "rename": {"prepareSupport": True}}
        params = {"processId": None, "rootUri": root.as_uri(), "workspaceFolders": folders}
        answer = self.ask("initialize", capabilities={"textDocument": can, **capabilities}, **params)
        self.capabilities = answer["capabilities"]
        self.tell("initialized")

    # --- messages ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        out = self.server.output
        while True:
            length = 0
            while (line := out.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if not line:
                self._messages.put(None)
                return
            self._messages.put(json.loads(out.read(length)))

    def _write(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.input.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self.server.input.flush()

    def _take(self) -> None:
        """Take a message of the server."""
        message = self._messages.get(timeout=WAIT)
        if message is None:
            raise RefusedError(b"".join(self.server.errors).decode() or "the server is gone")
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.diagnostics[params["uri"]] = params
        elif "id" in message and "method" not in message:
            self._answers[message["id"]] = message

    def tell(self, method: str, **params: Any) -> None:
        """Send what needs no answer."""
        self._write({"method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:
        """Ask, and wait for the answer."""
        number = next(self._ids)
        self._write({"id": number, "method": method, "params": params})
        while number not in self._answers:
            self._take()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RefusedError(answer["error"]["message"])
        return answer["result"]

    # --- documents -----------------------------------------------------------------------------------------------

    def open(self, uri: str, text: str) -> list[dict[str, Any]]:
        """Open a script; what is wrong with it."""
        version = next(self._versions)
        item = {"uri": uri, "languageId": "tiss", "version": version, "text": text}
        self.tell("textDocument/didOpen", textDocument=item)
        return self.said(uri, version)

    def change(self, uri: str, text: str, *, wait: bool = True) -> list[dict[str, Any]]:
        """Replace the text of a script; what is wrong with it then."""
        version = next(self._versions)
        document = {"uri": uri, "version": version}
        self.tell("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])
        return self.said(uri, version) if wait else []

    def said(self, uri: str, version: int) -> list[dict[str, Any]]:
        """What is said of a version of a script."""
        while self.diagnostics.get(uri, {}).get("version") != version:
            self._take()
        return self.diagnostics[uri]["diagnostics"]

    def at(self, method: str, uri: str, line: int, character: int, **more: Any) -> Any:
        """Ask about a place."""
        position = {"line": line, "character": character}
        return self.ask(f"textDocument/{method}", textDocument={"uri": uri}, position=position, **more)

    def about(self, method: str, uri: str, **more: Any) -> Any:
        """Ask about a whole script."""
        return self.ask(f"textDocument/{method}", textDocument={"uri": uri}, **more)

    def close(self) -> int:
        """Say goodbye; the exit code of the server."""
        self.ask("shutdown")
        self.tell("exit")
        return self.server.wait()

    def kill(self) -> None:
        """End the server, if it is still there."""
        self.server.kill()
