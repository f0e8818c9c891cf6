"""A resumed run equals the uninterrupted one bit for bit."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError, TrainingError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.train.callbacks import Callback
from quanta_tissu.tisslm.train.checkpoint import load_resumable

EVERYTHING = {
    "model": {"dropout": 0.2},
    "data": {"windows": "strided", "stride": 5},
    "train": {
        "max_steps": 14,
        "gradient_accumulation": 3,
        "batch_ramp_steps": 8,
        "batch_ramp_start": 1,
        "ema_decay": 0.9,
        "label_smoothing": 0.1,
        "z_loss": 1e-4,
        "spike_threshold": 3.0,
        "clip_value": 0.5,
        "checkpoint_interval": 5,
        "keep_checkpoints": 9,
        "eval_interval": 3,
        "early_stopping_patience": 50,
        "replicas": 2,
    },
}

TIMES = {"seconds", "step_seconds", "tokens_per_second", "memory_bytes", "created"}


def checkpoint_content(directory):
    """Everything in a checkpoint that does not tell the time."""
    state = json.loads((directory / "trainer_state.json").read_text())
    tensors = {
        f"{file}:{name}": array.tobytes()
        for file in ("model.safetensors", "optimizer.safetensors")
        for name, array in artifact.load_tensors(directory / file).items()
    }
    return {k: v for k, v in state.items() if k not in TIMES}, tensors


def metrics(trainer):
    lines = [json.loads(line) for line in (trainer.out_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


class StopAt(Callback):
    """Presses Ctrl-C during a step."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def on_step(self, report):
        if report.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("engine", "stop"), [("fast", 1), ("fast", 4), ("fast", 7), ("fast", 12), ("reference", 7)]
)
def test_interrupted_and_resumed_equals_uninterrupted(config, make_trainer, engine, stop):
    settings = config(**{**EVERYTHING, "train": {**EVERYTHING["train"], "engine": engine}})
    whole = make_trainer(settings, out="whole")
    expected = whole.run()

    first = make_trainer(settings, out="parts", callbacks=[StopAt(stop)])
    assert first.run().stopped == "interrupted"
    # Another seed for the fresh weights shows that none of them survive.
    second = make_trainer(settings, out="parts", resumed=load_resumable(first.out_dir), seed=99)
    result = second.run()

    assert (result.step, result.train_loss, result.val_loss, result.best_val_loss) == (
        expected.step,
        expected.train_loss,
        expected.val_loss,
        expected.best_val_loss,
    )
    state, tensors = checkpoint_content(whole.out_dir / "step-14")
    resumed_state, resumed_tensors = checkpoint_content(second.out_dir / "step-14")
    assert resumed_state == state
    assert resumed_tensors == tensors
    assert [line for line in metrics(second) if line["kind"] != "message"] == [
        line for line in metrics(whole) if line["kind"] != "message"
    ]
    best = [artifact.read(t.out_dir / "best").decoder.parameters.flat for t in (whole, second)]
    assert np.array_equal(*best)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_float16_resumes_with_its_loss_scale(config, make_trainer, recorder, engine):
    """The scale has overflowed and grown before the stop, and is in the middle of its interval there."""
    half = {"engine": engine, "precision": "float16", "loss_scale": 2.0**20, "loss_scale_interval": 3}
    settings = config(
        model={"dropout": 0.2},
        train={**half, "recompute": True, "max_steps": 20, "checkpoint_interval": 1, "keep_checkpoints": 20},
    )
    whole = make_trainer(settings, out="whole", callbacks=[recorder])
    whole.run()
    scales = [report.loss_scale for report in recorder.steps]
    assert {b / a for a, b in itertools.pairwise(scales[:10])} == {0.5, 1, 2}
    saved = (load_resumable(whole.out_dir / f"step-{step}") for step in range(10, 20))
    stopped = next(resumed for resumed in saved if resumed.state.loss_scale_good_steps)
    resumed = make_trainer(settings, out="other", resumed=stopped, seed=5)
    resumed.run()
    assert checkpoint_content(resumed.out_dir / "step-20") == checkpoint_content(whole.out_dir / "step-20")
    assert metrics(resumed)[-1] == metrics(whole)[-1]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "lion", "muon"])
def test_every_optimizer_resumes_exactly(config, make_trainer, optimizer):
    settings = config(optimizer={"name": optimizer, "learning_rate": 1e-3}, train={"checkpoint_interval": 3})
    trainer = make_trainer(settings, out="whole")
    trainer.run()
    resumed = make_trainer(settings, out="other", resumed=load_resumable(trainer.out_dir / "step-3"), seed=5)
    resumed.run()
    assert checkpoint_content(resumed.out_dir / "step-6") == checkpoint_content(trainer.out_dir / "step-6")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_step_saves_and_says_how_to_go_on(config, make_trainer, recorder, number):
    trainer = make_trainer(config(train={"max_steps": 50}), callbacks=[StopAt(7, number), recorder])
    result = trainer.run()
    assert (result.step, result.stopped) == (7, "interrupted")
    assert result.resume_command == f"tissu train --resume {trainer.out_dir}"
    assert result.resume_command in recorder.messages[-1].text
    assert load_resumable(trainer.out_dir).state.step == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_during_a_validation_leaves_it_to_the_resumed_run(config, make_trainer, recorder):
    trainer = make_trainer(config(), callbacks=[StopAt(3)])
    assert trainer.run().val_loss is not None
    resumed = make_trainer(config(), callbacks=[recorder], resumed=load_resumable(trainer.out_dir))
    resumed.run()
    assert [e.step for e in recorder.evaluations] == [3, 6]


def test_the_number_of_replicas_is_that_of_the_run_and_another_one_is_not_ignored_in_silence(
    config, make_trainer, recorder
):
    trainer = make_trainer(config(train={"replicas": 3}), callbacks=[recorder])
    trainer.run()
    assert recorder.messages == []
    changed = config(train={"replicas": 1, "max_steps": 7})
    resumed = make_trainer(changed, resumed=load_resumable(trainer.out_dir), callbacks=[recorder])
    resumed.run()
    assert resumed.replicas.count == 3
    assert [m.text for m in recorder.messages if "train.replicas stays 3" in m.text]


def test_a_finished_run_can_be_prolonged(config, make_trainer, recorder):
    trainer = make_trainer(config())
    trainer.run()
    again = make_trainer(config(), resumed=load_resumable(trainer.out_dir), callbacks=[recorder])
    result = again.run()
    assert (result.step, result.stopped, recorder.steps) == (6, "finished", [])
    longer = make_trainer(
        config(train={"max_steps": 8}), resumed=load_resumable(trainer.out_dir), callbacks=[recorder]
    )
    assert longer.run().step == 8
    assert [s.step for s in recorder.steps] == [7, 8]


def test_going_back_sets_later_checkpoints_aside_and_keeps_a_better_best(config, make_trainer, recorder):
    settings = config(train={"checkpoint_interval": 2, "keep_checkpoints": 5})
    trainer = make_trainer(settings)
    result = trainer.run()
    worse = config(
        train={"checkpoint_interval": 2, "keep_checkpoints": 5, "max_steps": 3}, optimizer={"learning_rate": 1e-9}
    )
    for _ in range(2):
        back = make_trainer(worse, resumed=load_resumable(trainer.out_dir / "step-2"), callbacks=[recorder])
        back.run()
    names = {path.name for path in trainer.out_dir.iterdir()}
    assert names >= {"step-2", "step-3", "abandoned-step-4", "abandoned-step-6", "abandoned-step-3"}
    assert "step-4" not in names
    assert artifact.read(trainer.out_dir / "best").manifest["metrics"]["val_loss"] == result.best_val_loss
    assert any("set aside" in m.text for m in recorder.messages)
    assert {line["step"] for line in metrics(back)} == {0, 1, 2, 3}


def test_other_architectures_optimizers_and_averages_are_refused(config, make_trainer):
    trainer = make_trainer(config())
    trainer.run()
    before = set(threading.enumerate())
    for change, message in [
        ({"model": {"n_layers": 3}}, r"model.n_layers = 2 \(now 3\)"),
        ({"model": {"feed_forward": "relu"}}, "model.feed_forward = swiglu"),
        ({"optimizer": {"name": "adam"}}, "optimizer.name = adamw, not adam"),
        ({"train": {"ema_decay": 0.9}}, "without an average"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            make_trainer(config(**change), resumed=load_resumable(trainer.out_dir))
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_learning_rate_and_length_may_change(config, make_trainer, recorder):
    trainer = make_trainer(config())
    trainer.run()
    changed = config(optimizer={"learning_rate": 0.5}, train={"max_steps": 7, "batch_size": 2})
    resumed = make_trainer(changed, resumed=load_resumable(trainer.out_dir), callbacks=[recorder])
    assert resumed.plan.step(6).start == 24
    resumed.run()
    assert recorder.steps[0].learning_rate == pytest.approx(0.5, rel=0.95)


def test_a_full_disk_while_saving_is_a_training_error_and_loses_nothing(config, make_trainer, monkeypatch):
    trainer = make_trainer(config(train={"checkpoint_interval": 2, "eval_interval": 50, "max_steps": 20}))
    fsync, full = os.fsync, []

    def disk(descriptor):
        if full:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    class Fill(Callback):
        def on_step(self, report):
            if report.step == 5:
                full.append(True)

    monkeypatch.setattr(os, "fsync", disk)
    trainer.callbacks._active.append(Fill())
    with pytest.raises(TrainingError, match="step 6: the disk is full") as error:
        trainer.run()
    assert f"--resume {trainer.out_dir}" in error.value.hint
    full.clear()
    assert load_resumable(trainer.out_dir).state.step == 4
    assert sorted(p.name for p in trainer.out_dir.glob("*step-*")) == ["step-2", "step-4"]
