"""llama2.c: the published model continues as its authors' program does, byte for byte."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError, TokenizerError
from quanta_tissu.tisslm import artifact, engine
from quanta_tissu.tisslm.config import Config, GenerateConfig, ModelConfig
from quanta_tissu.tisslm.generate import generate
from quanta_tissu.tisslm.interop import llama2c
from quanta_tissu.tisslm.model import Decoder, KVCache

# SHA-256 of the text that llama2.c's test suite expects (test_all.py, line 40).
STORY = "beeb5cb46785efee81a8545300b31e396b595e5ce6f3b77db201545501981d14"


@pytest.fixture
def stories(shared_data):
    checkpoint = llama2c.read_checkpoint(shared_data / "stories260K.bin")
    return checkpoint, llama2c.read_tokenizer(shared_data / "tok512.bin")


@pytest.mark.data
@pytest.mark.parametrize("name", ["reference", "fast"])
def test_the_published_model_tells_the_published_story(stories, name):
    """Greedy and cached, from BOS, 200 tokens: 464 bytes that llama2.c's test suite knows."""
    decoder, tokenizer = stories
    cache = KVCache.allocate(decoder.config, batch=1)
    ids = [tokenizer.bos_id]
    with engine.use(name):
        for _ in range(200):
            logits = decoder.forward(np.array([ids[-1:]]), cache=cache)
            ids.append(int(logits[0, -1].argmax()))
    assert ids[1:7] == [403, 407, 261, 378, 432, 383]
    text = tokenizer.decode_bytes(ids)
    assert len(text) == 464
    assert hashlib.sha256(text).hexdigest() == STORY


@pytest.mark.data
def test_so_does_the_generator_on_the_converted_checkpoint(stories, tmp_path):
    artifact.write(tmp_path / "stories", *stories, Config())
    read = artifact.read(tmp_path / "stories")
    config = GenerateConfig(max_new_tokens=200, temperature=0)
    (completion,) = generate(read.decoder, read.tokenizer, [""], config).completions
    assert hashlib.sha256(completion.text.encode()).hexdigest() == STORY


@pytest.mark.data
def test_a_prompt_of_the_story_continues_with_the_story(stories):
    config = GenerateConfig(max_new_tokens=20, temperature=0)
    (whole,) = generate(*stories, [""], config).completions
    (rest,) = generate(*stories, ["Once upon a time, there"], config).completions
    assert ("Once upon a time, there" + rest.text).startswith(whole.text)


@pytest.mark.data
def test_the_published_model_has_its_published_shape(stories):
    decoder, tokenizer = stories
    assert decoder.parameters.num_elements == 260_032
    assert (decoder.config.d_model, decoder.config.ff_width, decoder.config.n_layers) == (64, 172, 5)
    assert (decoder.config.n_heads, decoder.config.kv_heads, decoder.config.context_length) == (8, 4, 512)
    assert tokenizer.vocab_size == 512


@pytest.mark.data
@pytest.mark.torch
def test_the_converted_checkpoint_opens_in_transformers(stories, tmp_path, torch, transformers):
    """Interleaved rotary is stored half-split, so a Llama model of transformers computes the same."""
    decoder, tokenizer = stories
    artifact.write(tmp_path / "stories", decoder, tokenizer, Config())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "stories").eval()
    assert isinstance(theirs, transformers.LlamaForCausalLM)
    ids = np.array([tokenizer.encode_prompt("Once upon a time, there was a little girl")])
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(decoder.forward(ids), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# -- files made here ---------------------------------------------------------------------------------------------

TINY = ModelConfig(
    vocab_size=11,
    context_length=6,
    n_layers=2,
    d_model=8,
    n_heads=4,
    n_kv_heads=2,
    d_ff=12,
    rope_interleaved=True,
    tie_embeddings=False,
)


def legacy_bytes(decoder):
    """A decoder as llama2.c's export writes it."""
    config, p = decoder.config, decoder.parameters
    F, K = config.ff_width, config.kv_heads * config.head_dim
    layers = [f"model.layers.{i}." for i in range(config.n_layers)]
    qkv = [p[layer + "self_attn.qkv_proj.weight"] for layer in layers]
    gate_up = [p[layer + "mlp.gate_up_proj.weight"] for layer in layers]
    D = config.d_model
    arrays = [
        p["model.embed_tokens.weight"],
        *(p[layer + "input_layernorm.weight"] for layer in layers),
        *(packed[:D] for packed in qkv),
        *(packed[D : D + K] for packed in qkv),
        *(packed[D + K :] for packed in qkv),
        *(p[layer + "self_attn.o_proj.weight"] for layer in layers),
        *(p[layer + "post_attention_layernorm.weight"] for layer in layers),
        *(packed[:F] for packed in gate_up),
        *(p[layer + "mlp.down_proj.weight"] for layer in layers),
        *(packed[F:] for packed in gate_up),
        p["model.norm.weight"],
        np.full((2, config.context_length, config.head_dim // 2), 7.0, np.float32),
    ]
    vocabulary = config.vocab_size if config.tie_embeddings else -config.vocab_size
    if not config.tie_embeddings:
        arrays.append(p["lm_head.weight"])
    header = (D, F, config.n_layers, config.n_heads, config.kv_heads, vocabulary, config.context_length)
    return struct.pack("<7i", *header) + b"".join(array.tobytes() for array in arrays)


@pytest.mark.parametrize("tied", [False, True])
def test_every_array_finds_its_place(tmp_path, tied):
    decoder = Decoder.initialise(TINY.model_copy(update={"tie_embeddings": tied}), seed=1)
    for array in decoder.parameters.values():
        array += np.random.default_rng(array.size).normal(size=array.shape)
    (tmp_path / "tiny.bin").write_bytes(legacy_bytes(decoder))
    read = llama2c.read_checkpoint(tmp_path / "tiny.bin")
    assert read.config == decoder.config
    np.testing.assert_array_equal(read.parameters.flat, decoder.parameters.flat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:20], "is truncated: 20 bytes"),
        (lambda data: data[:-4], "a llama2.c checkpoint with its header needs"),
        (lambda data: data + b"\0", "a llama2.c checkpoint with its header needs"),
        (lambda data: struct.pack("<2i", 0x616B3432, 2) + data[8:], "llama2.c checkpoint of version 2"),
        (lambda data: b"\xff" * 28 + data[28:], "its header .* describes no model"),
        (lambda data: struct.pack("<7i", 8, 12, 2, 3, 3, 11, 6) + data[28:], "its header .* describes no model"),
    ],
)
def test_what_is_no_such_checkpoint_is_refused(tmp_path, change, message):
    (tmp_path / "tiny.bin").write_bytes(change(legacy_bytes(Decoder.initialise(TINY, seed=1))))
    with pytest.raises(CheckpointError, match=message):
        llama2c.read_checkpoint(tmp_path / "tiny.bin")


def test_missing_files_are_errors_with_their_path(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read .*absent\.bin"):
        llama2c.read_checkpoint(tmp_path / "absent.bin")
    with pytest.raises(TokenizerError, match=r"cannot read .*absent\.bin"):
        llama2c.read_tokenizer(tmp_path / "absent.bin")


def tokenizer_bytes(tokens, longest=30):
    encoded = [(score, token.encode()) for token, score in tokens]
    return struct.pack("<i", longest) + b"".join(struct.pack("<fi", s, len(t)) + t for s, t in encoded)


VOCABULARY = [
    ("<unk>", 0),
    ("\n<s>\n", 0),
    ("\n</s>\n", 0),
    *((f"<0x{b:02X}>", 0) for b in range(256)),
    ("é", -1.5),
]


def test_a_tokenizer_file_is_read(tmp_path):
    (tmp_path / "tok.bin").write_bytes(tokenizer_bytes(VOCABULARY))
    tokenizer = llama2c.read_tokenizer(tmp_path / "tok.bin")
    assert tokenizer.vocab_size == 260
    assert tokenizer.encode("é") == [3 + ord(" "), 259]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a tokenizer of llama2.c, or it is truncated"),
        (tokenizer_bytes(VOCABULARY)[:-1], "token 259 would have 2 bytes"),
        (tokenizer_bytes(VOCABULARY, longest=3), "token 0 would have 5 bytes"),
        (tokenizer_bytes(VOCABULARY)[:-2] + b"\xff\xff", "or it is truncated: 'utf-8' codec"),
        (tokenizer_bytes(VOCABULARY[:100]), "are not the bytes"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path, content, message):
    (tmp_path / "tok.bin").write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        llama2c.read_tokenizer(tmp_path / "tok.bin")
