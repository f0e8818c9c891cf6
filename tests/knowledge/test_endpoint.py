"""Any server that speaks OpenAI's interface makes vectors; here a real one on this machine."""

from __future__ import annotations

import http.server
import json
import threading

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError, EmbeddingError
from quanta_tissu.knowledge import EndpointEmbedder, KnowledgeBase
from quanta_tissu.knowledge.choosing import embedder_named


class Server(http.server.ThreadingHTTPServer):
    """Answers with vectors made of the letters a, b and c, in reversed order; `failures` come first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.failures = []
        self.vector = lambda text: [float(text.count(letter)) + 0.1 for letter in "abc"]
        self.answer = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        if self.server.failures:
            code = self.server.failures.pop(0)
            self.send_response(code)
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(b'{"error": "no"}')
            return
        data = [{"index": i, "embedding": self.server.vector(text)} for i, text in enumerate(body["input"])]
        answer = self.server.answer or json.dumps({"data": data[::-1]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_vectors_come_in_the_order_of_the_texts_in_batches(server):
    embedder = EndpointEmbedder(server.url + "/", "letters", key="secret", batch_size=2)
    vectors = embedder.embed(["a", "bb", "ccc"])
    assert vectors.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    path, headers, body = server.requests[1]
    assert (path, headers["Authorization"]) == ("/v1/embeddings", "Bearer secret")
    assert body == {"model": "letters", "input": ["a", "bb"]}
    assert [len(request[2]["input"]) for request in server.requests] == [1, 2, 1]
    assert embedder.measure(["two words"]) == [2]


def test_a_knowledge_base_works_with_it_and_remembers_it(server, db, tmp_path):
    (tmp_path / "x.txt").write_text("abba")
    (tmp_path / "y.txt").write_text("cccc")
    kb = KnowledgeBase(db, EndpointEmbedder(server.url, "letters"), limit=20, overlap=0)
    kb.add(tmp_path)
    assert kb.search("ccc", 1, mode="meaning")[0].text == "cccc"
    name = db["passages_sources"]["settings"]["embedder"]
    assert embedder_named(name).embed(["a"]).argmax() == 0


def test_a_busy_server_is_asked_again(server):
    embedder = EndpointEmbedder(server.url, "letters", width=3)
    server.failures = [503, 429]
    assert embedder.embed(["b"]).argmax() == 1
    assert len(server.requests) == 3


@pytest.mark.parametrize(("codes", "hint"), [([401], "API key"), ([404], "end in /v1"), ([503] * 4, "log")])
def test_a_refusal_says_what_the_server_said(server, codes, hint):
    server.failures = codes
    with pytest.raises(EmbeddingError, match=rf"answered {codes[0]}: .*no") as refusal:
        EndpointEmbedder(server.url, "letters")
    assert hint in refusal.value.hint


@pytest.mark.parametrize("answer", [b"{", b"[]", b'{"data": [{"index": 0, "embedding": "x"}]}', b'{"data": []}'])
def test_an_answer_that_is_none_is_refused(server, answer):
    server.answer = answer
    with pytest.raises(EmbeddingError, match="the answer of"):
        EndpointEmbedder(server.url, "letters")


def test_vectors_of_another_width_are_refused(server):
    embedder = EndpointEmbedder(server.url, "letters")
    server.vector = lambda text: [1.0]
    with pytest.raises(EmbeddingError, match="vectors of 1 numbers; 3 were expected"):
        embedder.embed(["a"])


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(EmbeddingError, match=r"cannot reach http://127\.0\.0\.1:9/v1/embeddings"):
        EndpointEmbedder("http://127.0.0.1:9/v1", "letters", tries=1)
    with pytest.raises(ConfigError, match="no address"):
        EndpointEmbedder("localhost:80", "letters")
