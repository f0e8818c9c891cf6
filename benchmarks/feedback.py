"""What a knowledge base learns from feedback: do other wordings of the same questions gain, and do others lose?

    python benchmarks/feedback.py [--entries 300] [--similar 0.85] [--embedder NAME] [--seed 0] [--json]

The corpus is that of benchmarks/retrieval.py. Each entry is asked about in six wordings: a third of the entries by
description (a docstring's first sentence, which is not in the corpus, as a question, as a wish, in key words, with
other words for common ones, with words missing), a third by name ("What does heapq.merge do?" ...), and a third by
name in plain words ("What does heapq merge do?"), where questions about different things are most alike. Of half
of the entries of each kind three wordings are taught: a user rates the right passage as good if it is among the
first ten, and the first one as bad if it is another. With `corrections`, the right passage is pinned where it is
not among the first ten. Then all is asked again:

    taught        the wordings that feedback was given for
    held out      the other three of the same entries: what learning is for
    unrelated     all six of entries without feedback: what must not suffer

Mean reciprocal rank at 10 and recall at 10, before and after; the gain with its 95 % interval, by bootstrap over
entries, since the wordings of one are not independent.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

import numpy as np
from retrieval import SAMPLES, Entry, K, Question, entries, pages
from sides import environment

KINDS = ("by description", "by name", "in plain words")

TAUGHT = 3
"""Wordings of an entry that feedback is given for; the rest is held out."""

BY_NAME = (
    "What does {} do?",
    "Explain {}.",
    "{} usage",
    "How does {} work?",
    "What is {} for?",
    "When would I call {}?",
)

_SYNONYMS = (
    "return:give back; returns:gives back; create:make; creates:makes; convert:turn; converts:turns; "
    "remove:delete; removes:deletes; delete:get rid of; get:fetch; gets:fetches; find:look up; finds:looks up; "
    "read:load; reads:loads; write:store; writes:stores; send:transmit; sends:transmits; check:test; "
    "checks:tests; test:check; add:append; adds:appends; call:invoke; called:invoked; execute:run; "
    "run:execute; parse:interpret; parses:interprets; raise:throw; generate:produce; open:start using; "
    "close:shut; wait:pause; print:show; display:show; copy:duplicate; compute:work out; determine:find out; "
    "list:sequence; string:text; strings:texts; file:document; files:documents; directory:folder; "
    "directories:folders; object:thing; objects:things; number:figure; integer:whole number; element:item; "
    "elements:items; item:element; items:elements; value:content; values:contents; name:label; message:note; "
    "line:row; lines:rows; given:passed; specified:chosen; current:present; new:fresh; all:every; true:yes; "
    "false:no; if:when; whether:if; first:initial; last:final; method:routine; function:routine; class:type; "
    "default:standard; error:failure; argument:parameter; arguments:parameters; character:letter; "
    "characters:letters; path:location; time:moment; size:length"
)
SYNONYMS: dict[str, str] = dict(pair.split(":") for pair in _SYNONYMS.split("; "))

_FILLERS = "a an the of to in on for by with from is are be this that it its as at and or not into if any"


def wordings(entry: Entry, kind: str) -> list[str]:
    """Six questions that mean the same; the first three are taught."""
    if kind != "by description":
        name = entry.name if kind == "by name" else " ".join(re.split(r"[\W_]+", entry.name)).lower()
        return [template.format(name) for template in BY_NAME]
    sentence = entry.first.rstrip(".")
    said = sentence[:1].lower() + sentence[1:]
    words = re.findall(r"\w+", said)
    key = [word for word in words if word.lower() not in _FILLERS.split()]
    other = re.sub(r"\w+", lambda word: SYNONYMS.get(word[0].lower(), word[0]), said)
    return [
        f"How do I {said}?",
        f"{' '.join(key)}",
        f"I am looking for something to {other}",
        f"Which one is there to {other}?",
        f"{' '.join(SYNONYMS.get(word.lower(), word) for word in key[::-1])}",
        f"How can I {' '.join(word for place, word in enumerate(words) if place % 3 != 2)}?",
    ]


class Remembering:
    """An embedder that makes each vector once, since all questions are asked twice."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self._known: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed(self, texts: list[str]) -> Any:
        """As `Embedder`."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known |= dict(zip(new, self._embedder.embed(new), strict=True))
        return np.array([self._known[text] for text in texts], np.float32)


def choose(known: list[Entry], count: int, seed: int) -> list[tuple[Entry, str, bool]]:
    """So many entries, each with its kind and whether it is taught; a sixth of them for each combination."""
    chosen = np.random.default_rng(seed).permutation(len(known))[:count]
    return [(known[place], KINDS[number % 3], number % 6 < 3) for number, place in enumerate(chosen)]


def teach(kb: Any, chosen: list[tuple[Entry, str, bool]], corrections: bool) -> dict[str, int]:
    """Give feedback as a user would who knows the right passage; returns how much of each kind."""
    given = {"good": 0, "bad": 0, "pinned": 0}
    for entry, kind, taught in chosen:
        if not taught:
            continue
        for text in wordings(entry, kind)[:TAUGHT]:
            found = kb.search(text, K, feedback=False)
            place = place_of(found, entry.name)
            if place:
                kb.feedback.rate(text, found[place - 1], True)
                given["good"] += 1
            elif corrections and (right := right_passage(kb, entry)):
                kb.feedback.pin(text, right)
                given["pinned"] += 1
            if place != 1 and found:
                kb.feedback.rate(text, found[0], False)
                given["bad"] += 1
    return given


def right_passage(kb: Any, entry: Entry) -> Any:
    """The passage of an entry, as somebody who knows its name finds it."""
    found = kb.search(f"{entry.name} {entry.rest[:80]}", 20, feedback=False)
    place = place_of(found, entry.name)
    return found[place - 1] if place else None


def place_of(found: list[Any], wanted: str) -> int:
    """The place of the first passage under a heading, from 1; 0 if there is none."""
    return next((n for n, hit in enumerate(found, 1) if hit.heading.rpartition(" › ")[2] == wanted), 0)


def ask(kb: Any, chosen: list[tuple[Entry, str, bool]], feedback: bool) -> np.ndarray:
    """Places of the right passages, (entries, wordings)."""
    return np.array(
        [
            [place_of(kb.search(text, K, feedback=feedback), entry.name) for text in wordings(entry, kind)]
            for entry, kind, _ in chosen
        ]
    )


def gain(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Two measures before and after, and the interval of their difference, (entries, wordings) each."""
    rows: dict[str, Any] = {}
    for name, score in (
        ("mean_reciprocal_rank", lambda place: np.where(place > 0, 1 / np.maximum(place, 1), 0)),
        ("recall_at_10", lambda place: (place > 0).astype(float)),
    ):
        old, new = score(before).mean(axis=1), score(after).mean(axis=1)
        rng = np.random.default_rng(0)
        means = (new - old)[rng.integers(0, len(old), (SAMPLES, len(old)))].mean(axis=1)
        rows[name] = {
            "before": round(float(old.mean()), 3),
            "after": round(float(new.mean()), 3),
            "gain": round(float((new - old).mean()), 3),
            "interval": [round(float(bound), 3) for bound in np.percentile(means, [2.5, 97.5])],
        }
    rows["questions"] = int(before.size)
    rows["better"] = int(((after > 0) & ((after < before) | (before == 0))).sum())
    rows["worse"] = int(((before > 0) & ((before < after) | (after == 0))).sum())
    return rows


def measure(count: int, embedder: str | None, seed: int, thresholds: list[float] | None) -> dict[str, Any]:
    """Teach and ask, with ratings alone and with corrections, for each threshold."""
    from quanta_tissu import tissdb
    from quanta_tissu.knowledge import KnowledgeBase, default_embedder
    from quanta_tissu.knowledge.choosing import embedder_named

    known = entries()
    if count > len(known):
        raise SystemExit(f"--entries {count}: there are {len(known)} docstrings to ask about")
    chosen = choose(known, count, seed)
    hidden = [Question(kind, "", entry.name) for entry, kind, _ in chosen]
    made = Remembering(embedder_named(embedder) if embedder else default_embedder())
    taught = np.array([taught for _, _, taught in chosen])
    kinds = np.array([kind for _, kind, _ in chosen])
    report: dict[str, Any] = {"embedder": made.name, "entries": count, "seed": seed, "runs": []}
    for corrections in (False, True):
        with tissdb.open(":memory:") as db:
            kb = KnowledgeBase(db, made)
            for name, text in pages(known, hidden).items():
                kb.add_text(text, name)
            before = ask(kb, chosen, feedback=False)
            given = teach(kb, chosen, corrections)
            for similar in thresholds or [kb.feedback.similar]:
                kb.feedback.similar = similar
                after = ask(kb, chosen, feedback=True)
                run: dict[str, Any] = {"corrections": corrections, "given": given, "similar": similar}
                for kind in KINDS:
                    some, others = taught & (kinds == kind), ~taught & (kinds == kind)
                    run[kind] = {
                        "taught": gain(before[some, :TAUGHT], after[some, :TAUGHT]),
                        "held out": gain(before[some, TAUGHT:], after[some, TAUGHT:]),
                        "unrelated": gain(before[others], after[others]),
                    }
                report["runs"].append(run)
    return report


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{report['entries']} entries (seed {report['seed']}), vectors by {report['embedder']}")
    for run in report["runs"]:
        given = ", ".join(f"{count} {kind}" for kind, count in run["given"].items())
        how = "ratings and corrections" if run["corrections"] else "ratings"
        print(f"\n{how}: {given}; similar {run['similar']}")
        for kind in KINDS:
            for group, row in run[kind].items():
                shown = [f"  {kind:15} {group:10} {row['questions']:5} questions"]
                for name, short in (("mean_reciprocal_rank", "MRR"), ("recall_at_10", "recall")):
                    one = row[name]
                    low, high = one["interval"]
                    change = f"{one['gain']:+.3f}, {low:+.3f} – {high:+.3f}"
                    shown.append(f"{short} {one['before']:.3f} → {one['after']:.3f} ({change})")
                print("  ".join([*shown, f"better {row['better']}, worse {row['worse']}"]))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=300)
    parser.add_argument(
        "--similar", type=float, nargs="+", help="thresholds to try; by default that of the library"
    )
    parser.add_argument("--embedder", metavar="NAME", help="as for `tissu kb`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()
    report = measure(arguments.entries, arguments.embedder, arguments.seed, arguments.similar)
    if arguments.json:
        print(json.dumps({"environment": environment(), "result": report}))
        return
    show(report)


if __name__ == "__main__":
    main()
