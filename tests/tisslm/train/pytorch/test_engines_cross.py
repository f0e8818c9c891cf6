"""A run can go on with another engine: checkpoints are the same, and so is the loss curve."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.train.callbacks import Callback
from quanta_tissu.tisslm.train.checkpoint import load_resumable

pytestmark = pytest.mark.torch

TRAIN = {
    "max_steps": 8,
    "replicas": None,
    "gradient_accumulation": 2,
    "clip_value": 0.5,
    "ema_decay": 0.9,
    "checkpoint_interval": 4,
    "keep_checkpoints": 9,
    "spike_threshold": 8.0,
    "histogram_interval": 4,
}


class Losses(Callback):
    def __init__(self):
        self.steps, self.validations, self.messages = [], [], []

    def on_step(self, report):
        self.steps.append(report.loss)

    def on_evaluate(self, report):
        self.validations.append(report.val_loss)

    def on_message(self, message):
        self.messages.append(message.text)


@pytest.fixture
def trained(config, make_trainer):
    """`trained(engine, out)`: the losses of a run, fresh or resumed."""

    def run(engine, out, resumed=None, model=None, **settings):
        losses = Losses()
        changed = config(train={**TRAIN, "engine": engine, **settings}, model=model or {})
        trainer = make_trainer(changed, out=out, callbacks=[losses], resumed=resumed, seed=99 if resumed else None)
        trainer.run()
        return losses, trainer

    return run


def test_the_loss_curve_is_that_of_the_fast_engine(trained):
    fast, numpy_trainer = trained("fast", "fast")
    torch, trainer = trained("torch", "torch")
    np.testing.assert_allclose(torch.steps, fast.steps, rtol=1e-5)
    np.testing.assert_allclose(torch.validations, fast.validations, rtol=1e-5)
    assert any(text.startswith("PyTorch") for text in torch.messages)
    saved = [t.out_dir / "step-8" / "model.safetensors" for t in (trainer, numpy_trainer)]
    assert saved[0].stat().st_size == saved[1].stat().st_size


@pytest.mark.parametrize(("first", "second"), [("fast", "torch"), ("torch", "fast"), ("torch", "reference")])
def test_a_run_goes_on_with_another_engine(trained, first, second):
    whole, trainer = trained(first, "run")
    resumed = load_resumable(trainer.out_dir / "step-4")
    rest, after = trained(second, "run", resumed)
    np.testing.assert_allclose(rest.steps, whole.steps[4:], rtol=1e-5)
    np.testing.assert_allclose(rest.validations[-1], whole.validations[-1], rtol=1e-5)
    assert after.step.optimizer.steps == 8


def test_a_resumed_run_on_torch_equals_the_uninterrupted_one(trained):
    whole, trainer = trained("torch", "run", model={"dropout": 0.2})
    rest, _ = trained("torch", "run", load_resumable(trainer.out_dir / "step-4"), model={"dropout": 0.2})
    assert rest.steps == whole.steps[4:]
    assert rest.validations[-1] == whole.validations[-1]


def test_float16_scales_the_loss_and_skips_what_overflows(trained):
    losses, trainer = trained("torch", "run", precision="float16", loss_scale=2.0**40, max_steps=40)
    assert any("overflow" in text for text in losses.messages)
    assert trainer.step.loss_scale.value < 2.0**40
    assert losses.steps[-1] < losses.steps[0]


def test_a_run_whose_numbers_are_no_longer_numbers_is_stopped(config, make_trainer):
    trainer = make_trainer(config(train={**TRAIN, "engine": "torch"}))
    trainer.replicas.weights.values[0].fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan"):
        trainer.run()
