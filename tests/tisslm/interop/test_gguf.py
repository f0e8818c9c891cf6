"""GGUF: files written here byte by byte come back as they were, damage is named, GPT-2's vocabulary is exact."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import CheckpointError, TissuError, TokenizerError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.interop.gguf import GGUFFile, read_tokenizer
from quanta_tissu.tisslm.tokenizers.byte_alphabet import BYTE_ORDER, BYTE_TO_CHARACTER

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
LAYOUT = dict(
    zip(range(13), ["<B", "<b", "<H", "<h", "<I", "<i", "<f", "<B", "", "", "<Q", "<q", "<d"], strict=True)
)


# -- a writer, independent of the reader -----------------------------------------------------------------------


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value(kind: int, content) -> bytes:
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        inner, items = content
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, item) for item in items)
    return struct.pack(LAYOUT[kind], content)


def gguf(pairs=(), tensors=(), *, version=3, alignment=32, counts=None) -> bytes:
    """A whole file. pairs: (key, type, content); tensors: (name, shape in NumPy's order, ggml type, raw bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(tensors), len(pairs))))
    for key, kind, content in pairs:
        out += string(key) + struct.pack("<I", kind) + value(kind, content)
    data = b""
    for name, shape, kind, raw in tensors:
        data += bytes(-len(data) % alignment)
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, len(data))
        data += raw
    return out + bytes(-len(out) % alignment) + data if tensors else out


@pytest.fixture
def opened(tmp_path) -> Callable[[bytes], GGUFFile]:
    path = tmp_path / "file.gguf"

    def write_and_open(raw: bytes) -> GGUFFile:
        path.unlink(missing_ok=True)
        path.write_bytes(raw)
        return GGUFFile(path)

    return write_and_open


# -- reading ---------------------------------------------------------------------------------------------------


def test_every_type_of_value(opened):
    file = opened(
        gguf(
            [
                ("u8", U8, 255),
                ("i8", I8, -128),
                ("u16", U16, 65535),
                ("i16", I16, -32768),
                ("u32", U32, 2**32 - 1),
                ("i32", I32, -(2**31)),
                ("u64", U64, 2**64 - 1),
                ("i64", I64, -(2**63)),
                ("f32", F32, 0.5),
                ("f64", F64, 0.1),
                ("yes", BOOL, 1),
                ("no", BOOL, 0),
                ("text", STRING, "größe 🦙"),
                ("none", STRING, ""),
                ("numbers", ARRAY, (I32, [1, -2, 3])),
                ("no numbers", ARRAY, (F32, [])),
                ("flags", ARRAY, (BOOL, [1, 0])),
                ("texts", ARRAY, (STRING, ["a", "", "b c"])),
                ("nested", ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["x"])])),
            ]
        )
    )
    numbers, nothing, nested = (file.metadata.pop(key) for key in ("numbers", "no numbers", "nested"))
    assert file.metadata == {
        "u8": 255,
        "i8": -128,
        "u16": 65535,
        "i16": -32768,
        "u32": 2**32 - 1,
        "i32": -(2**31),
        "u64": 2**64 - 1,
        "i64": -(2**63),
        "f32": 0.5,
        "f64": 0.1,
        "yes": True,
        "no": False,
        "text": "größe 🦙",
        "none": "",
        "flags": [True, False],
        "texts": ["a", "", "b c"],
    }
    assert type(file.metadata["yes"]) is bool
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [1, -2, 3]
    assert (nothing.dtype, nothing.size) == (np.float32, 0)
    assert nested[0].tolist() == [1, 2]
    assert nested[1] == ["x"]
    assert file.version == 3
    assert not numbers.flags.writeable


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text()) | st.integers(-(2**63), 2**63 - 1)))
def test_any_keys_and_values_come_back(tmp_path_factory, metadata):
    pairs = [
        (key, STRING, content)
        if isinstance(content, str)
        else (key, I64, content)
        if isinstance(content, int)
        else (key, ARRAY, (STRING, content))
        for key, content in metadata.items()
    ]
    path = tmp_path_factory.mktemp("any") / "file.gguf"
    path.write_bytes(gguf(pairs))
    assert GGUFFile(path).metadata == metadata
    assert list(GGUFFile(path).metadata) == list(metadata)


@pytest.mark.parametrize("alignment", [32, 64])
def test_tensors_lie_on_the_file(opened, alignment):
    rng = np.random.default_rng(0)
    arrays = {
        "f32": (0, rng.normal(size=(3, 5)).astype("<f4")),
        "f16": (1, rng.normal(size=7).astype("<f2")),
        "i8": (24, np.arange(-3, 3, dtype="<i1")),
        "i16": (25, np.arange(4, dtype="<i2").reshape(2, 2)),
        "i32": (26, np.arange(8, dtype="<i4").reshape(2, 2, 2)),
        "i64": (27, np.array([-(2**40)], dtype="<i8")),
        "f64": (28, rng.normal(size=(1, 2, 3, 4))),
        "scalar": (0, np.array(2.5, dtype="<f4")),
        "empty": (0, np.zeros((0, 4), "<f4")),
    }
    raw = gguf(
        [("general.alignment", U32, alignment)],
        [(name, array.shape, kind, array.tobytes()) for name, (kind, array) in arrays.items()],
        alignment=alignment,
    )
    file = opened(raw)
    assert list(file.tensors) == list(arrays)
    for name, (_, array) in arrays.items():
        found = file.tensor(name)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)
        assert not found.flags.writeable
        assert file.tensors[name].offset % alignment == 0


def test_bfloat16_becomes_float32(opened):
    values = np.array([1.0, -2.5, 3.140625, 0.0], np.float32)  # exact in bfloat16
    file = opened(gguf([], [("b", (2, 2), 30, (values.view(np.uint32) >> 16).astype("<u2").tobytes())]))
    np.testing.assert_array_equal(file.tensor("b"), values.reshape(2, 2))


def test_version_2_has_the_same_layout(opened):
    assert opened(gguf([("key", U8, 1)], version=2)).metadata == {"key": 1}


def test_typed_access(opened):
    file = opened(gguf([("name", STRING, "x"), ("count", U32, 3)]))
    assert file.get("name", str) == "x"
    assert file.get("count", int) == 3
    with pytest.raises(CheckpointError, match="has no key 'other'"):
        file.get("other", str)
    with pytest.raises(CheckpointError, match="has 'count' of type int instead of str"):
        file.get("count", str)


# -- damage ----------------------------------------------------------------------------------------------------

SMALL = gguf(
    [("key", STRING, "value"), ("list", ARRAY, (STRING, ["a", "b"])), ("numbers", ARRAY, (F32, [1.0, 2.0]))],
    [("weight", (2, 2), 0, np.ones(4, "<f4").tobytes())],
)


@pytest.mark.parametrize("size", range(len(SMALL)))
def test_a_file_cut_anywhere_is_refused(opened, size):
    with pytest.raises(CheckpointError) as error:
        opened(SMALL[:size]).tensor("weight")
    assert ("is no GGUF file" if size < 4 else f"ends after {size} bytes, inside ") in error.value.message
    assert error.value.hint


@given(st.data())
def test_garbage_never_ends_in_another_error(tmp_path_factory, data):
    raw = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("garbage") / "file.gguf"
    path.write_bytes(raw)
    with contextlib.suppress(TissuError):
        file = GGUFFile(path)
        for name in file.tensors:
            file.tensor(name)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is no GGUF file: it starts with b''"),
        (b"<!DOCTYPE html>", "it starts with b'<!DO'"),
        (gguf(version=1), "is GGUF version 1, which is not supported"),
        (gguf(version=3 << 24), "is big-endian, which is not supported"),
        (gguf([("a", U8, 1), ("a", U8, 2)]), "has the key 'a' twice"),
        (gguf([], [("t", (1,), 0, bytes(4))] * 2), "has the tensor 't' twice"),
        (gguf([("a", BOOL, 2)]), "has 2 as the truth value of 'a'"),
        (gguf([("general.alignment", U32, 0)]), "has a general.alignment of 0"),
        (gguf([("general.alignment", STRING, "x")]), "has a general.alignment of 'x'"),
        (gguf([], [("t", (1,) * 5, 0, bytes(4))]), "has a tensor 't' of 5 dimensions"),
        (gguf(counts=(0, 2**63)), "ends after 24 bytes, inside the length of a key"),
        (gguf(counts=(2**63, 0)), "ends after 24 bytes, inside the length of the name of a tensor"),
        (gguf(counts=(0, 1)) + string("a") + struct.pack("<I", 13), "has 'a' of the unknown type 13"),
        (gguf(counts=(0, 1)) + struct.pack("<Q", 2**63), "inside a key"),
        (gguf(counts=(0, 1)) + struct.pack("<Q", 1) + b"\xff", "has bytes that are not UTF-8 in a key"),
        (
            gguf(counts=(0, 1)) + string("a") + struct.pack("<IIQ", ARRAY, STRING, 2**60),
            "inside the 1152921504606846976 elements of 'a'",
        ),
        (
            gguf(counts=(0, 1)) + string("a") + struct.pack("<IIQ", ARRAY, F64, 2**61),
            "inside the 2305843009213693952 numbers of 'a'",
        ),
        (
            gguf(counts=(0, 1)) + string("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9,
            "unknown type 9",
        ),
    ],
)
def test_damage_is_named(opened, raw, message):
    with pytest.raises(CheckpointError) as error:
        opened(raw)
    assert message in error.value.message
    assert error.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read the GGUF file .*none\.gguf: No such file"):
        GGUFFile(tmp_path / "none.gguf")
    with pytest.raises(CheckpointError, match="cannot read the GGUF file"):
        GGUFFile(tmp_path)


def test_a_tensor_that_cannot_be_given_is_named(opened):
    file = opened(
        gguf([], [("q4", (32,), 2, bytes(18)), ("cut", (2**40, 2**40), 0, b""), ("vast", (2**63, 0), 0, b"")])
    )
    with pytest.raises(
        CheckpointError, match=r"the tensor 'q4' of .* has ggml type 2, which is quantised or unknown"
    ):
        file.tensor("q4")
    with pytest.raises(CheckpointError, match="inside the tensor 'cut'"):
        file.tensor("cut")
    with pytest.raises(CheckpointError, match=r"gives 'vast' the shape \(9223372036854775808, 0\)"):
        file.tensor("vast")
    with pytest.raises(CheckpointError, match="has no tensor 'other'; it has 3 tensors") as error:
        file.tensor("other")
    assert error.value.hint == "the first: q4"
    with pytest.raises(CheckpointError, match="it has 0 tensors"):
        opened(gguf()).tensor("other")


# -- tokenizers ------------------------------------------------------------------------------------------------

TOKENS = [BYTE_TO_CHARACTER[byte] for byte in BYTE_ORDER] + ["ab", "abc", "<|endoftext|>"]


def tokenizer_pairs(**changes) -> list[tuple]:
    pairs = {
        "model": (STRING, "gpt2"),
        "pre": (STRING, "gpt-2"),
        "tokens": (ARRAY, (STRING, TOKENS)),
        "token_type": (ARRAY, (I32, [1] * 258 + [3])),
        "merges": (ARRAY, (STRING, ["a b", "ab c"])),
        "bos_token_id": (U32, 258),
        "eos_token_id": (U32, 258),
    } | changes
    return [(f"tokenizer.ggml.{key}", *entry) for key, entry in pairs.items() if entry is not None]


def test_a_tokenizer(opened):
    tokenizer = read_tokenizer(opened(gguf(tokenizer_pairs())))
    assert tokenizer.encode("abcab") == [257, 256]
    assert (tokenizer.bos_id, tokenizer.eos_id) == (258, 258)
    with pytest.raises(TokenizerError, match="special token"):
        tokenizer.encode("<|endoftext|>")


@pytest.mark.parametrize("pre", ["llama-bpe", "default", "gpt-4o", None])
def test_another_pre_tokenizer_is_refused(opened, pre):
    file = opened(gguf(tokenizer_pairs(pre=(STRING, pre) if pre else None)))
    with pytest.raises(
        TokenizerError, match=f"model 'gpt2' and pre-tokenizer {pre!r}, which is not supported"
    ) as error:
        read_tokenizer(file)
    assert "'gpt-2' is" in error.value.hint


def test_another_model_is_refused(opened):
    with pytest.raises(TokenizerError, match="has model 'llama' and pre-tokenizer 'gpt-2'"):
        read_tokenizer(opened(gguf(tokenizer_pairs(model=(STRING, "llama")))))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": None}, CheckpointError, "has no key 'tokenizer.ggml.model'"),
        ({"tokens": None}, CheckpointError, "has no key 'tokenizer.ggml.tokens'"),
        ({"merges": None}, CheckpointError, "has no key 'tokenizer.ggml.merges'"),
        ({"token_type": None}, CheckpointError, "has no key 'tokenizer.ggml.token_type'"),
        (
            {"tokens": (ARRAY, (BOOL, [1]))},
            CheckpointError,
            "values that are not strings in 'tokenizer.ggml.tokens'",
        ),
        ({"tokens": (ARRAY, (U8, [1]))}, CheckpointError, "of type ndarray instead of list"),
        ({"token_type": (ARRAY, (I32, [1]))}, CheckpointError, "has 259 tokens but 1 token types"),
        ({"tokens": (ARRAY, (STRING, [*TOKENS[:-1], "a"]))}, TokenizerError, "has 1 of its tokens twice"),
        ({"merges": (ARRAY, (STRING, ["a b", "abc"]))}, TokenizerError, "merge 1 of .* is 'abc'"),
        ({"merges": (ARRAY, (STRING, ["a b c"]))}, TokenizerError, "merge 0 of .* is 'a b c'"),
        ({"merges": (ARRAY, (STRING, ["a b", "ab z"]))}, TokenizerError, "do not fit together"),
        (
            {"token_type": (ARRAY, (I32, [4] + [1] * 257 + [3]))},
            TokenizerError,
            "has 1 tokens .* '!' of type 4 first",
        ),
        ({"eos_token_id": (U32, 3)}, TokenizerError, "uses token 3 as eos, but 258 ends a text here"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(opened, changes, error, message):
    file = opened(gguf(tokenizer_pairs(**changes)))
    with pytest.raises(error, match=message):
        read_tokenizer(file)


# -- GPT-2's vocabulary ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2(shared_data):
    return read_tokenizer(shared_data / "ggml-vocab-gpt-2.gguf")


def test_gpt2s_vocabulary(gpt2):
    assert gpt2.vocab_size == 50_257
    assert len(gpt2.merges) == 50_000
    assert gpt2.merges[0] == (b" ", b"t")
    assert gpt2.special_tokens == {"<|endoftext|>": 50_256}
    assert (gpt2.bos_id, gpt2.eos_id, gpt2.pad_id) == (50_256, 50_256, 50_256)
    assert gpt2.encode("<|endoftext|>Hello world", allow_special=True) == [50_256, 15_496, 995]


def test_gpt2s_published_cases_line_by_line(gpt2, shared_data):
    # Read as bytes: some cases hold line ends of their own.
    texts = (shared_data / "ggml-vocab-gpt-2.gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = (shared_data / "ggml-vocab-gpt-2.gguf.out").read_text().splitlines()
    assert texts.pop() == ""  # the separator ends the last case too
    assert len(texts) == len(lines) == 46
    for text, line in zip(texts, lines, strict=True):
        assert gpt2.encode(text) == [int(number) for number in line.split()], repr(text)
        assert gpt2.decode(gpt2.encode(text)) == text


def test_gpt2s_published_counts_of_tinyshakespeare(gpt2, shared_data):
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    train, validation = gpt2.encode_batch([text[:cut], text[cut:]])
    assert (len(train), len(validation)) == (301_966, 36_059)
    assert gpt2.decode(train + validation) == text


def test_gpt2s_tokenizer_goes_through_our_file(gpt2, tmp_path):
    gpt2.save(tmp_path / "tokenizer.json")
    again = tokenizers.load(tmp_path / "tokenizer.json")
    assert again.fingerprint() == gpt2.fingerprint()
    assert again.merges == gpt2.merges
    assert again.encode("Führer, it's 3.14") == gpt2.encode("Führer, it's 3.14")
