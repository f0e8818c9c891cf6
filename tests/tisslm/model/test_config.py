"""Architectures that cannot exist are refused when they are configured, with the way out in the message."""

import pytest
from pydantic import ValidationError

from quanta_tissu.tisslm.config import ModelConfig


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match=r"d_model = 100 is not divisible by model\.n_heads = 8.*96"):
        ModelConfig(d_model=100, n_heads=8)


def test_key_value_heads_must_divide_the_heads():
    with pytest.raises(ValidationError, match=r"n_kv_heads = 3; choose n_kv_heads among \[1, 2, 4, 8\]"):
        ModelConfig(d_model=64, n_heads=8, n_kv_heads=3)


def test_rotary_positions_need_pairs():
    with pytest.raises(ValidationError, match=r"d_model / n_heads must be even; it is 5 \(15 / 3\)"):
        ModelConfig(d_model=15, n_heads=3)
    assert ModelConfig(d_model=15, n_heads=3, positions="none").head_dim == 5


def test_sinusoidal_positions_need_an_even_width():
    with pytest.raises(ValidationError, match=r"even model\.d_model; it is 15"):
        ModelConfig(d_model=15, n_heads=3, positions="sinusoidal")


def test_widths_that_are_not_given_are_derived():
    assert ModelConfig(d_model=128, feed_forward="gelu").ff_width == 512
    assert ModelConfig(d_model=128, feed_forward="swiglu").ff_width == 352  # 8/3·128 = 341.3, up to 11·32
    assert ModelConfig(d_model=128, d_ff=200).ff_width == 200
    assert ModelConfig(n_heads=8).kv_heads == 8
    assert ModelConfig(n_heads=8, n_kv_heads=2).kv_heads == 2


def test_each_dropout_falls_back_to_the_common_one():
    config = ModelConfig(dropout=0.2, attention_dropout=0.0)
    assert config.dropout_of("attention") == 0.0
    assert config.dropout_of("residual") == config.dropout_of("embedding") == 0.2
