"""Safetensors files: what is written opens in the library, what the library writes opens here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.artifact import find_tensors, load_metadata, load_tensors, save_tensors

ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        assert array.shape == theirs[name].shape
        assert array.tobytes() == theirs[name].tobytes()


@settings(max_examples=50, deadline=None)
@given(tensors=st.dictionaries(st.text(min_size=1, max_size=5).filter(lambda n: n != "__metadata__"), ARRAYS))
def test_what_is_written_opens_here_and_in_the_library(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("tensors") / "x.safetensors"
    save_tensors(path, tensors)
    equal(load_tensors(path), tensors)
    equal(load_file(path), tensors)


def test_what_the_library_writes_opens_here(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {"b": rng.normal(size=(3, 2)).astype("f4"), "a": np.arange(5), "empty": np.zeros((0, 3), "f2")}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "np"})
    equal(load_tensors(tmp_path / "x.safetensors"), tensors)
    assert load_metadata(tmp_path / "x.safetensors") == {"format": "np"}


def test_views_and_big_endian_arrays_are_stored_by_value(tmp_path):
    base = np.arange(12, dtype="f4").reshape(3, 4)
    save_tensors(tmp_path / "x", {"transposed": base.T, "strided": base[:, ::2], "big": base.astype(">f4")})
    loaded = load_file(tmp_path / "x")
    np.testing.assert_array_equal(loaded["transposed"], base.T)
    np.testing.assert_array_equal(loaded["strided"], base[:, ::2])
    np.testing.assert_array_equal(loaded["big"], base)


@pytest.mark.torch
def test_bfloat16_is_widened_exactly(tmp_path, torch):
    from safetensors.torch import save_file as save_torch

    x = torch.randn(64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    save_torch({"x": x}, tmp_path / "x")
    loaded = load_tensors(tmp_path / "x")["x"]
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, x.float().numpy())


def test_complex_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="complex128"):
        save_tensors(tmp_path / "x", {"z": np.zeros(2, complex)})


@pytest.mark.parametrize("keep", [0, 5, 8, 40, -1])
def test_a_truncated_file_is_named_as_such(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"x": np.zeros(100, "f4")})
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(CheckpointError, match=r"x\.safetensors is truncated") as caught:
        load_tensors(path)
    assert "again" in caught.value.hint


def test_a_missing_file_is_an_error_with_its_path(tmp_path):
    for read in (load_tensors, load_metadata):
        with pytest.raises(CheckpointError, match=r"cannot read .*absent: No such file"):
            read(tmp_path / "absent")


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"x": entry(dtype="F8_E4M3", offsets=(0, 8))}, "x has type F8_E4M3, which is not supported"),
        ({"x": entry(shape=(3,))}, r"x has 8 bytes, which do not fit shape \[3\] of F32"),
        ({"x": entry(shape=(-2,))}, r"malformed shape: \[-2\]"),
        ({"x": entry(), "y": entry()}, "overlap or leave gaps"),
        ({"x": entry(offsets=(-8, 0))}, "header is malformed"),
        ({"x": {"dtype": "F32"}}, "header is malformed"),
        ([1], "header is malformed"),
        ({"x": entry(shape=(1,), offsets=(0, 4))}, "malformed: "),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, header, message):
    encoded = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(8))
    with pytest.raises(CheckpointError, match=message):
        load_tensors(tmp_path / "x")


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    with pytest.raises(CheckpointError, match="header"):
        load_tensors(tmp_path / "x")


def test_an_array_can_be_read_when_it_is_needed_and_in_part(tmp_path):
    path = tmp_path / "x.safetensors"
    content = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array(7, np.int8)}
    save_tensors(path, content)
    found = find_tensors(path)
    assert {name: (t.shape, t.dtype) for name, t in found.items()} == {
        "a": ((3, 4), np.float32),
        "b": ((), np.int8),
    }
    equal({name: t.read() for name, t in found.items()}, content)
    assert np.array_equal(found["a"][5:9], [5, 6, 7, 8])
    path.write_bytes(path.read_bytes()[:-20])
    assert np.array_equal(found["a"][0:4], range(4))
    with pytest.raises(CheckpointError, match="ends inside a"):
        found["a"].read()
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot read"):
        found["a"].read()
    with pytest.raises(CheckpointError, match="cannot read"):
        find_tensors(path)
