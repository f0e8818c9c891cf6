"""Models for the tests of models: real checkpoints, and a real server."""

from __future__ import annotations

import http.server
import json
import threading
import time

import numpy as np
import pytest

from quanta_tissu.tisslang.llm.protocol import Message, Request
from quanta_tissu.tisslm.config import Config, GenerateConfig, ModelConfig
from quanta_tissu.tisslm.interop import llama2c
from quanta_tissu.tisslm.language_model import LanguageModel
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import BPETokenizer


@pytest.fixture(scope="session")
def stories(shared_data, tmp_path_factory):
    """The folder of a checkpoint of 260,000 parameters that was trained on stories."""
    model = LanguageModel(
        llama2c.read_checkpoint(shared_data / "stories260K.bin"),
        llama2c.read_tokenizer(shared_data / "tok512.bin"),
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "stories"
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def chat_model():
    """A model that was never trained, whose tokenizer has ChatML's marks."""
    text = "the quick brown fox jumps over the lazy dog " * 20
    vocabulary = BPETokenizer()
    vocabulary.train([text], 290)
    tokenizer = with_special(vocabulary, ["<|im_start|>", "<|im_end|>"])
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=400, n_layers=2, d_model=32, n_heads=4)
    decoder = Decoder.initialise(config, seed=1)
    decoder.parameters.flat[:] += np.random.default_rng(2).normal(size=decoder.parameters.flat.shape) * 0.2
    return LanguageModel(decoder, tokenizer, Config(generate=GenerateConfig(temperature=0.7)))


def with_special(tokenizer, tokens):
    """A BPE tokenizer with more special tokens."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Library

    library = Library.from_str(tokenizer.to_json())
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    return BPETokenizer(library)


def question(text="What is a tuple?", **settings):
    """A request with one message."""
    return Request((Message("user", text),), **settings)


@pytest.fixture
def ask_for():
    return question


class Server(http.server.ThreadingHTTPServer):
    """Speaks OpenAI's chat completions; `script` is what the next requests get, one each, then `answer`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.script = []
        self.pieces = ["An immutable", " sequence."]
        self.usage = {"prompt_tokens": 12, "completion_tokens": 4}
        self.pause = 0.0
        self.finish = "stop"
        self.gone = threading.Event()  # the client closed the connection

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def events(self):
        for piece in self.pieces:
            yield {
                "model": "tiny-1",
                "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}],
            }
        if self.finish:
            yield {"model": "tiny-1", "choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]}
        if self.usage:
            yield {"model": "tiny-1", "choices": [], "usage": self.usage}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        step = self.server.script.pop(0) if self.server.script else None
        if callable(step):
            step(self, body)
        elif step is not None:
            code, headers, text = step
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())
        else:
            self.stream()

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        try:
            self.wfile.write(b": hello\r\n\r\n")
            for event in self.server.events():
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                time.sleep(self.server.pause)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.gone.set()

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
