"""`tissu profile`: where the time goes, against what this machine can do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.errors import ConfigError

if TYPE_CHECKING:
    from quanta_tissu.tisslm.config import Config, ModelConfig
    from quanta_tissu.tisslm.engine import Engine
    from quanta_tissu.tisslm.model import Decoder

_CHARACTERS = 96
"""Vocabulary assumed where only a text could tell: the printable characters of ASCII."""


@click.command("profile", cls=KernelCommand)
@click.argument("checkpoint", metavar="[CHECKPOINT]", required=False, type=click.Path(path_type=Path))
@click.option("--config", "config_file", metavar="FILE", help="Take the settings of a tissu.yaml.")
@click.option("--preset", metavar="NAME", help="Start from a preset, as `tissu train` does.")
@click.option(
    "--what",
    type=click.Choice(["train", "generate"]),
    default="train",
    show_default=True,
    help="Whole training steps, or reading a prompt and generating.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Profiled runs  [default: about five seconds of them]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a page with charts and a flame graph there, and what cProfile and tracemalloc say.",
)
@click.option(
    "--engine",
    type=click.Choice(["fast", "reference"]),
    help="What runs the operations  [default: as train and generate]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, train.batch_size=8 for example. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(
    checkpoint: Path | None,
    config_file: str | None,
    preset: str | None,
    what: str,
    steps: int | None,
    out: Path | None,
    engine: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show where the time goes, against what this machine can do.

    Measures matrix products and memory first. Then runs training steps (or generation) on random tokens, with the
    architecture and the settings of a preset, a file or a CHECKPOINT, and shows each operation and each module
    with its time, its work, and its share of what the machine could reach with that work.

    \b
    Examples:
      tissu profile --preset baby-gpt
      tissu profile runs/demo/best --what generate
      tissu profile --preset demo --set train.batch_size=8 --out profile
    """
    from quanta_tissu.cli.profile_tables import show
    from quanta_tissu.cli.profile_workloads import generation, training
    from quanta_tissu.tisslm import engine as engines
    from quanta_tissu.tisslm.inspect.profile import measure_machine, profile
    from quanta_tissu.tisslm.model import Decoder

    if what == "train" and engine is not None:
        overrides += (f"train.engine={engine}",)
    config, decoder = _settings(checkpoint, config_file, preset, overrides)
    model = _resolved(config)
    if what == "train":
        runs_on = _training_engine(config, model)  # before a large model is made
    else:  # as in `tissu generate`, a model runs on any engine, whichever trained it
        runs_on = engines.current() if engine is None else engines.get(engine)
    decoder = decoder or Decoder.initialise(model, config.train.seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # told before the work, not after it
    with _status("measuring matrix products and memory"):
        machine = measure_machine()
    workload_of = training if what == "train" else generation
    with _status("profiling"), workload_of(config, decoder) as (workload, recorder):
        result = profile(workload, recorder, runs_on, machine, runs=steps)
    if out is not None:
        from quanta_tissu.cli.profile_files import write_files

        with _status("drawing"):
            write_files(out, result, config, decoder, what, runs_on)
    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        show(result)
        if out is not None:
            click.echo(f"open {out / 'profile.html'}")


def _settings(
    checkpoint: Path | None, config_file: str | None, preset: str | None, overrides: tuple[str, ...]
) -> tuple[Config, Decoder | None]:
    """The settings, and the checkpoint's model if there is one."""
    from quanta_tissu.tisslm import artifact
    from quanta_tissu.tisslm.config.load import load_config

    if checkpoint is None:
        return load_config(config_file, preset, list(overrides)), None
    named = {"--preset": preset, "--config": config_file}
    if refused := [option for option, value in named.items() if value is not None]:
        raise ConfigError(
            f"{' and '.join(refused)} cannot go with a checkpoint, which has its own settings",
            hint="change single ones with --set, train.batch_size=8 for example",
        )
    found = artifact.read(checkpoint)
    config = load_config(None, None, list(overrides), base=found.config)
    if config.model != found.config.model:
        raise ConfigError(
            "the architecture of a checkpoint cannot be changed",
            hint="leave out --set model...., or profile a preset",
        )
    return config, found.decoder


def _training_engine(config: Config, model: ModelConfig) -> Engine:
    """What runs a training step, if that can be made here and be seen.

    Raises:
        ConfigError: The operations would not be those of a NumPy engine, or others than they are called, or the
            engine is not installed.
        TrainingError: It does not fit into memory.
    """
    from quanta_tissu.tisslm import engine as engines
    from quanta_tissu.tisslm.engine.threads import replica_count
    from quanta_tissu.tisslm.train.memory import available_memory, require_memory

    train = config.train
    if train.engine == "torch":
        raise ConfigError(
            "train.engine = torch: the profile sees the operations of the NumPy engines only",
            hint="choose --engine fast; for PyTorch there is torch.profiler",
        )
    if train.precision != "float32":
        raise ConfigError(
            f"train.precision = {train.precision} cannot be profiled: it is simulated around each operation",
            hint="profile float32: --set train.precision=float32",
        )
    runs_on = engines.get(train.engine)
    require_memory(config, model, replica_count(train.replicas), available_memory())
    return runs_on


def _resolved(config: Config) -> ModelConfig:
    """The architecture with a vocabulary: what the tokenizer would be asked for."""
    assumed = config.tokenizer.vocab_size if config.tokenizer.kind == "bpe" else _CHARACTERS
    return config.model.model_copy(update={"vocab_size": config.model.vocab_size or assumed})


@contextmanager
def _status(text: str) -> Iterator[None]:
    """A moving sign on standard error while a block runs; nothing where standard error is no terminal."""
    from quanta_tissu.cli.console import error_console

    console = error_console()
    if not console.is_terminal:
        yield
        return
    with console.status(f"{text} …"):
        yield
