"""`tissu tokenizer`: train one, and see what it does to a text."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.errors import ConfigError, TokenizerError
from quanta_tissu.tisslm.wording import counted

if TYPE_CHECKING:
    from quanta_tissu.tisslm.data.readers import Document
    from quanta_tissu.tisslm.tokenizers import Piece, Tokenizer

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")

_tokenizer_argument = click.argument("path", metavar="TOKENIZER", type=click.Path(path_type=Path))
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_special_option = click.option(
    "--allow-special",
    is_flag=True,
    help="Turn special tokens in the text into their ids instead of refusing them.",
)


@click.group("tokenizer")
def command() -> None:
    """Train a tokenizer, and see what it does to a text.

    TOKENIZER is a tokenizer.json, a checkpoint folder, a .gguf file with GPT-2's kind of vocabulary, or a .bin
    tokenizer of llama2.c.
    """


@command.command("train")
@click.option("--data", "source", required=True, metavar="SOURCE", help="The text to learn from.")
@click.option(
    "--kind",
    type=click.Choice(["bpe", "character"]),
    default="bpe",
    show_default=True,
    help="Byte-level BPE, or one id per character.",
)
@click.option("--vocab-size", metavar="N", type=int, help="Size of the BPE vocabulary.  [default: 4096]")
@click.option(
    "--no-special-tokens",
    is_flag=True,
    help="Character tokenizer: no ids for PAD, BOS, EOS and UNK (exact counts).",
)
@click.option("--text-field", default="text", show_default=True, help="Field that holds the text in JSONL lines.")
@click.option("--max-bytes", metavar="N", type=click.IntRange(1), help="Stop reading after this many bytes.")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@_json_option
def train_command(
    source: str,
    kind: str,
    vocab_size: int | None,
    no_special_tokens: bool,
    text_field: str,
    max_bytes: int | None,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Learn a vocabulary from a text.

    Byte-level BPE gives common words one id and can express any text; a character tokenizer gives each character
    of the source one id. Both are one JSON file; BPE's opens in Hugging Face's libraries too.

    \b
    Examples:
      tissu tokenizer train --data builtin:python --vocab-size 4096 --out tokenizer.json
      tissu tokenizer train --data play.txt --kind character --no-special-tokens --out characters.json
    """
    if kind == "character" and vocab_size is not None:
        raise ConfigError(
            f"--vocab-size {vocab_size} means nothing to a character tokenizer: every character has an id",
            hint="leave it out, or choose --kind bpe",
        )
    if kind == "bpe" and no_special_tokens:
        raise ConfigError(
            "--no-special-tokens is for character tokenizers: BPE always has <|endoftext|>",
            hint="leave it out, or choose --kind character",
        )
    _check_writable(out, overwrite)

    from quanta_tissu.cli.progress import reading
    from quanta_tissu.tisslm import tokenizers
    from quanta_tissu.tisslm.data.sources import open_source

    text = open_source(source, text_field=text_field, max_bytes=max_bytes)
    read = _Counted(text.documents())
    start = time.perf_counter()
    with reading("training the tokenizer", text.num_bytes) as show:
        tokenizer: Tokenizer
        if kind == "character":
            tokenizer = tokenizers.CharacterTokenizer.train(read.texts(show), special_tokens=not no_special_tokens)
        else:
            tokenizer = tokenizers.BPETokenizer()
            tokenizer.train(read.texts(show), 4096 if vocab_size is None else vocab_size)
    tokenizer.save(out)
    result = {
        "path": str(out),
        "kind": kind,
        "vocab_size": tokenizer.vocab_size,
        "documents": read.documents,
        "bytes": read.bytes,
        "seconds": round(time.perf_counter() - start, 3),
        "fingerprint": tokenizer.fingerprint(),
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"wrote {out}: {tokenizer.vocab_size:,} tokens from {counted(read.bytes, 'byte')} in "
        f"{counted(read.documents, 'document')}, {result['seconds']:.1f} s"
    )
    if vocab_size is not None and tokenizer.vocab_size < vocab_size:
        click.echo(f"the text has no pair of tokens twice after {tokenizer.vocab_size:,}; more text gives more")


@command.command("encode")
@_tokenizer_argument
@click.argument("text", required=False)
@_special_option
@_json_option
def encode_command(path: Path, text: str | None, allow_special: bool, as_json: bool) -> None:
    """Print the ids of TEXT, or of standard input.

    \b
    Examples:
      tissu tokenizer encode tokenizer.json "def main():"
      tissu tokenizer encode runs/demo/best < notes.txt
    """
    ids = open_tokenizer(path).encode(_text(text), allow_special=allow_special)
    click.echo(json.dumps({"ids": ids, "tokens": len(ids)}) if as_json else " ".join(map(str, ids)))


@command.command("decode")
@_tokenizer_argument
@click.argument("ids", nargs=-1)
@_json_option
def decode_command(path: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Print the text of IDS, given here or on standard input with spaces or commas between them.

    The bytes are exact; with --json, bytes that are not UTF-8 show as U+FFFD.

    \b
    Examples:
      tissu tokenizer decode tokenizer.json 289 1033 26
      tissu tokenizer encode tokenizer.json "any text" | tissu tokenizer decode tokenizer.json
    """
    numbers = _numbers(" ".join(ids) if ids else _text(None))
    tokenizer = open_tokenizer(path)
    if as_json:
        click.echo(json.dumps({"text": tokenizer.decode(numbers), "tokens": len(numbers)}))
        return
    raw = tokenizer.decode_bytes(numbers)
    click.echo(raw, nl=sys.stdout.isatty() and not raw.endswith(b"\n"))


@command.command("show")
@_tokenizer_argument
@click.argument("text", required=False)
@click.option("--data", "source", metavar="SOURCE", help="Measure how well it compresses this text instead.")
@click.option("--text-field", default="text", show_default=True, help="Field that holds the text in JSONL lines.")
@click.option("--max-bytes", metavar="N", type=click.IntRange(1), help="Stop reading after this many bytes.")
@_special_option
@_json_option
def show_command(
    path: Path,
    text: str | None,
    source: str | None,
    text_field: str,
    max_bytes: int | None,
    allow_special: bool,
    as_json: bool,
) -> None:
    """Show how TEXT splits into tokens, or what the vocabulary is made of.

    \b
    Examples:
      tissu tokenizer show tokenizer.json "def main():"
      tissu tokenizer show tokenizer.json
      tissu tokenizer show tokenizer.json --data builtin:python --max-bytes 1000000
    """
    if text is not None and source is not None:
        raise ConfigError("a text and --data are both given", hint="give one or the other")
    tokenizer = open_tokenizer(path)
    if text is not None:
        _show_pieces(tokenizer.pieces(text, allow_special=allow_special), as_json)
    elif source is not None:
        _show_compression(tokenizer, source, text_field, max_bytes, as_json)
    else:
        _show_vocabulary(tokenizer, as_json)


@command.command("convert")
@_tokenizer_argument
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def convert_command(path: Path, out: Path, overwrite: bool) -> None:
    """Write TOKENIZER as a tokenizer.json, for `tokenizer.path` in a configuration.

    \b
    Example:
      tissu tokenizer convert ggml-vocab-gpt-2.gguf --out gpt2.json
    """
    _check_writable(out, overwrite)
    tokenizer = open_tokenizer(path)
    tokenizer.save(out)
    click.echo(f"wrote {out}: {tokenizer.kind}, {tokenizer.vocab_size:,} tokens")


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a tokenizer.json, a checkpoint folder, a .gguf file, or llama2.c's .bin file.

    Raises:
        TokenizerError: There is none, or it is of a kind that is not supported.
        CheckpointError: The .gguf file is damaged.
    """
    if path.suffix.lower() == ".bin":
        from quanta_tissu.tisslm.interop import llama2c

        return llama2c.read_tokenizer(path)
    if path.suffix.lower() == ".gguf":
        from quanta_tissu.tisslm.interop.gguf import read_tokenizer

        return read_tokenizer(path)
    from quanta_tissu.tisslm import tokenizers

    return tokenizers.load(path)


class _Counted:
    """Texts of documents, read on their way."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = documents
        self.documents = self.bytes = 0

    def texts(self, show: Callable[[int], None]) -> Iterator[str]:
        for document in self._documents:
            yield document.text
            self.documents += document.complete
            self.bytes += len(document.text.encode())
            show(self.bytes)


def _check_writable(out: Path, overwrite: bool) -> None:
    """Refuse an output file that cannot or should not be written, before any work is done."""
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(
            f"--out {out} is a folder" if out.is_dir() else f"--out {out}: there is no folder {out.parent}",
            hint="name a file in a folder that is there, such as tokenizer.json",
        )
    if out.exists() and not overwrite:
        raise ConfigError(
            f"{out} is there already; models may depend on it",
            hint="choose another name, or replace it with --overwrite",
        )


def _text(text: str | None) -> str:
    if text is not None:
        return text
    raw: bytes = sys.stdin.buffer.read()
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"standard input is not UTF-8: byte {raw[error.start]:#04x} at position {error.start}",
            hint="convert it to UTF-8 first, with iconv for example",
        ) from None


def _numbers(text: str) -> list[int]:
    words = re.split(r"[\s,]+", text.strip(" \t\r\n[],"))
    try:
        return [int(word) for word in words if word]
    except ValueError:
        wrong = next(word for word in words if not re.fullmatch(r"[+-]?\d+", word))
        raise TokenizerError(
            f"{wrong!r} is not a token id", hint="ids are whole numbers, as in 289 1033 26"
        ) from None


def _readable(raw: bytes) -> str:
    """A token as Python would write it: as text if it is UTF-8 by itself, else as bytes."""
    try:
        return repr(raw.decode())
    except UnicodeDecodeError:
        return repr(raw)


def _show_pieces(pieces: list[Piece], as_json: bool) -> None:
    if as_json:
        rows = [{"id": piece.id, "text": piece.text, "bytes": piece.bytes.hex()} for piece in pieces]
        click.echo(json.dumps({"pieces": rows, "tokens": len(pieces)}))
        return
    from rich.table import Column, Table
    from rich.text import Text

    console = _console()
    coloured = Text()
    table = Table("id", Column("token", overflow="fold"), Column("bytes", overflow="fold"))
    for i, piece in enumerate(pieces):
        colour = _COLOURS[i % len(_COLOURS)]
        coloured.append(piece.text, style=f"reverse {colour}")
        table.add_row(str(piece.id), Text(_readable(piece.bytes), style=colour), piece.bytes.hex(" "))
    if console.is_terminal:
        console.print(coloured)
    console.print(table)
    size = sum(len(piece.bytes) for piece in pieces)
    console.print(
        f"{counted(len(pieces), 'token')}, {counted(size, 'byte')}, "
        f"{size / max(1, len(pieces)):.2f} bytes per token"
    )


def _show_compression(
    tokenizer: Tokenizer, source: str, text_field: str, max_bytes: int | None, as_json: bool
) -> None:
    from dataclasses import asdict

    from quanta_tissu.cli.progress import reading
    from quanta_tissu.tisslm.data.sources import open_source
    from quanta_tissu.tisslm.tokenizers.statistics import compression

    text = open_source(source, text_field=text_field, max_bytes=max_bytes)
    read = _Counted(text.documents())
    with reading("encoding", text.num_bytes) as show:
        found = compression(tokenizer, read.texts(show))
    if as_json:
        click.echo(json.dumps({"source": source, "documents": read.documents, **asdict(found)}))
        return
    _print_table(
        f"{source} in {tokenizer.vocab_size:,} tokens",
        {
            "documents": f"{read.documents:,}",
            "bytes": f"{found.bytes:,}",
            "characters": f"{found.characters:,}",
            "tokens": f"{found.tokens:,}",
            "bytes per token": f"{found.bytes_per_token:.3f}",
            "characters per token": f"{found.characters_per_token:.3f}",
            "vocabulary used": f"{found.distinct_tokens:,} tokens, {found.vocabulary_used:.1%}",
        },
    )


def _show_vocabulary(tokenizer: Tokenizer, as_json: bool) -> None:
    from dataclasses import asdict

    from quanta_tissu.tisslm.tokenizers.statistics import vocabulary_statistics

    found = vocabulary_statistics(tokenizer)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    special = [f"{token!r} {token_id}" for token, token_id in found.special_tokens.items()]
    longest = [f"{_readable(tokenizer.token_bytes(token_id))} {token_id}" for token_id in found.longest]
    _print_table(
        f"{found.kind} tokenizer",
        {
            "tokens": f"{found.vocab_size:,}",
            "special tokens": "\n".join(special) or "none",
            "bytes of a token": f"{found.mean_length:.2f} on average, {found.max_length} at most",
            "tokens by bytes": ", ".join(f"{size}: {count:,}" for size, count in found.lengths.items()),
            "longest tokens": "\n".join(longest),
            "fingerprint": found.fingerprint,
        },
    )


def _print_table(title: str, rows: dict[str, str]) -> None:
    from rich.table import Column, Table

    table = Table("", Column(overflow="fold"), title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    _console().print(table)


def _console() -> Any:
    from quanta_tissu.cli.console import OutputConsole

    return OutputConsole(markup=False, highlight=False, emoji=False)  # a token may look like markup
