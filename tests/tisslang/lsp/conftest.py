from __future__ import annotations

import pytest

from tests.tisslang.lsp.client import Client, Thread


@pytest.fixture(scope="package")
def root(tmp_path_factory):
    """The folder that the editor works in."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="package")
def shared(root):
    """One server for all tests that do not need their own."""
    client = Client(root, Thread())
    yield client
    client.kill()


@pytest.fixture
def editor(shared, root):
    """A client, with a function that opens scripts: `editor.script(text)` gives what to call it."""
    opened = []

    def script(text, name="plan.tiss"):
        uri = (root / name).as_uri()
        shared.open(uri, text)
        opened.append(uri)
        return uri

    shared.script = script
    yield shared
    for uri in opened:
        shared.tell("textDocument/didClose", textDocument={"uri": uri})
    for path in root.rglob("*.tiss"):
        path.unlink()
