"""`tissu convert`: a sharded checkpoint becomes one directory, and back."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("convert")
@click.argument("source", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The checkpoint to write: RUN/step-N, to go on from it. One of the same kind that is there is replaced.",
)
def command(source: Path, out: Path) -> None:
    """Turn a sharded checkpoint into one directory, or back.

    CHECKPOINT is a step-N folder of a run, or the run (its last one is taken). Sharded ones are what
    torch.sharded_checkpoints writes; training goes on from either kind. One directory is what evaluate, generate
    and chat take.

    \b
    Examples:
      tissu convert runs/large/step-2000 --out models/large
      tissu generate models/large --prompt "Once upon a time"
    """
    from quanta_tissu.errors import CheckpointError
    from quanta_tissu.tisslm.engine.engines import require_torch
    from quanta_tissu.tisslm.train.checkpoint import load_resumable, write_resumable

    require_torch()
    resumed = load_resumable(source)
    if out.absolute() == resumed.artifact.directory:
        raise CheckpointError(f"{out} is the checkpoint itself", hint="name another folder: --out DIR")
    from quanta_tissu.tisslm.train.pytorch import shards

    if shards.SHARDED.is_one(resumed.artifact.directory):
        write_resumable(out, resumed)
        click.echo(f"wrote {out}: one directory, at step {resumed.state.step:,}")
    else:
        shards.split(resumed, out)
        click.echo(f"wrote {out}: sharded, at step {resumed.state.step:,}")
