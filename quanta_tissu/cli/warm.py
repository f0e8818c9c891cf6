"""Every kernel compiled ahead of time: `tissu doctor --warm`.

Which kernels there are, for which types of arguments, is written down nowhere. They are compiled by being used, as
real use does, in float32: every operation on the samples that prove it, and tiny models of every kind trained,
evaluated and made to generate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm import engine, tokenizers
from quanta_tissu.tisslm.config import Config, ModelConfig, OptimizerConfig, TokenizerConfig
from quanta_tissu.tisslm.config.load import load_config
from quanta_tissu.tisslm.config.presets import list_presets
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.evaluate.evaluator import evaluate
from quanta_tissu.tisslm.inspect.gradcheck_models import pairwise_variants
from quanta_tissu.tisslm.language_model import LanguageModel, load
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.ops import REGISTRY, Op
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.run import train
from quanta_tissu.tisslm.train.step import TrainStep

Task = tuple[str, Callable[[], None]]

# Long enough that attention works in blocks, and that batches are no special case of an array with one row.
_CONTEXT, _BATCH, _VOCABULARY = 160, 4, 67
_TEXT = "".join(map(chr, range(33, 33 + _VOCABULARY - 4)))


def tasks() -> Iterator[Task]:
    """What to do, each with a name; run on the fast engine, they compile every kernel."""
    for op in REGISTRY.values():
        yield op.name, partial(_use_op, op)
    for number, variant in enumerate(pairwise_variants()):
        yield f"architecture {number + 1}", partial(_use_model, variant, "dropout" if number % 2 else "none")
    for name in OptimizerConfig.model_fields["name"].annotation.__args__:  # type: ignore[union-attr]
        yield f"optimizer {name}", partial(_optimize, name)
    for preset in list_presets():
        yield f"preset {preset.name}", partial(_use_preset, preset.name)


def warm(progress: Callable[[int, int, str], None]) -> None:
    """Compile all kernels that the cache does not hold.

    Args:
        progress: Called before each task with its number, the number of tasks, and its name.
    """
    everything = list(tasks())
    with engine.use("fast"), np.errstate(all="ignore"):
        for number, (name, task) in enumerate(everything):
            progress(number, len(everything), name)
            task()


def _use_op(op: Op) -> None:
    """Run the fast twin forward and backward on all samples, in float32."""
    twin = op.fast_twin()
    if twin is None:
        return
    for sample in op.samples(np.random.default_rng(0)):
        inputs = [None if x is None else _single(x) for x in sample.inputs]
        attributes = {name: _single(value) for name, value in sample.attributes.items()}
        outputs, saved = twin.forward(*inputs, **attributes)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        twin.backward(saved, *(np.ones_like(y) for y in outputs))


def _single(value: Any) -> Any:
    """Arrays of double precision in single precision; everything else as it is."""
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _use_model(variant: dict[str, Any], dropout: str) -> None:
    """Train, evaluate and generate with one architecture."""
    model = ModelConfig(
        vocab_size=_VOCABULARY,
        context_length=_CONTEXT,
        n_layers=2,
        d_model=32,
        n_heads=4,
        dropout=0.1 if dropout == "dropout" else 0.0,
        **variant,
    )
    config = Config.model_validate({"model": model, "train": {"label_smoothing": 0.1, "z_loss": 1e-4}})
    decoder = Decoder.initialise(model, seed=0)
    _step(config, decoder)
    tokenizer = tokenizers.train(TokenizerConfig(kind="character"), [_TEXT])
    evaluate(decoder, tokenizer, _batch().inputs.reshape(-1))
    _generate(LanguageModel(decoder, tokenizer))


def _generate(model: LanguageModel) -> None:
    """In the ways that differ: one prompt, ragged prompts, pieces, samples, no cache, more than the context."""
    full = (_TEXT * 3)[: _CONTEXT - 2]
    for prompt, settings in (
        ("!", {"temperature": 0.0}),
        ([_TEXT[:3], _TEXT[:7]], {}),
        (_TEXT[:9], {"prefill_chunk": 4, "num_samples": 2, "top_p": 0.9, "repetition_penalty": 1.1}),
        (_TEXT[:9], {"kv_cache": False}),
        (full, {"overflow": "slide"}),
        ([_TEXT[:40], full], {"num_samples": 2, "overflow": "slide"}),
    ):
        model.generate(prompt, **{"max_new_tokens": 5, "seed": 0, "stop_at_eos": False} | settings)


def _optimize(name: str) -> None:
    """Make two steps with one optimizer and everything that may happen to gradients."""
    config = Config.model_validate(
        {
            "model": {"vocab_size": _VOCABULARY, "context_length": 16, "n_layers": 1, "d_model": 32, "n_heads": 4},
            "optimizer": {"name": name},
            "train": {"clip_value": 1.0, "ema_decay": 0.9, "spike_threshold": 3.0},
        }
    )
    _step(config, Decoder.initialise(config.model, seed=0), 16)


def _step(config: Config, decoder: Decoder, context: int = _CONTEXT) -> None:
    """One step of two micro-batches on two replicas."""
    with Replicas.configured(config.train, decoder, 2) as replicas:
        TrainStep(config, replicas)([_batch(context), _batch(context)], 0, 10)


def _batch(context: int = _CONTEXT) -> Batch:
    ids: NDArray[np.int64] = np.random.default_rng(0).integers(0, _VOCABULARY, size=(_BATCH, context + 1))
    return Batch(ids[:, :-1], ids[:, 1:])


def _use_preset(name: str) -> None:
    """A preset from its text to its checkpoint, and what is done with that, with fewer of everything."""
    changes = ["model.n_layers=1", "train.max_steps=1", "train.eval_steps=1", "train.batch_size=4"]
    changes += ["model.context_length=32", "data.max_bytes=60000", "tokenizer.vocab_size=300"]
    with tempfile.TemporaryDirectory(prefix="tissu-") as folder:
        text = Path(folder, "text.txt")
        text.write_text((_TEXT + "\n") * 60, encoding="utf-8")
        config = load_config(None, name, [*changes, f"data.source={text}"])
        result = train(config, Path(folder, "run"))
        model = load(result.checkpoint)
        model.generate("!", max_new_tokens=3)
        model.loss(_TEXT)
        model.logits([[0]])
