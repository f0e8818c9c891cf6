"""How many processes train together, and which configurations suit that."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import ConfigError, MissingDependencyError
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.train.world import World, make_world, process_rank, started_by_torchrun


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def two(monkeypatch, rank="1"):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")


def settings(engine="torch", **torch):
    return Config.model_validate({"train": {"engine": engine}, "torch": torch})


def test_one_process_decides_alone():
    with make_world(settings("reference")) as world:
        assert (world.rank, world.size, world.main) == (0, 1, True)
        assert world.largest([1.0, 2.0]) == [1.0, 2.0]
        assert world.in_turn(lambda: "done") == "done"
        assert world.explain(RuntimeError("gloo")) is None
    assert not started_by_torchrun()
    assert process_rank() == 0


def test_the_rank_is_what_torchrun_says(monkeypatch):
    two(monkeypatch)
    assert started_by_torchrun()
    assert process_rank() == 1


def test_numpy_engines_train_in_one_process(monkeypatch):
    two(monkeypatch)
    with pytest.raises(ConfigError, match="torchrun has started 2 processes, but the fast engine") as caught:
        make_world(settings("fast"))
    assert "torch.parallel" in caught.value.hint


def test_several_processes_must_be_told_what_to_share(monkeypatch):
    two(monkeypatch)
    with pytest.raises(ConfigError, match=r"2 processes, but torch.parallel = none"):
        make_world(settings())


def test_parallel_training_is_started_by_torchrun():
    with pytest.raises(
        ConfigError, match=r"torch.parallel = fsdp is for processes that torchrun starts"
    ) as caught:
        make_world(settings(parallel="fsdp"))
    assert "torchrun --nproc-per-node 2 -m quanta_tissu train" in caught.value.hint


def test_one_process_may_be_one_of_one(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert type(make_world(settings())) is World


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"engine": "fast"}, "torch": {"compile": True}}, "torch.compile = True"),
        ({"train": {"engine": "reference"}, "torch": {"device": "cuda"}}, "only the torch engine knows"),
        ({"train": {"engine": "torch", "replicas": 2}}, "train.replicas = 2 means nothing"),
        (
            {"train": {"engine": "torch"}, "torch": {"sharded_checkpoints": True}},
            "every process holds all weights",
        ),
        (
            {"train": {"engine": "torch"}, "torch": {"parallel": "fsdp", "tensor_processes": 2}},
            "torch.tensor_processes = 2 means nothing to torch.parallel = fsdp",
        ),
        ({"train": {"engine": "fast", "precision": "bfloat16"}}, "bfloat16 is not known to train.engine = fast"),
    ],
)
def test_settings_that_an_engine_would_ignore_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Config.model_validate(values)


def test_training_without_pytorch_says_what_to_install(monkeypatch, config, make_trainer):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(MissingDependencyError, match="needs PyTorch"):
        make_trainer(config(train={"engine": "torch", "replicas": None}))
