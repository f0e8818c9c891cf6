"""`tissu data`: from text to tokens, and what is in them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.errors import ConfigError, DataError

if TYPE_CHECKING:
    from quanta_tissu.tisslm.config import Config
    from quanta_tissu.tisslm.data.dataset import TokenDataset
    from quanta_tissu.tisslm.data.readers import Document
    from quanta_tissu.tisslm.evaluate.corpus import CorpusStatistics

_USED = ("data.", "tokenizer.", "train.seed")


def _tokenizing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how text becomes tokens."""
    settings = "Change one setting: data.*, tokenizer.* or train.seed, as in the YAML file. May be repeated."
    for option in (
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=settings),
        click.option("--config", "config_file", metavar="FILE", help="Take the settings of a tissu.yaml."),
        click.option("--vocab-size", metavar="N", type=int, help="Size of the BPE vocabulary to train."),
        click.option("--kind", help="Kind of tokenizer to train on the source: bpe or character."),
        click.option("--tokenizer", "tokenizer_file", metavar="FILE", help="Use this tokenizer."),
    ):
        function = option(function)
    return function


def _source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The text, with and without the name that it has in the other commands."""
    explanation = "The same as SOURCE, as in `tissu train`; may also come from --config."
    option = click.option("--data", "source", metavar="SOURCE", help=explanation)
    return click.argument("named", metavar="[SOURCE]", required=False)(option(function))


@click.group("data")
def command() -> None:
    """Prepare a token dataset, and count what is in a source.

    A source is a text file, a folder, a .jsonl file or builtin:python (Python's own documentation and library).
    """


@command.command("prepare")
@_source_options
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The folder to write.")
@click.option("--force", is_flag=True, help="Replace a prepared dataset that is in the folder.")
@_tokenizing_options
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def prepare_command(
    named: str | None, source: str | None, out: Path, force: bool, as_json: bool, **options: Any
) -> None:
    """Tokenize a source once, for many training runs.

    Writes train.bin and validation.bin (token ids, read from disk while training, so the text may be larger than
    memory), tokenizer.json and manifest.json (counts and hashes). `tissu train --data DIR` takes the folder.

    \b
    Examples:
      tissu data prepare --data builtin:python --vocab-size 4096 --out datasets/python
      tissu data prepare --data mail.jsonl --set data.text_field=body --kind character --out datasets/mail
    """
    from quanta_tissu.tisslm.data.dataset import is_prepared

    config = _configuration(_one_source(named, source), **options)
    if is_prepared(out) and not force:
        raise DataError(
            f"{out} already holds a prepared dataset", hint="name another folder, or replace it with --force"
        )
    dataset = _prepare(config, out)
    if as_json:
        click.echo(json.dumps({"path": str(out), **dataset.manifest.model_dump(mode="json")}))
        return
    manifest = dataset.manifest
    click.echo(
        f"wrote {out}: {manifest.train.tokens:,} tokens to train on and {manifest.validation.tokens:,} to "
        f"validate on ({manifest.tokenizer.kind}, {manifest.tokenizer.vocab_size:,} ids, {manifest.dtype})"
    )
    click.echo(f"next: tissu train --data {out} --out runs/first")


@command.command("stats")
@_source_options
@_tokenizing_options
@click.option("--top", default=10, show_default=True, type=click.IntRange(0), help="Most common tokens to list.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def stats_command(named: str | None, source: str | None, top: int, as_json: bool, **options: Any) -> None:
    """Count documents, bytes and tokens, and the floors a model has to beat.

    Reads a prepared dataset, or tokenizes a source into a temporary folder first. The floors are the losses on
    the validation split of guessing evenly (ln V), by the frequency of tokens (unigram) and by the token before
    (bigram); a text too short to split has none.

    \b
    Examples:
      tissu data stats datasets/python
      tissu data stats tinyshakespeare.txt --kind character --json
    """
    from dataclasses import asdict

    from quanta_tissu.tisslm.data.dataset import TokenDataset, is_prepared
    from quanta_tissu.tisslm.evaluate.corpus import corpus_statistics

    source = _one_source(named, source)
    if source is not None and is_prepared(source):
        if any(options.values()):
            raise ConfigError(
                f"{source} is a prepared dataset: its text is tokens already, so no option can change them",
                hint="leave out the options about tokenizing, or name the text it was made from",
            )
        statistics = corpus_statistics(TokenDataset.open(source), top=top)
    else:
        with tempfile.TemporaryDirectory(prefix="tissu-") as folder:
            dataset = _prepare(_configuration(source, **options), Path(folder, "dataset"), min_split_tokens=0)
            statistics = corpus_statistics(dataset, top=top)
    if as_json:
        click.echo(json.dumps(asdict(statistics)))
    else:
        _show(statistics)


def _configuration(
    source: str | None,
    tokenizer_file: str | None,
    kind: str | None,
    vocab_size: int | None,
    config_file: str | None,
    overrides: tuple[str, ...],
) -> Config:
    from quanta_tissu.tisslm.config.load import load_config

    if tokenizer_file is not None and (kind is not None or vocab_size is not None):
        raise ConfigError(
            "--tokenizer names a tokenizer that exists; --kind and --vocab-size are for training one",
            hint="give one or the other",
        )
    for override in overrides:
        if not override.startswith(_USED):
            raise ConfigError(
                f"--set {override}: preparing data uses data.*, tokenizer.* and train.seed only",
                hint="give this setting to `tissu train` instead",
            )
    named = {
        "data.source": source,
        "tokenizer.path": tokenizer_file,
        "tokenizer.kind": kind,
        "tokenizer.vocab_size": vocab_size,
    }
    settings = [f"{key}={value}" for key, value in named.items() if value is not None]
    config = load_config(config_file, overrides=[*overrides, *settings])
    if vocab_size is not None and config.tokenizer.kind == "character":
        raise ConfigError(
            f"--vocab-size {vocab_size} means nothing to a character tokenizer: every character has an id",
            hint="leave it out, or choose --kind bpe",
        )
    return config


def _one_source(named: str | None, source: str | None) -> str | None:
    """SOURCE or --data SOURCE, which are the same."""
    if named is not None and source is not None:
        raise click.UsageError(f"the source is named twice: {named} and --data {source}")
    return source if named is None else named


def _prepare(config: Config, out: Path, **limits: int) -> TokenDataset:
    from quanta_tissu.cli.progress import reading
    from quanta_tissu.tisslm import tokenizers
    from quanta_tissu.tisslm.data.prepare import prepare
    from quanta_tissu.tisslm.data.sources import configured_source

    source = configured_source(config.data)
    if config.tokenizer.path is not None:
        tokenizer = tokenizers.load(config.tokenizer.path)
    else:
        with reading("training the tokenizer", source.num_bytes) as show:
            tokenizer = tokenizers.train(config.tokenizer, _texts(source.documents(), show))
    with reading("tokenizing", source.num_bytes) as show:
        return prepare(source, tokenizer, out, config.data, config.train.seed, progress=show, **limits)


def _texts(documents: Iterable[Document], show: Callable[[int], None]) -> Iterator[str]:
    done = 0
    for document in documents:
        yield document.text
        done += len(document.text.encode())
        show(done)


def _show(statistics: CorpusStatistics) -> None:
    from rich.table import Table

    from quanta_tissu.cli.console import OutputConsole

    console = OutputConsole(markup=False, highlight=False, emoji=False)  # a token may look like markup
    table = Table(title=statistics.source, show_header=False)
    for name, value in (
        ("documents", f"{statistics.documents:,}"),
        ("bytes of text", f"{statistics.text_bytes:,}"),
        ("tokenizer", f"{statistics.tokenizer}, {statistics.vocab_size:,} ids"),
        ("tokens", f"{statistics.tokens:,}"),
        ("  to train on", f"{statistics.train_tokens:,}"),
        ("  to validate on", f"{statistics.validation_tokens:,}"),
        ("bytes per token", f"{statistics.bytes_per_token:.3f}"),
        ("ids that come", f"{statistics.distinct_tokens:,} of {statistics.vocab_size:,}"),
    ):
        table.add_row(name, value)
    console.print(table)
    if statistics.floors is None:
        console.print("no floors: the text is too short for a validation split")
    else:
        table = Table("floor", "nats per token", "bits per byte")
        for label, name in (("guessing evenly (ln V)", "uniform"), ("unigram", "unigram"), ("bigram", "bigram")):
            nats, bits = getattr(statistics.floors, name), getattr(statistics.floors_bits_per_byte, name)
            table.add_row(label, f"{nats:.4f}", f"{bits:.4f}")
        console.print(table)
    if statistics.most_common:
        table = Table("token", "id", "count", "share", title="most common tokens")
        for token in statistics.most_common:
            table.add_row(repr(token.text), str(token.id), f"{token.count:,}", f"{token.share:.2%}")
        console.print(table)
