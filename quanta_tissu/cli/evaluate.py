"""`tissu evaluate`: loss, perplexity and bits per byte of a model on a text."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.generation_options import ENGINE_OPTION
from quanta_tissu.cli.verdicts import verdicts
from quanta_tissu.errors import DataError

if TYPE_CHECKING:
    from quanta_tissu.tisslm.artifact import Artifact
    from quanta_tissu.tisslm.data.dataset import Split, TokenDataset
    from quanta_tissu.tisslm.data.sources import Source
    from quanta_tissu.tisslm.evaluate.evaluator import Evaluation


@click.command("evaluate", cls=KernelCommand)
@click.argument("checkpoint", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "source",
    metavar="SOURCE",
    help="The text: a file, a folder, JSONL, a prepared dataset or builtin:python. By default what the model was "
    "trained on.",
)
@click.option(
    "--split",
    type=click.Choice(["validation", "train", "all"]),
    default="validation",
    show_default=True,
    help="The part of the text that training would hold out, the part it would train on, or all of it.",
)
@click.option(
    "--stride",
    type=int,
    metavar="N",
    help="Distance between windows in tokens, at most the context length (the default). A smaller one predicts "
    "every token from at least (context length - N) tokens, and takes (context length / N) times as long.",
)
@ENGINE_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(
    checkpoint: Path, source: str | None, split: Split, stride: int | None, engine: str | None, as_json: bool
) -> None:
    """Measure loss, perplexity and bits per byte on a text.

    The text is tokenized, shuffled and split by the settings that the checkpoint was trained with, so on its
    training data the validation part is what training has held out. Every token but the first is predicted once.
    The standard error takes the windows of one context length as independent, not their tokens.

    \b
    Examples:
      tissu evaluate runs/demo/best --data builtin:python
      tissu evaluate runs/demo/best --data novel.txt --split all --stride 64 --json
    """
    from quanta_tissu.tisslm import artifact
    from quanta_tissu.tisslm import engine as engines
    from quanta_tissu.tisslm.data.batches import boundary_id
    from quanta_tissu.tisslm.evaluate.evaluator import evaluate

    runs_on = engines.current() if engine is None else engines.get(engine)
    read = artifact.read(checkpoint)
    ignored = boundary_id(read.config.data, read.tokenizer.eos_id)
    with tempfile.TemporaryDirectory(prefix="tissu-") as folder:
        text = _text(read, source or read.config.data.source, split, Path(folder, "dataset"))
        with _progress(len(text.tokens) - 1) as show:
            result = evaluate(
                read.decoder,
                read.tokenizer,
                text.tokens,
                stride=stride,
                ignore_after=ignored,
                engine=runs_on,
                progress=show,
            )
        if as_json:
            click.echo(json.dumps(_as_json(result)))
        else:
            _show(result, text, ignored)


@dataclass(frozen=True)
class _Text:
    """What is evaluated.

    Attributes:
        tokens: The stream (N,).
        description: What it is, for people.
        vocab_size: V.
        train: Where `tokens` is a validation part: the rest of the text, which the floors count.
    """

    tokens: Any
    description: str
    vocab_size: int
    train: Any | None = None


def _text(read: Artifact, source: str | None, split: Split, folder: Path) -> _Text:
    """The tokens to evaluate; a text that is not tokenized yet becomes a dataset in `folder`."""
    from quanta_tissu.cli.progress import reading
    from quanta_tissu.tisslm.data.dataset import TokenDataset, is_prepared
    from quanta_tissu.tisslm.data.prepare import prepare
    from quanta_tissu.tisslm.data.sources import configured_source

    if source is None:
        raise DataError("the checkpoint does not say what it was trained on", hint="name a text: --data SOURCE")
    if is_prepared(source):
        return _part(TokenDataset.open(source, tokenizer=read.tokenizer), read, source, split)
    data = read.config.data
    if data.source is None or Path(source).resolve() != Path(data.source).resolve():
        # How much of the training data was used says nothing about another text.
        data = data.model_copy(update={"source": source, "max_bytes": None})
    opened = configured_source(data)
    with reading("tokenizing", opened.num_bytes) as show:
        if split == "all":
            return _Text(_all_tokens(read, opened, show), source, read.tokenizer.vocab_size)
        dataset = prepare(opened, read.tokenizer, folder, data, read.config.train.seed, progress=show)
    return _part(dataset, read, source, split)


def _all_tokens(read: Artifact, source: Source, show: Callable[[int], None]) -> Any:
    """The whole text as tokens, in its own order; there is nothing to split, so it may be short."""
    import numpy as np

    from quanta_tissu.tisslm.data.prepare import Tally, tokenize

    tally, chunks = Tally(), [np.empty(0, np.uint32)]
    packed, allow = read.config.data.windows == "packed", read.config.data.allow_special
    documents = source.documents()
    for ids in tokenize(documents, read.tokenizer, packed=packed, allow_special=allow, tally=tally):
        chunks.append(ids.astype(np.uint32))
        show(tally.text_bytes)
    return np.concatenate(chunks)


def _part(dataset: TokenDataset, read: Artifact, source: str, split: Split) -> _Text:
    """One part of a dataset, and what is known about it."""
    trained = (read.manifest.get("data") or {}).get("validation", {}).get("sha256")
    ratio = dataset.manifest.validation_split_ratio
    if split == "all":
        description = source
    elif split == "train":
        description = f"{source}, the first {1 - ratio:.4g} of it"
    elif trained == dataset.manifest.validation.sha256:
        description = f"{source}, the part that training held out"
    else:
        description = f"{source}, the last {ratio:.4g} of it (not the data of the training; --split all takes all)"
    train = dataset.train if split == "validation" else None
    return _Text(dataset.tokens(split), description, dataset.manifest.tokenizer.vocab_size, train)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; none where standard error is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from quanta_tissu.cli.console import error_console

    console = error_console()
    columns = (
        TextColumn("predicting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tokens"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("predicting", total=total)
        yield lambda done: progress.update(task, completed=done)


def _as_json(result: Evaluation) -> dict[str, float | int | None]:
    return {
        "loss": result.loss,
        "loss_stderr": result.loss_stderr,
        "perplexity": result.perplexity if math.isfinite(result.perplexity) else None,
        "bits_per_byte": result.bits_per_byte,
        "tokens": result.tokens,
        "tokens_per_second": result.tokens_per_second,
    }


def _show(result: Evaluation, text: _Text, ignored: int | None) -> None:
    stderr = "" if result.loss_stderr is None else f" ± {result.loss_stderr:.4f}"
    click.echo(text.description)
    click.echo(f"  tokens          {result.tokens:,}, {result.tokens_per_second:,.0f} per second")
    click.echo(f"  loss            {result.loss:.4f}{stderr} nats per token")
    click.echo(f"  perplexity      {result.perplexity:.4g}")
    if result.bits_per_byte is not None:
        click.echo(f"  bits per byte   {result.bits_per_byte:.4f}")
    for line in verdicts(result.loss, _floors(text, ignored)):
        click.echo(line)


def _floors(text: _Text, ignored: int | None) -> dict[str, float]:
    """What guessing reaches: evenly, and where there is a rest of the text to count, by its frequencies."""
    if text.train is None:
        return {"ln V": math.log(text.vocab_size)}
    from quanta_tissu.tisslm.evaluate.floors import floors

    found = floors(text.train, text.tokens, text.vocab_size, ignore_after=ignored)
    return {"ln V": found.uniform, "unigram": found.unigram, "bigram": found.bigram}
