"""`tissu memory`: what agents remember, one file for each kind of memory."""

from __future__ import annotations

import click

from quanta_tissu.cli.memory.conversations import group as conversation_group
from quanta_tissu.cli.memory.facts import group as fact_group
from quanta_tissu.cli.memory.skills import group as skill_group


@click.group("memory")
def command() -> None:
    """Remember for agents: conversations, facts, skills.

    DB is a file, or postgresql://user@host/database?schema=NAME; the first command that adds something makes it.

    \b
    Examples:
      tissu memory conversation add agent.db planning user 'We meet on Tuesdays.'
      tissu memory conversation window agent.db planning --budget 2000
      tissu memory fact add agent.db meetings 'The team meets on Tuesdays.' --source 'turn 019a...'
      tissu memory fact search agent.db 'when do we meet?'
      tissu memory skill add agent.db tidy tidy.tiss --description 'Sort the lines of a file'
      tissu memory skill search agent.db 'put lines in order'
    """


for _group in (conversation_group, fact_group, skill_group):
    command.add_command(_group)
