from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.train.callbacks import Callback
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.schedules import learning_rate_factor


def lines(trainer, kind=None, file="metrics.jsonl"):
    found = [json.loads(line) for line in (trainer.out_dir / file).read_text().splitlines()]
    return [line for line in found if kind is None or line["kind"] == kind]


def test_training_learns(config, make_trainer, recorder):
    settings = {"max_steps": 60, "eval_interval": 20, "batch_size": 8}
    trainer = make_trainer(config(train=settings), callbacks=[recorder])
    result = trainer.run()
    assert recorder.evaluations[0].step == 0
    assert recorder.evaluations[0].val_loss == pytest.approx(math.log(11), abs=0.1)
    assert [e.step for e in recorder.evaluations] == [0, 20, 40, 60]
    assert result.val_loss < 1.2
    assert result.step == 60
    assert result.tokens == 60 * 8 * 8
    assert result.stopped == "finished"
    assert result.best_val_loss == min(e.val_loss for e in recorder.evaluations)


def test_the_validation_before_the_first_step_can_be_left_out_and_changes_nothing_else(
    config, make_trainer, recorder
):
    losses = {}
    for first in (True, False):
        recorder.__init__()
        make_trainer(config(train={"eval_first": first}), out=f"run{first}", callbacks=[recorder]).run()
        losses[first] = [(e.step, e.val_loss) for e in recorder.evaluations]
    assert losses[True][0][0] == 0
    assert losses[False] == losses[True][1:]


def test_the_result_has_the_fields_of_the_command_lines_contract(config, make_trainer):
    summary = make_trainer(config()).run().summary()
    assert list(summary) == [
        "step",
        "train_loss",
        "val_loss",
        "best_val_loss",
        "tokens",
        "seconds",
        "tokens_per_second",
        "checkpoint",
    ]
    json.dumps(summary)


def test_recomputed_blocks_train_to_the_same_bits(config, make_trainer, monkeypatch):
    runs, original = [], Tape.checkpoint
    for recompute in (False, True):
        blocks = []
        monkeypatch.setattr(Tape, "checkpoint", lambda *given, seen=blocks: (seen.append(1), original(*given))[1])
        settings = config(train={"recompute": recompute, "gradient_accumulation": 2}, model={"dropout": 0.2})
        trainer = make_trainer(settings, out=f"run{len(runs)}")
        result = trainer.run()
        weights = trainer.replicas.decoder.parameters.flat.tobytes()
        runs.append((result.train_loss, result.val_loss, weights, len(blocks)))
    assert runs[0][:3] == runs[1][:3]
    assert (runs[0][3], runs[1][3]) == (0, 6 * 2 * 2 * 2)  # steps, micro-batches, replicas, blocks


def test_same_seed_same_losses_and_other_seed_other_losses(config, make_trainer, recorder):
    losses = []
    for number, seed in enumerate([1, 1, 2]):
        recorder.__init__()
        settings = config(train={"seed": seed}, model={"dropout": 0.1})
        make_trainer(settings, out=f"run{number}", callbacks=[recorder]).run()
        losses.append(recorder.losses)
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_reference_and_fast_engine_agree(config, make_trainer, recorder):
    losses = {}
    for name in ("reference", "fast"):
        recorder.__init__()
        make_trainer(config(train={"engine": name}), out=name, callbacks=[recorder]).run()
        losses[name] = recorder.losses
    assert losses["fast"] == pytest.approx(losses["reference"], rel=1e-5)


def test_learning_rate_follows_the_schedule(config, make_trainer, recorder):
    settings = config()
    make_trainer(settings, callbacks=[recorder]).run()
    expected = [0.01 * learning_rate_factor(settings.schedule, step, 6) for step in range(6)]
    assert [s.learning_rate for s in recorder.steps] == expected


def test_validation_is_the_mean_over_tokens_without_dropout(config, make_trainer, recorder):
    settings = config(
        model={"dropout": 0.5}, train={"max_steps": 1, "label_smoothing": 0.3, "z_loss": 0.1, "ema_decay": 0.9}
    )
    trainer = make_trainer(settings, callbacks=[recorder])
    trainer.run()
    weights = trainer.step.snapshot().evaluated
    with Replicas(trainer.replicas.decoder, 1) as single:
        expected = single.evaluate(trainer.data.validation(), parameters=weights)
    assert recorder.evaluations[-1].val_loss == pytest.approx(expected.loss, rel=1e-6)
    assert recorder.evaluations[-1].tokens == expected.tokens
    assert recorder.evaluations[-1].perplexity == pytest.approx(math.exp(expected.loss), rel=1e-6)


def test_dropout_smoothing_and_z_loss_act_in_training(config, make_trainer, recorder):
    first_losses = set()
    for number, change in enumerate(
        [{}, {"model": {"dropout": 0.5}}, {"train": {"label_smoothing": 0.3}}, {"train": {"z_loss": 0.1}}]
    ):
        recorder.__init__()
        make_trainer(config(**change), out=f"run{number}", callbacks=[recorder]).run()
        first_losses.add(recorder.losses[1])
    assert len(first_losses) == 4


def test_accumulation_is_a_larger_batch(config, make_trainer, recorder):
    losses = []
    for number, train in enumerate([{"batch_size": 8}, {"batch_size": 2, "gradient_accumulation": 4}]):
        recorder.__init__()
        make_trainer(config(train=train), out=f"run{number}", callbacks=[recorder]).run()
        losses.append(recorder.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_batch_ramps_up(config, make_trainer, recorder):
    train = {"batch_ramp_steps": 3, "batch_ramp_start": 1, "max_steps": 5}
    make_trainer(config(train=train), callbacks=[recorder]).run()
    assert np.diff([0] + [s.tokens for s in recorder.steps]).tolist() == [8, 16, 24, 32, 32]


def test_epochs_end_on_a_step_and_the_tail_is_flushed(config, make_trainer, recorder):
    settings = config(
        data={"windows": "strided"},
        train={"max_steps": None, "max_epochs": 2, "batch_size": 4, "gradient_accumulation": 3},
    )
    trainer = make_trainer(settings, callbacks=[recorder])
    per_epoch = trainer.data.batches.per_epoch
    assert per_epoch == 49
    result = trainer.run()
    assert result.step == 10
    assert result.tokens == 2 * 49 * 8
    assert np.diff([0] + [s.tokens for s in recorder.steps]).tolist() == [96, 96, 96, 96, 8] * 2
    assert [recorder.steps[i].epoch for i in (4, 9)] == [1.0, 2.0]


class Recording:
    """Data whose sequences say their number, to see what is consumed."""

    context_length = 8
    per_epoch = 49

    def __init__(self):
        self.asked = []

    def sequences(self, start, count):
        self.asked.append((start, count))
        inputs = np.zeros((count, 8), np.int64)
        return Batch(inputs, inputs)


def test_every_sequence_is_consumed_once_and_in_order(config, make_trainer):
    data = make_trainer(config()).data
    recording = Recording()
    data = data.__class__(recording, data.validation)
    make_trainer(config(train={"max_steps": 5}), data=data).run()
    assert recording.asked == [(4 * k, 4) for k in range(5)]


def test_a_time_limit_evaluates_saves_and_ends(config, make_trainer, recorder):
    settings = config(train={"max_steps": None, "max_seconds": 0.5})
    result = make_trainer(settings, callbacks=[recorder]).run()
    assert result.stopped == "time"
    assert 0.5 <= result.seconds < 10
    assert recorder.evaluations[-1].step == result.step
    assert recorder.checkpoints[-1].step == result.step
    assert recorder.started[0].total_steps is None


def test_without_another_limit_the_schedule_follows_the_clock(config, make_trainer):
    settings = config(
        train={"max_steps": None, "max_seconds": 1000.0}, schedule={"name": "linear", "warmup_steps": 0}
    )
    trainer = make_trainer(settings)
    trainer.state.step = 99
    trainer._earlier_seconds = 250.0
    assert trainer._horizon() == pytest.approx(400, abs=1)
    trainer._earlier_seconds = 2000.0
    assert trainer._horizon() == 100


def test_early_stopping(config, make_trainer, recorder):
    settings = config(
        optimizer={"learning_rate": 1e-12},
        train={"max_steps": 500, "eval_interval": 2, "early_stopping_patience": 3, "ema_decay": None},
    )
    trainer = make_trainer(settings, callbacks=[recorder])
    # Weights that do not move: no validation is better than the first.
    result = trainer.run()
    assert result.stopped == "early_stopping"
    assert result.step < 100
    assert [e.improved for e in recorder.evaluations[-3:]] == [False] * 3
    assert recorder.checkpoints[-1].kind == "step"


def test_the_best_checkpoint_is_saved_only_when_validation_improves(config, make_trainer, recorder):
    settings = config(train={"max_steps": 40, "eval_interval": 1}, optimizer={"learning_rate": 0.3})
    trainer = make_trainer(settings, callbacks=[recorder])
    result = trainer.run()
    improved = [e.step for e in recorder.evaluations if e.improved]
    assert improved == [c.step for c in recorder.checkpoints if c.kind == "best"]
    assert len(improved) < len(recorder.evaluations)
    best = artifact.read(result.checkpoint)
    assert best.manifest["metrics"]["step"] == improved[-1]
    assert best.manifest["metrics"]["val_loss"] == result.best_val_loss
    with Replicas(best.decoder, 1) as replicas:
        again = replicas.evaluate(trainer.data.validation())
    assert again.loss == pytest.approx(result.best_val_loss, rel=1e-6)


def test_rolling_checkpoints_roll(config, make_trainer, recorder):
    train = {"max_steps": 10, "checkpoint_interval": 3, "keep_checkpoints": 2}
    trainer = make_trainer(config(train=train), callbacks=[recorder])
    trainer.run()
    assert [c.step for c in recorder.checkpoints if c.kind == "step"] == [3, 6, 9, 10]
    assert sorted(p.name for p in trainer.out_dir.iterdir()) == ["best", "metrics.jsonl", "step-10", "step-9"]


def test_the_average_of_the_weights_is_evaluated_and_saved(config, make_trainer):
    trainer = make_trainer(config(train={"ema_decay": 0.9}))
    result = trainer.run()
    saved = artifact.read(result.checkpoint).decoder.parameters.flat
    assert np.array_equal(saved, trainer.step.average.average)
    assert not np.allclose(saved, trainer.replicas.decoder.parameters.flat)


def test_clipping_limits_the_update(config, make_trainer, recorder):
    moved = {}
    for name, train in {
        "free": {"clip_norm": None},
        "norm": {"clip_norm": 1e-3},
        "value": {"clip_norm": None, "clip_value": 1e-4},
    }.items():
        settings = config(
            train={**train, "max_steps": 1},
            optimizer={"name": "sgd", "momentum": 0, "weight_decay": 0, "learning_rate": 1.0},
            schedule={"warmup_steps": 0},
        )
        trainer = make_trainer(settings, out=name)
        before = trainer.replicas.decoder.parameters.flat.copy()
        trainer.run()
        moved[name] = trainer.replicas.decoder.parameters.flat - before
    assert np.linalg.norm(moved["norm"]) == pytest.approx(1e-3, rel=2e-3)
    assert np.linalg.norm(moved["free"]) > 0.1
    assert np.abs(moved["value"]).max() == pytest.approx(1e-4, rel=1e-3)


def test_metrics_say_everything_about_the_run(config, make_trainer):
    trainer = make_trainer(config(train={"max_steps": 9, "log_interval": 2}))
    trainer.run()
    train = lines(trainer, "train")
    assert [line["step"] for line in train] == [2, 4, 6, 8]
    assert set(train[0]) >= {
        "loss",
        "ema_loss",
        "learning_rate",
        "gradient_norm",
        "tokens_per_second",
        "step_seconds",
        "perplexity",
        "memory_bytes",
        "tokens",
        "epoch",
    }
    assert train[0]["perplexity"] == pytest.approx(math.exp(train[0]["loss"]))
    assert train[0]["memory_bytes"] > 1e6
    assert [line["step"] for line in lines(trainer, "validation")] == [0, 3, 6, 9]


def test_histograms_on_demand(config, make_trainer, recorder):
    trainer = make_trainer(config(train={"histogram_interval": 4}), callbacks=[recorder])
    trainer.run()
    (report,) = recorder.distributions
    names = set(trainer.replicas.decoder.parameters)
    assert report.step == 4
    assert set(report.weights) == set(report.gradients) == names
    written = lines(trainer, file="histograms.jsonl")
    assert {line["parameter"] for line in written} == names
    assert all(sum(line["gradient"]["counts"]) > 0 for line in written)


class Poisoned(Callback):
    """Breaks the weights after a step; reaches past the read-only views on purpose."""

    def __init__(self, trainer, step):
        self.trainer, self.step = trainer, step

    def on_step(self, report):
        if report.step == self.step:
            self.trainer.replicas.decoder.parameters["model.norm.weight"][0] = np.nan


def test_not_a_number_stops_the_run_names_the_step_and_leaves_the_checkpoints(config, make_trainer, recorder):
    trainer = make_trainer(config(train={"checkpoint_interval": 2, "max_steps": 20, "eval_interval": 100}))
    trainer.callbacks._active.append(Poisoned(trainer, 5))
    with pytest.raises(TrainingError, match="the loss is nan at step 6") as error:
        trainer.run()
    assert "learning_rate" in error.value.hint
    assert artifact.read(trainer.out_dir / "step-4").manifest["metrics"]["step"] == 4


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_divergence_is_told_once_and_not_by_numpy(config, make_trainer, replicas):
    settings = {"max_steps": 20, "engine": "reference", "clip_norm": None, "replicas": replicas}
    trainer = make_trainer(config(train=settings, optimizer={"learning_rate": 1e20}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TrainingError, match=r"the (loss|gradient norm) is (nan|inf)"):
            trainer.run()


def test_not_a_number_in_a_validation_stops_the_run(config, make_trainer):
    trainer = make_trainer(config(train={"eval_interval": 5, "max_steps": 20}))
    trainer.callbacks._active.append(Poisoned(trainer, 5))
    with pytest.raises(TrainingError, match="nan at step 5"):
        trainer.run()


def test_spikes_are_skipped_and_told(config, make_trainer, recorder):
    trainer = make_trainer(
        config(train={"spike_threshold": 6.0, "max_steps": 40, "eval_interval": 1000}), callbacks=[recorder]
    )
    weights = trainer.replicas.decoder.parameters

    class Watch(Callback):
        def on_step(self, report):
            if report.step == 30:
                self.before = weights.flat.copy()
                # A batch that the model has learned to be impossible, by scaling its logits up.
                weights["model.embed_tokens.weight"][:] *= 30
            if report.step == 31:
                self.after = weights.flat.copy()
                weights["model.embed_tokens.weight"][:] /= 30

    watch = Watch()
    trainer.callbacks._active.append(watch)
    trainer.run()
    skipped = [report.step for report in recorder.steps if report.skipped]
    assert 31 in skipped
    assert any("step 31" in m.text and "skipped" in m.text and m.level == "warning" for m in recorder.messages)
    name = "model.layers.0.mlp.down_proj.weight"
    span = weights.slices[name]
    assert np.array_equal(watch.after[span], watch.before[span])
    assert trainer.step.optimizer.steps == 40 - len(skipped)
    assert any("spike" in line["text"] for line in lines(trainer, "message"))


def test_callbacks_see_weights_and_gradients_but_cannot_change_them(config, make_trainer, recorder):
    make_trainer(config(), callbacks=[recorder]).run()
    run = recorder.started[0]
    assert run.gradients["model.norm.weight"].any()
    for arrays in (run.parameters, run.gradients):
        with pytest.raises(ValueError, match="read-only"):
            arrays["model.norm.weight"][0] = 1.0
    assert len(recorder.ended) == 1


def test_an_unwritable_folder_is_a_clear_error(config, make_trainer, tmp_path):
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(TrainingError, match="cannot write to"):
        make_trainer(config()).run()
