"""Generation with real trained weights: llama2.c's stories260K, whose greedy text is published with it."""

import hashlib

import numpy as np
import pytest

from quanta_tissu.tisslm import LanguageModel
from quanta_tissu.tisslm.generate import GenerationResult
from quanta_tissu.tisslm.interop import llama2c
from quanta_tissu.tisslm.model import Decoder

pytestmark = pytest.mark.data

GREEDY = {"temperature": 0.0, "stop_at_eos": False}


@pytest.fixture(scope="module")
def stories(shared_data) -> LanguageModel:
    return LanguageModel(
        llama2c.read_checkpoint(shared_data / "stories260K.bin"),
        llama2c.read_tokenizer(shared_data / "tok512.bin"),
    )


@pytest.fixture(scope="module")
def story(stories) -> GenerationResult:
    return stories.generate("", max_new_tokens=200, **GREEDY)


def test_an_empty_prompt_continues_byte_for_byte_as_in_llama2c(story):
    assert hashlib.sha256(story.text.encode()).hexdigest() == (
        "beeb5cb46785efee81a8545300b31e396b595e5ce6f3b77db201545501981d14"
    )


def test_streams_batches_chunks_and_no_cache_tell_the_same_story(stories, story):
    """A prompt of 60 of its tokens goes on as the story did."""
    start, rest = [stories.tokenizer.bos_id, *story.tokens[:60]], story.tokens[60:70]
    settings = GREEDY | {"max_new_tokens": 10}
    text = stories.generate([start], **settings).text
    assert story.text.endswith(text + stories.tokenizer.decode(story.tokens[70:]))
    assert "".join(stories.stream(start, **settings)) == text
    assert stories.generate([start], kv_cache=False, **settings).tokens == rest
    assert stories.generate([start], prefill_chunk=16, **settings).tokens == rest
    batch = stories.generate(["Lily went", start, ""], prefill_chunk=16, **settings)
    assert batch[1].tokens == rest
    assert batch[2].tokens == story.tokens[:10]


def test_stories_go_on_past_the_context(stories):
    """With a context of 64 it slides several times. The later text is still likely when all of it is read at once:
    the model's published loss on real stories is 1.3 nats, and tokens in random order have about 10."""
    config = stories.decoder.config
    short = Decoder(config.model_copy(update={"context_length": 64}), stories.decoder.parameters)
    narrow = LanguageModel(short, stories.tokenizer)
    late = np.array(
        narrow.generate("", max_new_tokens=200, temperature=0.5, seed=1, stop_at_eos=False).tokens[70:]
    )
    assert stories.decoder.loss(late[None, :-1], late[None, 1:]) < 1.3
