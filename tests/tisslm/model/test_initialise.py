"""Initial values have the variance that their papers ask for."""

from zlib import crc32

import numpy as np
import pytest

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder, ParameterSpec
from quanta_tissu.tisslm.model.initialise import draw

SIZES = {"vocab_size": 300, "d_model": 256, "n_heads": 8, "n_kv_heads": 2, "n_layers": 3, "feed_forward": "relu"}
QKV, OUT, UP = (f"model.layers.1.{n}.weight" for n in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.up_proj"))


@pytest.mark.parametrize(
    ("init", "qkv", "out"),
    [
        ("gpt2", 0.02, 0.02),
        ("kaiming", np.sqrt(2 / 256), np.sqrt(2 / 256)),
        ("xavier", np.sqrt(2 / (256 + 256)), np.sqrt(2 / (256 + 256))),
    ],
)
def test_standard_deviations(init, qkv, out):
    parameters = Decoder.initialise(ModelConfig(init=init, **SIZES), seed=1).parameters
    queries = parameters[QKV][:256]
    assert queries.std() == pytest.approx(qkv, rel=0.02)
    assert abs(queries.mean()) < 4 * qkv / np.sqrt(queries.size)
    assert parameters[OUT].std() == pytest.approx(out / np.sqrt(2 * 3), rel=0.02)
    assert parameters["model.embed_tokens.weight"].std() == pytest.approx(0.02, rel=0.02)
    assert (parameters["model.norm.weight"] == 1).all()


def test_xavier_sees_each_packed_matrix():
    parameters = Decoder.initialise(ModelConfig(init="xavier", **SIZES), seed=1).parameters
    keys = parameters[QKV][256 : 256 + 64]
    limit = np.sqrt(6 / (256 + 64))
    assert np.abs(keys).max() == pytest.approx(limit, rel=1e-3)


def test_a_parameter_does_not_depend_on_which_others_exist():
    small = Decoder.initialise(ModelConfig(**SIZES), seed=5).parameters
    deep = Decoder.initialise(ModelConfig(**{**SIZES, "bias": True, "positions": "learned"}), seed=5).parameters
    np.testing.assert_array_equal(small[QKV], deep[QKV])
    assert not np.array_equal(small[QKV], Decoder.initialise(ModelConfig(**SIZES), seed=6).parameters[QKV])


def test_large_matrices_are_drawn_in_blocks_which_changes_nothing():
    spec = ParameterSpec("large", (700, 1000), "embedding")
    found = draw(spec, ModelConfig(**SIZES), 5, np.empty(spec.shape, np.float32))
    rng = np.random.default_rng([5, crc32(b"large")])
    np.testing.assert_array_equal(found, (rng.standard_normal(spec.shape) * 0.02).astype(np.float32))
