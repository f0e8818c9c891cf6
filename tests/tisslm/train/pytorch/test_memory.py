"""A run that cannot fit on the device is refused before it begins."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train import train
from quanta_tissu.tisslm.train.world import World

pytestmark = pytest.mark.torch

GPT2 = ModelConfig(
    vocab_size=50_257,
    context_length=64,
    n_layers=12,
    d_model=768,
    n_heads=12,
    norm="layer_norm",
    feed_forward="gelu_tanh",
    positions="learned",
    bias=True,
)
WEIGHTS = 4 * sum(spec.size for spec in Decoder.specs(GPT2))


def least(config, processes=1, batch_size=2, model=GPT2, **settings):
    from quanta_tissu.tisslm.train.pytorch.memory import least_memory

    trained = {"engine": "torch", "replicas": None, "batch_size": batch_size, **settings.pop("train", {})}
    return least_memory(config(train=trained, **settings), model, processes)


def test_weights_gradients_and_moments_are_held_by_each_or_shared_out(config):
    assert least(config) == 4 * WEIGHTS
    assert least(config, 2, torch={"parallel": "ddp"}) == 4 * WEIGHTS
    assert least(config, 2, torch={"parallel": "fsdp"}) == pytest.approx(2 * WEIGHTS, rel=1e-6)
    assert least(config, train={"ema_decay": 0.9}) == 5 * WEIGHTS
    assert least(config, optimizer={"name": "lion"}) == 3 * WEIGHTS
    blocks = 4 * sum(s.size for s in Decoder.specs(GPT2) if s.layer is not None)
    assert least(config, 4, torch={"parallel": "tensor"}) == 4 * (WEIGHTS - blocks * 3 // 4)
    pairs = {"parallel": "tensor", "tensor_processes": 2}
    assert least(config, 4, torch=pairs) == 4 * (WEIGHTS - blocks // 2)


def test_the_loss_of_a_large_batch_takes_more_than_the_gradients(config):
    tokens = 64 * 64
    passes = tokens * (4 * 12 * 768 + 8 * 50_257)
    assert least(config, batch_size=64) == 3 * WEIGHTS + passes
    assert least(config, 2, batch_size=64, torch={"parallel": "ddp"}) == 3 * WEIGHTS + passes // 2
    half = tokens * (4 * 12 * 768 + 6 * 50_257)
    assert least(config, batch_size=64, train={"precision": "bfloat16"}) == 3 * WEIGHTS + half


def test_a_run_that_cannot_fit_is_refused_and_one_whose_room_is_not_known_is_not(config):
    from quanta_tissu.tisslm.train.pytorch.memory import require_device_memory

    settings = config(train={"engine": "torch", "replicas": None, "batch_size": 2})
    for available in (None, 4 * WEIGHTS):
        require_device_memory(settings, GPT2, World(), available)
    with pytest.raises(TrainingError, match=r"at least 2\.0 GB in each process, of which 979\.2 MB") as error:
        require_device_memory(settings, GPT2, World(), 1_000_000_000)
    assert "fsdp" in error.value.hint


def test_processes_of_a_host_share_its_memory(config, monkeypatch):
    from quanta_tissu.tisslm.train.pytorch import memory

    settings = config(train={"engine": "torch", "replicas": None}, torch={"device": "cpu"})
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    assert memory.available_on_device(settings, World()) == 1000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.available_on_device(settings, World()) == 250
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.available_on_device(settings, World()) is None


def test_training_looks_before_it_prepares_anything(configured, monkeypatch, tmp_path):
    from quanta_tissu.tisslm.train.pytorch import memory

    monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
    with pytest.raises(TrainingError, match="takes at least"):
        train(configured({"torch.device": "cpu"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
