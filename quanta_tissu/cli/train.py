"""`tissu train`: train a model, or go on with an interrupted run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.cli.generation_options import ENGINE_OPTION
from quanta_tissu.cli.verdicts import verdicts
from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.wording import counted

if TYPE_CHECKING:
    from quanta_tissu.tisslm.evaluate.floors import Floors
    from quanta_tissu.tisslm.train.reports import TrainResult

RUNS = Path("runs")


@click.command("train", cls=KernelCommand)
@click.option("--config", "config_file", metavar="FILE", help="Take the settings of a tissu.yaml.")
@click.option("--preset", metavar="NAME", help="Start from a preset: demo, tiny, baby-gpt or baby-gpt-fast.")
@click.option(
    "--data",
    "source",
    metavar="SOURCE",
    help="What to learn from: a text file, a folder, a .jsonl file, a prepared dataset, or builtin:python.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the run  [default: a new one in runs/]",
)
@ENGINE_OPTION
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, train.max_steps=300 for example. May be repeated.",
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Go on with the run in this folder, or from one of its step-N checkpoints, with its settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    config_file: str | None,
    preset: str | None,
    source: str | None,
    out: Path | None,
    engine: str | None,
    overrides: tuple[str, ...],
    resume: Path | None,
    as_json: bool,
) -> None:
    """Train a model, or go on with an interrupted run.

    Settings come from the preset or the resumed run, the file, the environment (TISSU_TRAIN__MAX_STEPS=300) and
    --set, the later ones winning. Ctrl-C ends the current step, saves, and shows the command that goes on.

    The folder of the run gets best/ (lowest validation loss; what evaluate, generate and chat take), step-N/ (to
    resume from), metrics.jsonl and data/.

    \b
    Examples:
      tissu train --preset demo --out runs/demo
      tissu train --preset baby-gpt --data tinyshakespeare.txt --set train.seed=1
      tissu train --config tissu.yaml --out runs/first --json
      tissu train --resume runs/first --set train.max_steps=5000
      torchrun --nproc-per-node 2 -m quanta_tissu train --preset tiny --engine torch \\
        --set torch.parallel=ddp --out runs/two
    """
    from quanta_tissu.cli.train_progress import TrainProgress
    from quanta_tissu.tisslm.config.load import load_config
    from quanta_tissu.tisslm.train.checkpoint import load_resumable
    from quanta_tissu.tisslm.train.run import train
    from quanta_tissu.tisslm.train.world import process_rank, started_by_torchrun

    named = {"--preset": preset, "--config": config_file}
    if resume is not None and (refused := [option for option, value in named.items() if value is not None]):
        raise ConfigError(
            f"{' and '.join(refused)} cannot go with --resume: a run goes on with its own settings",
            hint="change single ones with --set, train.max_steps=5000 for example",
        )
    changes = list(overrides)
    changes += [] if source is None else [f"data.source={source}"]
    changes += [] if engine is None else [f"train.engine={engine}"]
    resumed = None if resume is None else load_resumable(resume)
    config = load_config(config_file, preset, changes, base=None if resumed is None else resumed.artifact.config)
    if out is None:
        if resumed is None and started_by_torchrun():
            raise ConfigError("processes that torchrun starts need a folder in common", hint="name it: --out DIR")
        out = resumed.run_dir if resumed is not None else _new_folder(preset, config_file)
    with TrainProgress() as progress:
        result = train(config, out, resume=resumed, callbacks=[progress])
    if as_json and process_rank() == 0:  # one of several processes speaks for all
        click.echo(json.dumps(result.summary()))
    elif process_rank() == 0:
        _print_result(result, progress.floors)
    if result.stopped == "interrupted":
        click.get_current_context().exit(ExitCode.INTERRUPTED)


def _new_folder(preset: str | None, config_file: str | None) -> Path:
    """A folder in runs/ that does not exist yet, named after where the settings come from."""
    name = Path(config_file).stem if config_file is not None else preset or "model"
    folder, number = RUNS / name, 1
    while folder.exists():
        number += 1
        folder = RUNS / f"{name}-{number}"
    return folder


def _print_result(result: TrainResult, floors: Floors | None) -> None:
    reason = {
        "finished": "done",
        "time": "time is up",
        "early_stopping": "validation has stopped improving",
        "interrupted": "interrupted",
    }[result.stopped]
    click.echo(
        f"{reason} after {counted(result.step, 'step')}, {counted(result.tokens, 'token')} and "
        f"{result.seconds:,.0f} s ({result.tokens_per_second:,.0f} tokens/s)"
    )
    if result.val_loss is not None and result.best_val_loss is not None:
        click.echo(f"validation loss {result.val_loss:.4f}, best {result.best_val_loss:.4f}")
        if floors is not None:
            named = {"ln V": floors.uniform, "unigram": floors.unigram, "bigram": floors.bigram}
            for line in verdicts(result.best_val_loss, named):
                click.echo(line)
    if result.resume_command is None:  # an interrupted run has said already how to go on
        click.echo(f'next: tissu generate {result.checkpoint} --prompt "..."')
