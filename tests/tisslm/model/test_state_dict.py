"""Names and layouts of Hugging Face: every architecture goes there and comes back bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.model.state_dict import family_of, from_state_dict, to_state_dict

TINY = {"vocab_size": 11, "context_length": 6, "n_layers": 2, "d_model": 16, "n_heads": 4}
LLAMA = ModelConfig(**TINY, n_kv_heads=2)
GPT2 = ModelConfig(**TINY, norm="layer_norm", positions="learned", feed_forward="gelu")


def decoder(config):
    """All parameters random, norms and biases too, so that nothing can be mixed up unnoticed."""
    model = Decoder.initialise(config, seed=1)
    rng = np.random.default_rng(2)
    for array in model.parameters.values():
        array[...] = rng.normal(size=array.shape)
    return model


def vary(config, **changes):
    return ModelConfig.model_validate(config.model_dump() | changes)


@pytest.mark.parametrize(
    ("base", "changes", "family"),
    [
        (LLAMA, {}, "llama"),
        (LLAMA, {"bias": True}, "llama"),
        (LLAMA, {"rope_interleaved": True, "n_kv_heads": 1, "tie_embeddings": False}, "llama"),
        (LLAMA, {"sliding_window": 3}, "mistral"),
        (LLAMA, {"sliding_window": 3, "bias": True}, "tissu"),
        (LLAMA, {"norm_placement": "post"}, "tissu"),
        (LLAMA, {"norm": "layer_norm"}, "tissu"),
        (LLAMA, {"positions": "none"}, "tissu"),
        (LLAMA, {"feed_forward": "gelu"}, "tissu"),
        (GPT2, {}, "gpt2"),
        (GPT2, {"feed_forward": "gelu_tanh", "bias": True}, "gpt2"),
        (GPT2, {"feed_forward": "relu", "tie_embeddings": False}, "gpt2"),
        (GPT2, {"n_kv_heads": 2}, "tissu"),
        (GPT2, {"sliding_window": 3}, "tissu"),
        (GPT2, {"positions": "sinusoidal"}, "tissu"),
        (GPT2, {"feed_forward": "swiglu"}, "tissu"),
        (GPT2, {"norm_placement": "post"}, "tissu"),
    ],
)
def test_the_family_is_the_one_that_computes_the_same(base, changes, family):
    assert family_of(vary(base, **changes)) == family


@pytest.mark.parametrize(
    "config",
    [
        vary(base, bias=bias, tie_embeddings=tied, n_kv_heads=kv, rope_interleaved=interleaved)
        for base, bias, tied, kv, interleaved in itertools.product(
            [LLAMA, GPT2, vary(LLAMA, norm_placement="post")], [False, True], [False, True], [4, 2], [False, True]
        )
    ],
    ids=lambda c: f"{family_of(c)}-bias={c.bias}-tied={c.tie_embeddings}-kv={c.kv_heads}-il={c.rope_interleaved}",
)
def test_parameters_return_bit_for_bit(config):
    model = decoder(config)
    tensors = to_state_dict(config, model.parameters)
    returned = from_state_dict(config, tensors, origin="x")
    np.testing.assert_array_equal(returned.flat, model.parameters.flat)
    assert ("lm_head.weight" in tensors) == (not config.tie_embeddings)


def test_llama_tensors_have_their_names_and_shapes():
    tensors = to_state_dict(LLAMA, decoder(LLAMA).parameters)
    layer = {name.removeprefix("model.layers.1."): t.shape for name, t in tensors.items() if ".1." in name}
    assert layer == {
        "input_layernorm.weight": (16,),
        "self_attn.q_proj.weight": (16, 16),
        "self_attn.k_proj.weight": (8, 16),
        "self_attn.v_proj.weight": (8, 16),
        "self_attn.o_proj.weight": (16, 16),
        "post_attention_layernorm.weight": (16,),
        "mlp.gate_proj.weight": (64, 16),
        "mlp.up_proj.weight": (64, 16),
        "mlp.down_proj.weight": (16, 64),
    }
    assert {name for name in tensors if "layers" not in name} == {"model.embed_tokens.weight", "model.norm.weight"}


def test_gpt2_tensors_have_their_names_and_shapes_and_zeros_for_absent_biases():
    model = decoder(GPT2)
    tensors = to_state_dict(GPT2, model.parameters)
    layer = {name.removeprefix("transformer.h.1."): t.shape for name, t in tensors.items() if ".1." in name}
    assert layer == {
        "ln_1.weight": (16,),
        "ln_1.bias": (16,),
        "attn.c_attn.weight": (16, 48),
        "attn.c_attn.bias": (48,),
        "attn.c_proj.weight": (16, 16),
        "attn.c_proj.bias": (16,),
        "ln_2.weight": (16,),
        "ln_2.bias": (16,),
        "mlp.c_fc.weight": (16, 64),
        "mlp.c_fc.bias": (64,),
        "mlp.c_proj.weight": (64, 16),
        "mlp.c_proj.bias": (16,),
    }
    outside = {name for name in tensors if ".h." not in name}
    assert outside == {f"transformer.{name}" for name in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")}
    assert all(not t.any() for name, t in tensors.items() if name.endswith(".bias"))


def test_rows_are_split_where_queries_keys_and_values_end():
    model = decoder(LLAMA)
    packed = model.parameters["model.layers.0.self_attn.qkv_proj.weight"]
    tensors = to_state_dict(LLAMA, model.parameters)
    q, k, v = (tensors[f"model.layers.0.self_attn.{name}_proj.weight"] for name in "qkv")
    np.testing.assert_array_equal(np.concatenate([q, k, v]), packed)


def test_interleaved_rotary_is_the_half_split_one_with_rows_in_another_order():
    """The half-split model on the stored weights gives the interleaved model's logits."""
    config = vary(LLAMA, rope_interleaved=True, bias=True)
    model = decoder(config)
    half_split = vary(config, rope_interleaved=False)
    stored = from_state_dict(half_split, to_state_dict(config, model.parameters), origin="x")
    ids = np.array([[3, 1, 4, 1, 5, 9]])
    ours = Decoder(config, model.parameters.astype(np.float64)).forward(ids)
    theirs = Decoder(half_split, stored.astype(np.float64)).forward(ids)
    np.testing.assert_allclose(theirs, ours, rtol=1e-12)
    wrong = Decoder(half_split, model.parameters.astype(np.float64)).forward(ids)
    assert np.abs(wrong - ours).max() > 1e-3


def test_a_missing_and_a_superfluous_tensor_are_named():
    tensors = to_state_dict(LLAMA, decoder(LLAMA).parameters)
    tensors["model.norm.bias"] = tensors.pop("model.norm.weight")
    with pytest.raises(CheckpointError) as caught:
        from_state_dict(LLAMA, tensors, origin="there")
    assert "there: the tensors are not those of the architecture" in caught.value.message
    assert "1 missing, model.norm.weight for example" in caught.value.message
    assert "1 that the architecture does not have, model.norm.bias for example" in caught.value.message


def test_a_wrong_shape_is_named_with_both_shapes():
    tensors = to_state_dict(LLAMA, decoder(LLAMA).parameters)
    with pytest.raises(CheckpointError) as caught:
        from_state_dict(vary(LLAMA, n_kv_heads=4), tensors, origin="there")
    assert caught.value.message == (
        "there: model.layers.0.self_attn.k_proj.weight has shape (8, 16), the architecture needs (16, 16)"
    )


def test_a_bias_that_would_be_dropped_is_refused():
    tensors = to_state_dict(vary(GPT2, bias=True), decoder(vary(GPT2, bias=True)).parameters)
    with pytest.raises(CheckpointError, match=r"bias is not zero, but the configuration says .* no biases"):
        from_state_dict(GPT2, tensors, origin="there")
