"""A whole training step, and many in a row, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.schedules import learning_rate_factor
from quanta_tissu.tisslm.train.step import TrainStep

STEPS, CLIP = 25, 0.65


def batches(step):
    inputs = np.random.default_rng(step).integers(0, 11, (5, 9))
    return Batch(inputs[:, :-1], inputs[:, 1:])


@pytest.mark.torch
@pytest.mark.parametrize("variant", ["llama", "gpt2"])
def test_training_equals_torch(torch, config, variant):
    """Same weights, batches, AdamW groups, clipping and schedule give the same losses, norms and weights."""
    gpt2 = {"feed_forward": "gelu", "norm": "layer_norm", "positions": "learned", "n_kv_heads": 4, "bias": True}
    settings = config(
        model=gpt2 if variant == "gpt2" else {},
        optimizer={"weight_decay": 0.1, "betas": (0.9, 0.99)},
        schedule={"warmup_steps": 5},
        train={"clip_norm": CLIP, "label_smoothing": 0.1, "z_loss": 1e-3},
    )
    decoder = Decoder.initialise(settings.model, 3, dtype=np.float64)
    tensors = {n: torch.tensor(a.copy(), requires_grad=True) for n, a in decoder.parameters.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": [t for t in tensors.values() if t.ndim >= 2], "weight_decay": 0.1},
            {"params": [t for t in tensors.values() if t.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.optimizer.learning_rate,
        betas=(0.9, 0.99),
        eps=1e-8,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(settings.schedule, step, STEPS)
    )
    clipped = 0
    with Replicas(decoder, 2, label_smoothing=0.1, z_loss=1e-3) as replicas:
        train_step = TrainStep(settings, replicas)
        for step in range(STEPS):
            batch = batches(step)
            outcome = train_step([batch], step, STEPS)
            logits = decoder.forward(batch.inputs, params=tensors).reshape(-1, 11)
            loss = torch.nn.functional.cross_entropy(
                logits, torch.tensor(batch.targets).reshape(-1), label_smoothing=0.1
            )
            loss = loss + 1e-3 * (torch.logsumexp(logits, dim=-1) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(tensors.values(), CLIP)
            clipped += norm.item() > CLIP
            optimizer.step()
            schedule.step()
            assert outcome.loss == pytest.approx(loss.item(), rel=1e-9)
            assert outcome.gradient_norm == pytest.approx(norm.item(), rel=1e-7)
    assert 0 < clipped < STEPS
    for name, tensor in tensors.items():
        np.testing.assert_allclose(
            decoder.parameters[name], tensor.detach().numpy(), rtol=1e-6, atol=1e-9, err_msg=name
        )


def test_a_skipped_update_leaves_weights_and_moments_alone(config):
    decoder = Decoder.initialise(config().model, 0)
    with Replicas(decoder, 1) as replicas:
        step = TrainStep(config(train={"spike_threshold": 2.0, "ema_decay": 0.9}), replicas)
        step.restore_spike_windows({"loss": [0.1, 0.11] * 20, "gradient norm": [1.0, 1.1] * 20})
        before = decoder.parameters.flat.copy()
        outcome = step([batches(0)], 0, 10)
        assert "the loss of 2.38" in outcome.skipped
        assert np.array_equal(decoder.parameters.flat, before)
        assert step.optimizer.steps == step.average.updates == 0
        assert not step.optimizer.state["first_moment"].any()


def test_dropout_masks_change_from_step_to_step(config):
    losses = set()
    for step in (0, 1, 1):
        decoder = Decoder.initialise(config().model, 0)
        settings = config(model={"dropout": 0.5})
        with Replicas(Decoder(settings.model, decoder.parameters), 2) as replicas:
            losses.add(TrainStep(settings, replicas)([batches(0)], step, 10).loss)
    assert len(losses) == 2
