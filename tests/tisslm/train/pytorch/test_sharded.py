"""The layouts of the weights, in a group of one process: what several do is in test_distributed.py."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError, TrainingError
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.model.deferred import Deferred
from quanta_tissu.tisslm.train.checkpoint import load_resumable
from quanta_tissu.tisslm.train.step import TrainStep
from quanta_tissu.tisslm.train.world import make_world

pytestmark = pytest.mark.torch

TRAIN = {"engine": "torch", "replicas": None, "checkpoint_interval": 3, "keep_checkpoints": 9, "ema_decay": 0.9}
MODEL = {"bias": True, "dropout": 0.1}


@pytest.fixture
def group(monkeypatch):
    """The environment of torchrun with one process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def trained(config, make_trainer, recorder):
    """`trained(parallel=...)`: the losses of a tiny run and its trainer, in a group of one."""

    def run(out="run", resumed=None, model=MODEL, optimizer=None, **torch):
        settings = config(model=model, optimizer=optimizer or {}, train=TRAIN, torch=torch)
        first = len(recorder.losses)
        with make_world(settings) as world:
            trainer = make_trainer(settings, out=out, callbacks=[recorder], resumed=resumed, world=world)
            trainer.run()
            trainer.gradients = trainer.replicas.host_gradients(trainer.replicas.weights.gradients)
        return recorder.losses[first:], trainer

    return run


@pytest.fixture
def alone(trained):
    """What training without a group comes to."""
    return trained("alone", parallel="none")


@pytest.mark.parametrize(
    ("mode", "sharded"), [("ddp", False), ("fsdp", False), ("fsdp", True), ("tensor", False), ("tensor", True)]
)
def test_every_layout_trains_the_same_and_saves_the_same(group, alone, trained, mode, sharded):
    losses, trainer = trained(parallel=mode, sharded_checkpoints=sharded)
    np.testing.assert_allclose(losses, alone[0], rtol=1e-6)
    found, expected = (load_resumable(t.out_dir / "step-6") for t in (trainer, alone[1]))
    for name, buffer in expected.buffers.items():
        np.testing.assert_allclose(found.buffers[name], buffer, atol=1e-5 * np.abs(buffer).max())
    for name, gradient in alone[1].gradients.items():
        np.testing.assert_allclose(trainer.gradients[name], gradient, atol=1e-6)
    rest, _ = trained(
        "run", load_resumable(trainer.out_dir / "step-3"), parallel=mode, sharded_checkpoints=sharded
    )
    np.testing.assert_allclose(rest, losses[3:], rtol=1e-6)


@pytest.mark.parametrize("mode", ["fsdp", "tensor"])
def test_no_process_ever_has_the_whole(group, config, monkeypatch, mode):
    from quanta_tissu.tisslm.train.pytorch.replica import TorchReplica

    settings = config(model=MODEL, train=TRAIN, torch={"parallel": mode})
    expected = Decoder.initialise(settings.model, settings.train.seed).parameters
    asked = []
    make = Deferred.__getitem__
    monkeypatch.setattr(Deferred, "__getitem__", lambda self, span: asked.append(span.start) or make(self, span))
    monkeypatch.delattr(Deferred, "__array__")  # which gives the whole
    with make_world(settings) as world:
        decoder = Decoder.deferred(settings.model, settings.train.seed)
        replica = TorchReplica(settings, decoder, world)
        step = TrainStep(settings, replica)
        assert asked == [span.start for span in expected.slices.values()]  # one after the other, once
        assert np.array_equal(replica.to_host().flat, expected.flat)
        other = Decoder.deferred(settings.model, 9).parameters
        replica.from_host(other)
        step.optimizer.load_state_dict(dict.fromkeys(("first_moment", "second_moment"), other.flat), 3)
        found = [replica.to_host().flat, *step.optimizer.state_dict().values()]
        assert replica.parameters == replica.gradients == {}
    for flat in found:
        assert np.array_equal(flat, Decoder.initialise(settings.model, 9).parameters.flat)


@pytest.mark.parametrize("mode", ["fsdp", "tensor"])
@pytest.mark.parametrize("rule", [{}, {"nesterov": False, "layer_decay": 0.8}], ids=["nesterov", "layer decay"])
def test_muon_puts_every_matrix_together_for_its_step(group, trained, mode, rule):
    optimizer = {"name": "muon", "muon_learning_rate": 0.02, **rule}
    expected, one = trained("alone", optimizer=optimizer, parallel="none")
    losses, trainer = trained("run", optimizer=optimizer, parallel=mode)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    found, wanted = (load_resumable(t.out_dir / "step-6").buffers for t in (trainer, one))
    for name in wanted:
        buffer = np.asarray(wanted[name])
        np.testing.assert_allclose(found[name], buffer, atol=1e-5 * np.abs(buffer).max())


def test_processes_that_do_not_make_whole_groups_are_refused(group, config, make_trainer):
    settings = config(train=TRAIN, torch={"parallel": "tensor", "tensor_processes": 3})
    with make_world(settings) as world, pytest.raises(ConfigError, match="3, which does not divide the 1") as e:
        make_trainer(settings, world=world)
    assert "a multiple of 3" in e.value.hint


def test_what_the_processes_of_a_group_tell_each_other(group, config):
    with make_world(config(train=TRAIN, torch={"parallel": "ddp"})) as world:
        assert (world.rank, world.size, world.main) == (0, 1, True)
        assert world.largest([1.0, 2.5]) == world.total([1.0, 2.5]) == [1.0, 2.5]
        assert world.told("where to") == "where to"
        assert world.in_turn(lambda: 7) == 7


def test_errors_of_communication_are_told_from_others(group, config):
    with make_world(config(train=TRAIN, torch={"parallel": "ddp"})) as world:
        told = world.explain(
            RuntimeError("[gloo/pair.cc:534] Connection closed by peer [10.0.0.2]:4711\nframe #0")
        )
        assert isinstance(told, TrainingError)
        assert told.message.endswith("Connection closed by peer [10.0.0.2]:4711")
        assert "--resume" in told.hint
        assert world.explain(RuntimeError("shapes do not match")) is None
        assert world.explain(ValueError("timed out")) is None


def test_a_lost_process_ends_the_run_with_that_error(group, config, make_trainer, monkeypatch):
    settings = config(train=TRAIN, torch={"parallel": "ddp"})
    with make_world(settings) as world:
        trainer = make_trainer(settings, world=world)
        for text, error in (("Connection reset by peer", TrainingError), ("a bug of ours", RuntimeError)):
            monkeypatch.setattr(
                world, "largest", lambda values, text=text: (_ for _ in ()).throw(RuntimeError(text))
            )
            with pytest.raises(error, match="has lost another one" if error is TrainingError else text):
                trainer.run()
