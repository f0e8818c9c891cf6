"""Memory for agents: what was said, what is known, and what can be done.

import quanta_tissu.tissdb as tissdb
from quanta_tissu.knowledge.memory import ConversationMemory, FactMemory, SkillLibrary, Source

with tissdb.open("agent.db") as db:
    talk = ConversationMemory(db)
    turn = talk.append("planning", "user", "We meet on Tuesdays.")
    facts = FactMemory(db)
    facts.add("meetings", "They are on Tuesdays.", Source("turn", turn.id))
    print(talk.window("planning", budget=2000).text, facts.recall("When do we meet?"))
"""

from __future__ import annotations

from quanta_tissu.knowledge.memory.conversations import ConversationMemory
from quanta_tissu.knowledge.memory.facts import Fact, FactMemory, RecalledFact, Remembered, Source
from quanta_tissu.knowledge.memory.skills import FoundSkill, Skill, SkillLibrary, Use, Version
from quanta_tissu.knowledge.memory.summaries import (
    EndpointSummariser,
    ExtractiveSummariser,
    ModelSummariser,
    Summariser,
    token_measure,
)
from quanta_tissu.knowledge.memory.turns import Conversation, FoundTurn, Summary, Turn, Window

__all__ = [
    "Conversation",
    "ConversationMemory",
    "EndpointSummariser",
    "ExtractiveSummariser",
    "Fact",
    "FactMemory",
    "FoundSkill",
    "FoundTurn",
    "ModelSummariser",
    "RecalledFact",
    "Remembered",
    "Skill",
    "SkillLibrary",
    "Source",
    "Summariser",
    "Summary",
    "Turn",
    "Use",
    "Version",
    "Window",
    "token_measure",
]
