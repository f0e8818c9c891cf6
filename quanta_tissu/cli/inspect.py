"""`tissu inspect`: a model's parameters and its attention."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.compiling import KernelCommand

if TYPE_CHECKING:
    from quanta_tissu.tisslm.inspect.attention import AttentionMaps
    from quanta_tissu.tisslm.inspect.parameters import ParameterNode
    from quanta_tissu.tisslm.language_model import LanguageModel

_BINS, _BARS = 40, " ▁▂▃▄▅▆▇█"


@click.command("inspect", cls=KernelCommand)
@click.argument("checkpoint", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.argument("name", required=False)
@click.option("--attention", "prompt", metavar="PROMPT", help="Show which tokens of this text attend to which.")
@click.option("--layer", type=int, metavar="N", help="Attention of this layer only; -1 is the last.")
@click.option("--head", type=int, metavar="N", help="Attention of this head only; -1 is the last.")
@click.option(
    "--png", metavar="FILE", type=click.Path(path_type=Path), help="Draw the attention into a PNG file instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(
    checkpoint: Path,
    name: str | None,
    prompt: str | None,
    layer: int | None,
    head: int | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Look at a model's parameters and at its attention.

    Without NAME: the tree of all parameters, and parameters, FLOPs and bytes by part. With the dotted name of a
    parameter or of a part of the model: its shapes and statistics.

    \b
    Examples:
      tissu inspect runs/demo/best
      tissu inspect runs/demo/best model.layers.0.mlp
      tissu inspect runs/demo/best --attention "def main():" --layer -1
      tissu inspect runs/demo/best --attention "def main():" --png attention.png
    """
    if prompt is None and (layer, head, png) != (None, None, None):
        raise click.UsageError("--layer, --head and --png are about attention; give --attention PROMPT with them")
    if prompt is not None and name is not None:
        raise click.UsageError(f"give either a NAME ({name!r}) or --attention, not both")
    if png is not None and as_json:
        raise click.UsageError("--png writes a picture and --json prints numbers; give one of them")

    from quanta_tissu.tisslm.language_model import load

    model = load(checkpoint)
    if prompt is not None:
        _attention(model, prompt, layer, head, png, as_json)
    elif name is not None:
        _statistics(model, name, as_json)
    else:
        _overview(model, as_json)


def _overview(model: LanguageModel, as_json: bool) -> None:
    from quanta_tissu.tisslm.inspect.parameters import tree

    root, summary = tree(model.decoder.parameters), model.summary()
    if as_json:
        parts = [asdict(part) for part in summary.parts]
        names = {name: list(array.shape) for name, array in model.decoder.parameters.items()}
        report = {
            "parameters": summary.parameters,
            "flops_per_token": summary.flops,
            "bytes": summary.nbytes,
            "parts": parts,
            "shapes": names,
            "model": model.decoder.config.model_dump(mode="json"),
        }
        click.echo(json.dumps(report))
        return
    click.echo(repr(model)[1:-1])
    for line in _branches(root):
        click.echo(line)
    click.echo(f"\n{summary}")


def _branches(node: ParameterNode) -> Iterator[str]:
    """The tree below a part, a line for each part."""
    children = _collapsed(node)
    for i, child in enumerate(children):
        label, leaf = child.label, child
        if len(child.children) == 1:  # a module with nothing but its weight takes one line
            leaf = child.children[0]
            label = f"{label}.{leaf.label}"
        shape = f"{' × '.join(map(str, leaf.shape))} = " if leaf.shape and len(leaf.shape) > 1 else ""
        last = i == len(children) - 1
        yield f"{'└── ' if last else '├── '}{label}  {shape}{child.size:,}"
        for line in _branches(leaf):
            yield ("    " if last else "│   ") + line


def _collapsed(node: ParameterNode) -> list[ParameterNode]:
    """The children, with equal neighbouring layers (children named by numbers) shown as the first of them."""
    groups: list[list[ParameterNode]] = []
    for child in node.children:
        if groups and child.label.isdigit() and _structure(child) == _structure(groups[-1][0]):
            groups[-1].append(child)
        else:
            groups.append([child])
    return [
        replace(group[0], name=f"{group[0].name} … {group[-1].label}, each") if len(group) > 1 else group[0]
        for group in groups
    ]


def _structure(node: ParameterNode) -> list[Any]:
    """What two equal layers have in common: labels and shapes, all the way down."""
    return [(child.label, child.shape, _structure(child)) for child in node.children]


def _statistics(model: LanguageModel, name: str, as_json: bool) -> None:
    from quanta_tissu.tisslm.inspect.parameters import histogram, select, statistics

    parameters = model.decoder.parameters
    found = [statistics(full, parameters[full]) for full in select(parameters, name)]
    if as_json:
        click.echo(json.dumps({"name": name, "parameters": [asdict(entry) for entry in found]}))
        return
    width = max(len("parameter"), *(len(entry.name) for entry in found))
    shapes = [" × ".join(map(str, entry.shape)) for entry in found]
    columns = max(len("shape"), *map(len, shapes))
    titles = ("mean", "std", "min", "max", "norm", "zeros")
    click.echo(f"{'parameter':<{width}}  {'shape':>{columns}}" + "".join(f"{title:>12}" for title in titles))
    for entry, shape in zip(found, shapes, strict=True):
        numbers = (entry.mean, entry.std, entry.minimum, entry.maximum, entry.norm)
        figures = ["-" if value is None else f"{value:.4g}" for value in numbers] + [f"{entry.zeros:.1%}"]
        click.echo(f"{entry.name:<{width}}  {shape:>{columns}}" + "".join(f"{figure:>12}" for figure in figures))
    for entry in found:
        if entry.non_finite:
            click.echo(f"warning: {entry.name} has {entry.non_finite:,} elements that are not finite", err=True)
    if len(found) == 1 and found[0].std is not None:
        counts, edges = histogram(parameters[found[0].name], _BINS)
        heights = -(-counts * (len(_BARS) - 1) // max(1, counts.max()))  # rounded up: what exists is seen
        click.echo(f"\n{edges[0]:.3g} │{''.join(_BARS[height] for height in heights)}│ {edges[-1]:.3g}")


def _attention(
    model: LanguageModel, prompt: str, layer: int | None, head: int | None, png: Path | None, as_json: bool
) -> None:
    import numpy as np

    from quanta_tissu.tisslm.inspect.attention import attention_maps, save_png

    maps = attention_maps(model.decoder, model.tokenizer, prompt, layer=layer, head=head)
    if as_json:
        weights = maps.weights.astype(object)
        weights[~np.isfinite(maps.weights)] = None  # JSON has no NaN
        report = {
            "tokens": maps.tokens,
            "ids": maps.ids,
            "layers": maps.layers,
            "heads": maps.heads,
            "weights": weights.tolist(),
        }
        click.echo(json.dumps(report))
    elif png is not None:
        save_png(maps, png)
        click.echo(f"wrote {png}")
    else:
        _show(maps)


def _show(maps: AttentionMaps) -> None:
    from quanta_tissu.tisslm.inspect.attention import SHADES, as_text

    width = shutil.get_terminal_size((100, 24)).columns
    shades = "  ".join(f"{shade!r} from {i / len(SHADES):.1f}" for i, shade in enumerate(SHADES))
    click.echo(f"A row attends to the columns, which are the same tokens from left to right: {shades}.")
    for i, layer in enumerate(maps.layers):
        for j, head in enumerate(maps.heads):
            click.echo(f"\nlayer {layer}, head {head}")
            click.echo(as_text(maps.tokens, maps.weights[i, j], width=width))
