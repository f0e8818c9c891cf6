"""An editor as the language server sees it: JSON-RPC over the standard input and output of `tissu lang lsp`."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

WAIT = 60  # seconds for an answer; a machine may be busy


class RefusedError(Exception):
    """The server answered with an error."""


class Client:
    """A client, and the server that it started.

    Attributes:
        capabilities: What the server said that it can do.
        diagnostics: What was said last of each script.
    """

    def __init__(self, root: Path, **capabilities: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from quanta_tissu.cli import main; main()", "lang", "lsp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._ids = itertools.count(1)
        self._versions = itertools.count(1)
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._answers: dict[int, dict[str, Any]] = {}
        self.errors: list[bytes] = []
        self.diagnostics: dict[str, dict[str, Any]] = {}
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self._process.stderr), daemon=True).start()
        folders = [{"uri": root.as_uri(), "name": root.name}]
        can = {"completion": {"completionItem": {"snippetSupport": True}}, "rename": {"prepareSupport": True}}
        params = {"processId": None, "rootUri": root.as_uri(), "workspaceFolders": folders}
        answer = self.ask("initialize", capabilities={"textDocument": can, **capabilities}, **params)
        self.capabilities = answer["capabilities"]
        self.tell("initialized")

    # --- messages ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        out = self._process.stdout
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
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._process.stdin.flush()

    def _take(self) -> None:
        """Take a message of the server."""
        message = self._messages.get(timeout=WAIT)
        if message is None:
            raise RefusedError(b"".join(self.errors).decode() or "the server is gone")
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
        return self._process.wait(WAIT)

    def kill(self) -> None:
        """End the server, if it is still there."""
        self._process.kill()
        self._process.wait(WAIT)
