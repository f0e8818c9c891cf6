"""Train a model from Python in seconds: it learns the names in Python's standard library and invents new ones.

Run it from anywhere: `python examples/train_in_python.py`
"""

from __future__ import annotations

import json
import tempfile
from importlib import import_module
from pathlib import Path

from quanta_tissu import tisslm
from quanta_tissu.tisslm.config import Config, DataConfig, ModelConfig, TokenizerConfig, TrainConfig
from quanta_tissu.tisslm.train import Callback, train
from quanta_tissu.tisslm.train.reports import EvaluationReport

MODULES = "argparse ast asyncio email.message gettext inspect logging math os random socket shutil ssl subprocess"


class Report(Callback):
    """Observes the training; it can do anything but disturb it."""

    def on_evaluate(self, report: EvaluationReport) -> None:
        """Print every validation."""
        print(f"step {report.step:3d}  validation loss {report.val_loss:.3f} nats per character")


with tempfile.TemporaryDirectory() as folder:
    # Each JSON line is a document. Between documents stands EOS, which will end a name when the model writes one.
    everything = {name for module in MODULES.split() for name in dir(import_module(module))}
    known = sorted(name for name in everything if name.islower() and name[0] != "_")
    names = Path(folder, "names.jsonl")
    names.write_text("\n".join(json.dumps({"text": name}) for name in known), encoding="utf-8")

    config = Config(
        model=ModelConfig(n_layers=2, d_model=64, n_heads=4, context_length=32),
        tokenizer=TokenizerConfig(kind="character"),
        data=DataConfig(source=str(names)),
        train=TrainConfig(max_steps=400, eval_interval=100),
    )
    result = train(config, Path(folder, "run"), callbacks=[Report()])

    model = tisslm.load(result.checkpoint)
    # An empty prompt starts a new document, here a name. A setting that is left out is config.generate's.
    completions = model.generate("", num_samples=12, max_new_tokens=24, temperature=0.7, seed=1)
    invented = sorted({completion.text for completion in completions} - set(known))
    print(f"{len(known)} names learned; {len(invented)} invented: {', '.join(invented)}")
