"""Summarisers: quoting, a model in the process, a server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError, GenerationError
from quanta_tissu.knowledge.embedders import count_words
from quanta_tissu.knowledge.memory import EndpointSummariser, ExtractiveSummariser, ModelSummariser, token_measure
from quanta_tissu.knowledge.memory.summaries import cut, shortened

TEXTS = [
    "user: The budget for the new bridge is four million. Nice weather today.",
    "assistant: The bridge budget was four million last year, too.",
    "user: The bridge opens in May if the budget holds. I had soup.",
]


def words(texts):
    return [len(text.split()) for text in texts]


class TestQuoting:
    def test_takes_sentences_whose_words_are_frequent_in_their_order(self):
        budget, opening = TEXTS[0].split(" Nice")[0], TEXTS[2].split(" I had")[0]
        assert ExtractiveSummariser()(TEXTS, 24) == f"{budget} {opening}"

    def test_says_things_once(self):
        texts = ["It rains. It rains.", "It rains. Snow falls in the north."]
        assert ExtractiveSummariser()(texts, 12).count("Snow falls") == 1
        ships = "Red red red ships sail. Red red red ships swim. Blue boats sink low."
        assert ExtractiveSummariser()([ships], 11) == "Red red red ships sail. Blue boats sink low."

    @given(st.lists(st.text(st.sampled_from("ab .\n?"), max_size=40), max_size=6), st.integers(1, 20))
    def test_keeps_to_the_limit_and_invents_nothing(self, texts, limit):
        summary = ExtractiveSummariser()(texts, limit)
        assert count_words([summary])[0] <= limit
        known = " ".join(texts).split()
        for word in summary.removesuffix("…").split():
            assert any(one.startswith(word) for one in known)

    def test_of_a_sentence_that_does_not_fit_the_beginning_is_taken(self):
        assert ExtractiveSummariser()(["one two three four five six"], 4) == "one two three …"


class TestCutting:
    def test_is_between_words(self):
        assert cut("one two three", 3, words) == "one two three"
        assert cut("one two three", 2, words) == "one …"
        assert cut("one two three", 1, words) == ""

    def test_is_anywhere_in_what_has_no_spaces(self):
        letters = lambda texts: [len(text) for text in texts]  # noqa: E731
        assert cut("天" * 100, 10, letters) == "天" * 8 + " …"
        assert cut("wonderful world", 10, letters) == "wonderfu …"
        assert cut("so wonderful world", 9, letters) == "so …"

    @given(st.lists(st.integers(0, 30), max_size=6), st.integers(0, 60))
    def test_many_texts_share_a_room_fairly(self, lengths, room):
        texts = [" ".join("w" * length) for length in lengths]
        kept = shortened(texts, room, words)
        assert sum(words(kept)) <= room
        if sum(lengths) <= room:
            assert kept == texts
        for text, short in zip(texts, kept, strict=True):
            if short != text:  # what is cut is as long as anything that is not, but for the ellipsis
                assert words([short])[0] + 2 >= min(room // len(texts), words([text])[0])


@pytest.fixture
def model():
    from quanta_tissu.tisslm import LanguageModel
    from quanta_tissu.tisslm.config import ModelConfig
    from quanta_tissu.tisslm.model.decoder import Decoder
    from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

    tokenizer = CharacterTokenizer("\n" + "".join(map(chr, range(32, 127))))

    def make(context):
        config = ModelConfig(
            vocab_size=tokenizer.vocab_size, context_length=context, n_layers=1, d_model=16, n_heads=2
        )
        return LanguageModel(Decoder.initialise(config, 0), tokenizer)

    return make


class TestModels:
    @pytest.mark.parametrize("context", [40, 120, 400])
    def test_the_prompt_fits_the_context(self, model, context, monkeypatch):
        small = model(context)
        prompts = []
        generate = small.generate
        monkeypatch.setattr(small, "generate", lambda prompt, **s: prompts.append(prompt) or generate(prompt, **s))
        summariser = ModelSummariser(small)
        written = summariser(TEXTS, 12)
        assert len(written) <= 12
        assert prompts[0].endswith("\nSummary:")
        assert len(prompts[0]) + min(12, context // 4) <= context
        assert summariser.name == "model"

    def test_a_context_without_room_is_refused(self, model):
        with pytest.raises(ConfigError, match="context of 16 tokens is too small to sum up 3 texts"):
            ModelSummariser(model(16))(TEXTS, 12)

    def test_tokens_are_counted_as_the_model_does(self, model):
        assert token_measure(model(40))(["four", "sechs!"]) == [4, 6]


class TestServers:
    @pytest.fixture
    def server(self):
        """A server that answers as it is told, and remembers what it was asked."""

        class Handler(BaseHTTPRequestHandler):
            answer: ClassVar = {"choices": [{"message": {"content": " They plan a bridge. "}}]}
            asked: ClassVar = []

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                Handler.asked.append((self.path, self.headers.get("Authorization"), body))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(Handler.answer).encode())

            def log_message(self, *args):
                pass

        running = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/v1", Handler
        running.shutdown()
        thread.join()
        running.server_close()

    def test_a_server_is_asked_for_a_summary(self, server):
        url, handler = server
        summariser = EndpointSummariser(url, "small", key="secret")
        assert summariser(TEXTS, 60) == "They plan a bridge."
        [(path, key, body)] = handler.asked
        assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "small")
        assert body["messages"][1]["content"] == "\n".join(TEXTS)
        assert "At most 40 words." in body["messages"][0]["content"]
        assert summariser.name == f"small at {url}"

    def test_an_answer_that_is_none_is_refused(self, server):
        url, handler = server
        handler.answer = {"choices": []}
        with pytest.raises(GenerationError, match="chat/completions has no summary") as caught:
            EndpointSummariser(url, "small")(TEXTS, 60)
        assert "does the model write text" in caught.value.hint

    def test_what_is_no_address_is_refused(self):
        with pytest.raises(ConfigError, match="is no address of a server"):
            EndpointSummariser("localhost:1234", "small")
