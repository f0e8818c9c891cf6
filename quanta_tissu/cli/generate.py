"""`tissu generate`: continue a prompt."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.generation_options import ENGINE_OPTION, generation_options, given_settings, visible
from quanta_tissu.errors import DataError

if TYPE_CHECKING:
    from quanta_tissu.tisslm.generate import Completion
    from quanta_tissu.tisslm.language_model import LanguageModel


@click.command("generate", cls=KernelCommand)
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option(
    "--prompt",
    default="",
    metavar="TEXT",
    help="The text to continue; - reads it from standard input. Without one a new document is started.",
)
@generation_options()
@ENGINE_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(checkpoint: str, prompt: str, engine: str | None, as_json: bool, **_: Any) -> None:
    """Continue a prompt.

    CHECKPOINT is a folder such as runs/demo/best. Prints the prompt and its continuation as it comes. Settings
    left out are those of the checkpoint's configuration; in brackets stands what that says by default.

    \b
    Examples:
      tissu generate runs/demo/best --prompt "def "
      tissu generate runs/demo/best --prompt "To be" --temperature 0 --max-new-tokens 40 --json
      cat letter.txt | tissu generate runs/demo/best --prompt - --num-samples 3 --seed 1
    """
    settings = given_settings(click.get_current_context())
    if settings.get("logprobs") is not None and not as_json:
        raise click.UsageError("--logprobs shows in the JSON output only; add --json")

    from quanta_tissu.tisslm.language_model import load

    model = load(checkpoint, engine)
    if prompt == "-":
        prompt = _standard_input()
    if as_json:
        model.logits([[0]])  # loads the compiled kernels, so that the rate is that of generating
        result = model.generate(prompt, **settings)
        completions = [_as_json(completion) for completion in result]
        report = {
            "prompt": prompt,
            "completions": completions,
            "tokens_per_second": result.tokens_per_second,
        }
        click.echo(json.dumps(report))
    elif model.settings(**settings).num_samples == 1:
        _stream(model, prompt, settings)
    else:
        result = model.generate(prompt, **settings)
        for completion in result:
            click.echo(f"--- sample {completion.sample + 1} of {len(result)}")
            _show(prompt + completion.text)
            click.echo()


def _standard_input() -> str:
    """All of standard input; the line break that editors and `echo` put at the end is not part of the prompt."""
    data: bytes = sys.stdin.buffer.read()
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"standard input is not UTF-8 text: byte {data[error.start]:#04x} at position {error.start}",
            hint="convert it first: iconv -f latin1 -t utf-8",
        ) from None


def _stream(model: LanguageModel, prompt: str, settings: dict[str, Any]) -> None:
    pieces = model.stream(prompt, **settings)
    _show(prompt)
    for piece in pieces:
        _show(piece)
    click.echo()


def _show(text: str) -> None:
    """Print text as it is; on a terminal without its control characters."""
    click.echo(visible(text) if _to_terminal() else text, nl=False)


def _to_terminal() -> bool:
    return sys.stdout.isatty()


def _as_json(completion: Completion) -> dict[str, Any]:
    """A completion as other programs read it; log-probabilities only if asked for."""
    result: dict[str, Any] = {
        "text": completion.text,
        "tokens": completion.tokens,
        "finish_reason": completion.finish_reason,
    }
    if completion.logprobs is not None:
        result["logprobs"] = [asdict(entry) for entry in completion.logprobs]
    return result
