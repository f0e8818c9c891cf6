"""`tissu init`: a project folder to start from."""

from __future__ import annotations

from pathlib import Path

import click

from quanta_tissu.errors import ConfigError, DataError

_GITIGNORE = """\
# What training writes; everything in it can be made again from tissu.yaml.
/runs/
"""

_README = """\
# {title}

A language-model project: `tissu.yaml` holds every setting with its meaning, `runs/` what training writes.

```sh
tissu train --config tissu.yaml --out runs/first     # Ctrl-C saves; `tissu train --resume runs/first` goes on
tissu evaluate runs/first/best --data {source}
tissu generate runs/first/best --prompt "Once"
tissu chat runs/first/best
```

Any setting can be changed for one run: with `--set train.max_steps=300`, or in the environment with
`TISSU_TRAIN__MAX_STEPS=300`.
"""


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--preset", default="demo", show_default=True, help="The preset to start from.")
@click.option("--data", "source", help="The text to learn from, instead of the preset's.")
def command(folder: Path, preset: str, source: str | None) -> None:
    """Start a project folder with a commented configuration.

    Writes tissu.yaml (every field with its meaning, what it allows and its default), a .gitignore and a README.md
    with the next commands. Nothing is overwritten.

    \b
    Examples:
      tissu init shakespeare --preset baby-gpt --data tinyshakespeare.txt
      tissu init first-steps
    """
    from quanta_tissu.tisslm.config.dump import dump_yaml
    from quanta_tissu.tisslm.config.load import load_config

    config = load_config(preset=preset, environ={})
    if source is not None:
        data = config.data.model_copy(update={"source": _absolute(source)})
        config = config.model_copy(update={"data": data})
    title = folder.resolve().name or "project"
    files = {
        folder / "tissu.yaml": f"# {title}, started from the preset {preset}.\n\n{dump_yaml(config)}",
        folder / ".gitignore": _GITIGNORE,
        folder / "README.md": _README.format(title=title, source=config.data.source or "TEXT_FILE"),
    }
    existing = [path for path in files if path.exists()]
    if existing:
        raise ConfigError(
            f"{', '.join(map(str, existing))} already there; nothing was written",
            hint="choose another folder, or move those files away",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    click.echo(f"wrote {', '.join(path.name for path in files)} in {folder}")
    click.echo(f"next: cd {folder} && tissu train --config tissu.yaml --out runs/first")


def _absolute(source: str) -> str:
    """The source as the project folder must name it; built-in sources have no path.

    Raises:
        DataError: There is no such file.
    """
    if source.startswith("builtin:"):
        return source
    path = Path(source)
    if not path.exists():
        raise DataError(
            f"there is no file or folder {source}",
            hint="give a text file, a folder, a JSONL file or builtin:python",
        )
    return str(path.resolve())
