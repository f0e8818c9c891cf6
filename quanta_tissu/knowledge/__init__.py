"""Knowledge: what files say, found by meaning and words, and answers with citations.

import quanta_tissu.tissdb as tissdb
from quanta_tissu.knowledge import KnowledgeBase

with tissdb.open("knowledge.db") as db:
    kb = KnowledgeBase(db)
    kb.add("docs/")
    for hit in kb.search("How do I sort a list?"):
        print(hit.where, hit.text)
    print(kb.answer("How do I sort a list?"))
"""

from __future__ import annotations

from quanta_tissu.knowledge.answering import Answer, Sentence
from quanta_tissu.knowledge.embedders import Embedder, EncoderEmbedder, NgramEmbedder, default_embedder
from quanta_tissu.knowledge.endpoint import EndpointEmbedder
from quanta_tissu.knowledge.feedback import Feedback, Record
from quanta_tissu.knowledge.knowledge_base import Added, KnowledgeBase
from quanta_tissu.knowledge.passages import FoundPassage, Passage

__all__ = [
    "Added",
    "Answer",
    "Embedder",
    "EncoderEmbedder",
    "EndpointEmbedder",
    "Feedback",
    "FoundPassage",
    "KnowledgeBase",
    "NgramEmbedder",
    "Passage",
    "Record",
    "Sentence",
    "default_embedder",
]
