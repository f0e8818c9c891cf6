"""`tissu lang graph`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("graph")
@click.argument("script", metavar="SCRIPT")
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "mermaid", "dot"]),
    default="svg",
    show_default=True,
    help="A picture, or text that Mermaid or Graphviz make one of.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where it is written; by default to standard output.",
)
def command(script: str, form: str, output: Path | None) -> None:
    """Draw a script: its steps with what they do, and the ways between them.

    Boxes are steps, frames hold ways: at the same time, one of them, again and again. Models and people are
    marked. What is in the boxes comes from the plan; nothing is done.

    \b
    Examples:
      tissu lang graph plan.tiss -o plan.svg
      tissu lang graph plan.tiss --format mermaid
      tissu lang graph plan.tiss --format dot | dot -Tpdf > plan.pdf
    """
    from quanta_tissu.cli.lang.scripts import read_script
    from quanta_tissu.cli.run.making import refuse_wrong
    from quanta_tissu.cli.writing import write_text
    from quanta_tissu.tisslang.engine.planning import plan_of
    from quanta_tissu.tisslang.engine.program import read_program
    from quanta_tissu.tisslang.planning.graph import as_dot, as_mermaid, graph_of
    from quanta_tissu.tisslang.planning.graph_svg import as_svg

    program = read_program(read_script(Path(script)), read_script)
    refuse_wrong(program)
    nodes = graph_of(program, plan_of(program.interpreter(exhaustive=True).run()))
    text = {"svg": as_svg, "mermaid": as_mermaid, "dot": as_dot}[form](nodes, program.title)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text, ours=lambda there: there.startswith((b"<svg ", b"flowchart ", b"digraph ")))
