"""An agent's memory: conversations that fit a context, facts that fade, skills that prove themselves, feedback.

Run it from anywhere: `python examples/remember.py`. It needs no model: vectors are made from spelling, summaries
from the turns' own sentences.
"""

from __future__ import annotations

import datetime as dt

from quanta_tissu import tissdb
from quanta_tissu.knowledge import KnowledgeBase, NgramEmbedder
from quanta_tissu.knowledge.memory import ConversationMemory, FactMemory, SkillLibrary, Source

GUIDE = """# Trains
The night train to Vienna leaves from platform 4 at ten in the evening.

# Buses
The night bus to the station leaves from the market every half hour.
"""

with tissdb.open(":memory:") as db:
    embedder = NgramEmbedder()

    # What was said: forty turns, of which a window of 120 words and signs shows the newest and a summary.
    talk = ConversationMemory(db, embedder)
    for day in range(1, 21):
        talk.append("journey", "user", f"What happens on day {day} of the journey to Vienna?")
        turn = talk.append("journey", "assistant", f"On day {day} we visit museum {day}.")
    window = talk.window("journey", budget=120)
    print(f"{talk['journey'].turns} turns; a window of {window.tokens} words and signs shows\n{window.text}")
    print("found again:", talk.search("which museum is for day 3?", k=1)[0].turn)

    # What is known: with sources, and weaker with time unless it is confirmed.
    facts = FactMemory(db, embedder, half_life=dt.timedelta(days=30))
    old = facts.add("hotel", "The hotel in Vienna is the Sacher.", Source("turn", turn.id), confidence=0.6).fact
    booking = Source("document", "booking.pdf")
    facts.supersede(old.id, "The hotel in Vienna is the Imperial.", booking, confidence=0.9)
    for days in (0, 30, 60):
        at = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        [recalled] = facts.recall("Which hotel do we have in Vienna?", at=at)
        print(f"after {days} days: {recalled.fact.text} (strength {recalled.strength:.2f})")

    # What can be done: of two scripts that promise the same, the one that works is found first.
    skills = SkillLibrary(db, embedder)
    for name in ("book by mail", "book by phone"):
        skills.save(name, f"# {name}", "Book a table in a restaurant")
    for _ in range(5):
        skills.record("book by mail", success=False, detail="no answer")
        skills.record("book by phone", success=True)
    for found in skills.search("book a table"):
        now = found.skill.current
        print(f"{found.skill.name}: worked {now.successes}, failed {now.failures}, surety {found.surety:.2f}")

    # What people say of what was found changes what is found, and can be taken back.
    kb = KnowledgeBase(db, embedder)
    kb.add_text(GUIDE, "guide.md")
    question = "Where does the night bus or train leave from?"
    before = kb.search(question)
    record = kb.feedback.pin(question, before[-1], who="ada", why="we have tickets for it")
    print(f"first was {before[0].heading}, and is {kb.search(question)[0].heading}")
    kb.feedback.undo(record.id, who="ada", why="they were sold")
    print(f"after undoing it is {kb.search(question)[0].heading}: {kb.search(question) == before}")
