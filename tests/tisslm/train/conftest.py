from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.data.batches import evaluation_batches, make_batches
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer
from quanta_tissu.tisslm.train.callbacks import Callback
from quanta_tissu.tisslm.train.trainer import Trainer, TrainingData

ALPHABET = "abcdefghijk"
CONTEXT = 8


def tiny_config(**sections):
    """A configuration of a model small enough to train in milliseconds."""
    model = {"context_length": CONTEXT, "n_layers": 2, "d_model": 16, "n_heads": 4, "n_kv_heads": 2, "d_ff": 24}
    train = {
        "batch_size": 4,
        "max_steps": 6,
        "replicas": 2,
        "eval_interval": 3,
        "eval_steps": 2,
        "log_interval": 1,
        "checkpoint_interval": 100,
    }
    base = {
        "model": {**model, "vocab_size": len(ALPHABET)},
        "tokenizer": {"kind": "character", "special_tokens": False},
        "optimizer": {"learning_rate": 0.01},
        "schedule": {"warmup_steps": 2},
        "train": train,
    }
    for section, values in sections.items():
        base[section] = {**base.get(section, {}), **values}
    return Config.model_validate(base)


def make_tokens(count, seed=0):
    """Tokens with something to learn: mostly the alphabet in order, now and then a jump."""
    rng = np.random.default_rng(seed)
    jumps = np.where(rng.random(count) < 0.1, rng.integers(0, len(ALPHABET), count), 1)
    return (np.cumsum(jumps) % len(ALPHABET)).astype(np.uint16)


def make_data(config, tokens=400):
    train, validation = make_tokens(tokens), make_tokens(120, seed=1)
    context = config.model.context_length
    return TrainingData(
        batches=make_batches(train, config.data, context, config.train.seed),
        validation=lambda: evaluation_batches(
            validation, context, config.train.batch_size, config.train.eval_steps
        ),
        cut_epochs=config.data.windows != "random",
        fingerprint="tokens",
    )


class Recorder(Callback):
    """Keeps everything it is told."""

    def __init__(self):
        self.started, self.steps, self.evaluations, self.checkpoints = [], [], [], []
        self.messages, self.distributions, self.ended = [], [], []

    def on_start(self, run):
        self.started.append(run)

    def on_step(self, report):
        self.steps.append(report)

    def on_evaluate(self, report):
        self.evaluations.append(report)

    def on_checkpoint(self, report):
        self.checkpoints.append(report)

    def on_histograms(self, report):
        self.distributions.append(report)

    def on_message(self, message):
        self.messages.append(message)

    def on_end(self, result):
        self.ended.append(result)

    @property
    def losses(self):
        return [report.loss for report in self.steps]


@pytest.fixture
def config():
    """`config(section={field: value})`: the tiny configuration with some fields changed."""
    return tiny_config


@pytest.fixture
def tokenizer():
    return CharacterTokenizer.train([ALPHABET], special_tokens=False)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def make_trainer(tmp_path, tokenizer):
    """Build a trainer for a configuration, fresh or resumed."""

    def make(config, *, out="run", callbacks=(), resumed=None, data=None, seed=None, world=None):
        return Trainer(
            config,
            Decoder.initialise(config.model, config.train.seed if seed is None else seed),
            tokenizer,
            data or make_data(config),
            tmp_path / out,
            callbacks=callbacks,
            resumed=resumed,
            world=world,
        )

    return make
