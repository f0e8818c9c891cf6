"""`tissu import`: other projects' weights become a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.errors import CheckpointError, TokenizerError

if TYPE_CHECKING:
    from quanta_tissu.tisslm.model.decoder import Decoder
    from quanta_tissu.tisslm.tokenizers.base import Tokenizer


@click.command("import")
@click.argument("source", metavar="FILE_OR_DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="CHECKPOINT",
    type=click.Path(path_type=Path),
    help="The checkpoint folder to write; a checkpoint that is already there is replaced.",
)
@click.option(
    "--tokenizer",
    "tokenizer_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The model's tokenizer: llama2c's .bin, a tokenizer.json, a checkpoint folder or a GGUF file. "
    "By default the tokenizer.json beside Hugging Face's weights.",
)
def command(source: Path, out: Path, tokenizer_path: Path | None) -> None:
    """Turn another project's weights into a checkpoint.

    FILE_OR_DIR is a checkpoint of llama2.c (a .bin file of version 0), or a folder from Hugging Face with
    config.json and safetensors of a llama, mistral or gpt2 model. What a model has and this package does not
    support is refused, never left out.

    \b
    Examples:
      tissu import stories260K.bin --tokenizer tok512.bin --out runs/stories
      tissu import ~/models/gpt2 --out runs/gpt2
      tissu generate runs/stories --prompt "Once upon a time"
    """
    from quanta_tissu.tisslm import artifact
    from quanta_tissu.tisslm.config import Config

    decoder = _read_weights(source)
    tokenizer = _read_tokenizer(source, tokenizer_path)
    vocab_size = decoder.config.vocab_size or 0
    if tokenizer.vocab_size > vocab_size:
        raise TokenizerError(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens, the model only {vocab_size:,}",
            hint="name the tokenizer that the model was trained with: --tokenizer FILE",
        )
    artifact.write(out, decoder, tokenizer, Config(), metrics={"imported_from": source.name})
    click.echo(
        f"wrote {out}: {decoder.parameters.num_elements:,} parameters, {tokenizer.kind} tokenizer of "
        f"{tokenizer.vocab_size:,} tokens"
    )
    click.echo(f'next: tissu generate {out} --prompt "…"')


def _read_weights(source: Path) -> Decoder:
    if source.is_dir():
        from quanta_tissu.tisslm.interop import hugging_face

        return hugging_face.read_checkpoint(source)
    if source.suffix.lower() != ".bin" and source.exists():
        raise CheckpointError(
            f"{source} is not a file that can be imported",
            hint="supported: llama2.c's .bin files, and Hugging Face folders with config.json and safetensors",
        )
    from quanta_tissu.tisslm.interop import llama2c

    return llama2c.read_checkpoint(source)


def _read_tokenizer(source: Path, named: Path | None) -> Tokenizer:
    from quanta_tissu.cli.tokenizer import open_tokenizer

    if named is not None:
        return open_tokenizer(named)
    if not source.is_dir():
        raise TokenizerError(
            f"{source.name} holds weights only, not their tokenizer",
            hint="name it: --tokenizer tokenizer.bin (llama2.c's tokenizer of the same vocabulary)",
        )
    try:
        return open_tokenizer(source)
    except TokenizerError as error:
        raise TokenizerError(
            error.message, hint="name another tokenizer of the same vocabulary: --tokenizer FILE"
        ) from error
