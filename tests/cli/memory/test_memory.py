"""`tissu memory`: conversations, facts and skills from the command line."""

from __future__ import annotations

import io
import json

import pytest

SPELLING = ["--embedder", "ngrams-256"]


@pytest.fixture
def memory(tmp_path, tissu):
    """Run a command on a database: `memory("fact", "list")`."""
    path = str(tmp_path / "agent.db")

    def call(kind, action, *arguments):
        spelling = SPELLING if action == "add" else []
        return tissu("memory", kind, action, path, *arguments, *spelling)

    return call


def rows(outcome):
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


class TestConversations:
    def test_turns_are_added_shown_found_and_deleted(self, memory, monkeypatch):
        assert memory("conversation", "add", "plan", "user", "We meet on Tuesdays.").out.startswith(
            "plan: turn 1, "
        )
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Two\nlines.")))
        [turn] = rows(memory("conversation", "add", "plan", "tool", "-", "--metadata", '{"a": [1]}', "--json"))
        assert (turn["number"], turn["text"], turn["metadata"]) == (2, "Two\nlines.", {"a": [1]})
        assert memory("conversation", "show", "plan").out == "user: We meet on Tuesdays.\ntool: Two\n  lines.\n"
        assert [
            row["number"] for row in rows(memory("conversation", "show", "plan", "--first", "2", "--json"))
        ] == [2]
        assert " plan " in memory("conversation", "list").out
        assert rows(memory("conversation", "list", "--json"))[0]["turns"] == 2
        found = memory("conversation", "search", "when do we meet on tuesday?", "-k", "1").out
        assert found.startswith("1. plan, turn 1, 20")
        assert "(words: place 1, nearness 0." in found
        [one] = rows(memory("conversation", "search", "lines", "-k", "1", "--conversation", "plan", "--json"))
        assert one["turn"]["number"] == 2
        assert memory("conversation", "delete", "plan").out == "plan: 2 turns deleted\n"
        assert memory("conversation", "list").out == "no conversations\n"

    def test_a_window_fits_its_budget(self, memory):
        for number in range(12):
            memory("conversation", "add", "talk", "user", f"Number {number} is a number.")
        window = memory("conversation", "window", "talk", "--budget", "60")
        assert window.out.startswith("(quoted from turns 1-8: ")
        assert window.out.endswith("user: Number 11 is a number.\n")
        [shown] = rows(memory("conversation", "window", "talk", "--budget", "60", "--json"))
        assert shown["tokens"] <= 60
        assert rows(memory("conversation", "show", "talk", "--summaries", "--json"))[0]["made_by"] == "extractive"
        small = memory("conversation", "window", "talk", "--budget", "9")
        assert "turns 1 to 11 are left out" in small.err
        none = memory("conversation", "window", "talk", "--budget", "3")
        assert (none.code, "has 8 tokens, the window 3" in none.err) == (2, True)

    def test_a_model_counts_and_sums_up(self, memory, tmp_path):
        from quanta_tissu.tisslm import LanguageModel
        from quanta_tissu.tisslm.config import ModelConfig
        from quanta_tissu.tisslm.model.decoder import Decoder
        from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

        tokenizer = CharacterTokenizer("\n" + "".join(map(chr, range(32, 127))))
        config = ModelConfig(
            vocab_size=tokenizer.vocab_size, context_length=400, n_layers=1, d_model=16, n_heads=2
        )
        LanguageModel(Decoder.initialise(config, 0), tokenizer).save(tmp_path / "model")
        for number in range(12):
            memory("conversation", "add", "talk", "user", f"Number {number}.")
        options = ["--budget", "150", "--model", str(tmp_path / "model"), "--json"]
        [shown] = rows(memory("conversation", "window", "talk", *options))
        assert shown["tokens"] <= 150
        assert shown["summaries"][0]["made_by"] == "model"

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["show", "nobody"], 1, "there is no conversation 'nobody'"),
            (["show", "plan", "--collection", "other"], 1, "has no memory 'other_turns'"),
            (["add", "plan", "user", "x", "--metadata", "{"], 2, "it is not JSON"),
            (["add", "plan", "user", "x", "--metadata", "[]"], 2, "not an object of JSON"),
            (["window", "plan", "--budget", "9", "--endpoint", "x"], 2, "not of the form 'MODEL at URL'"),
        ],
    )
    def test_what_means_nothing_is_refused(self, memory, arguments, code, message):
        memory("conversation", "add", "plan", "user", "Hello.")
        outcome = memory("conversation", *arguments)
        assert outcome.code == code
        assert message in outcome.err


class TestFacts:
    def test_a_fact_is_remembered_recalled_and_superseded(self, memory):
        added = memory("fact", "add", "meetings", "The team meets on Tuesdays.", "--source", "turn 7")
        assert added.out.endswith(": new\n")
        again = memory("fact", "add", "Meetings", "the team meets on tuesdays", "--source", "document a.md")
        assert again.out.endswith(": known already, and confirmed\n")
        [found] = rows(memory("fact", "search", "when does the team meet?", "--json"))
        id = found["fact"]["id"]
        assert found["score"] == pytest.approx(found["relevance"] * found["strength"])
        assert "relevance 0." in memory("fact", "search", "when does the team meet?").out
        assert memory("fact", "confirm", id, "--confidence", "0.5").code == 0
        assert rows(memory("fact", "contradict", id, "--why", "a rumour", "--json"))[0]["state"] == "current"
        assert rows(memory("fact", "use", id, "--json"))[0]["uses"] == 1
        shown = memory("fact", "show", id).out
        assert "used 1 times" in shown
        assert "learned by turn 7 (0.80)" in shown
        assert "(0.80): a rumour" in shown
        new = memory("fact", "supersede", id, "The team meets on Thursdays.").out.split()[-2].rstrip(",")
        assert f"{id}, superseded by {new}" in memory("fact", "list", "--all").out
        assert [row["id"] for row in rows(memory("fact", "list", "--subject", "meetings", "--json"))] == [new]
        assert memory("fact", "retract", new, "--why", "no more meetings").out.endswith("retracted\n")
        assert memory("fact", "list").out == "no facts\n"
        assert memory("fact", "search", "when does the team meet?").out == "nothing found\n"
        assert rows(memory("fact", "show", new, "--json"))[0]["strength"] > 0

    def test_facts_that_may_be_the_same_are_shown(self, memory):
        memory("fact", "add", "meetings", "The whole team always meets on Tuesdays at noon in the hall.")
        added = memory("fact", "add", "meetings", "The whole team always meets on Tuesdays at noon in a hall.")
        assert "\nsimilar: " in added.out

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["show", "x"], 1, "there is no fact 'x'"),
            (["add", "a", "b", "--source", "document"], 2, "not of the form 'KIND NAME'"),
            (["add", "a", " "], 2, "the fact is empty"),
            (["search", " "], 2, "the question is empty"),
            (["list", "--collection", "other"], 1, "has no memory 'other'"),
        ],
    )
    def test_what_means_nothing_is_refused(self, memory, arguments, code, message):
        memory("fact", "add", "meetings", "The team meets on Tuesdays.")
        outcome = memory("fact", *arguments)
        assert outcome.code == code
        assert message in outcome.err


class TestSkills:
    @pytest.fixture
    def script(self, tmp_path):
        path = tmp_path / "tidy.tiss"
        path.write_text("SORT lines\n")
        return path

    def test_a_skill_has_versions_and_a_record(self, memory, script):
        described = ["--description", "Sort the lines of a file"]
        assert memory("skill", "add", "tidy", str(script), *described).out == "tidy: version 1 is current\n"
        script.write_text("SORT lines DESC")
        assert rows(memory("skill", "add", "tidy", str(script), "--note", "down", "--json"))[0]["versions"] == 2
        assert memory("skill", "show", "tidy").out == "SORT lines DESC\n"
        assert memory("skill", "record", "tidy", "failed", "--detail", "no file").out == (
            "tidy, version 2: worked 0, failed 1\n"
        )
        assert memory("skill", "rollback", "tidy", "1").out == "tidy: version 1 is current\n"
        assert memory("skill", "show", "tidy").out == "SORT lines\n"
        assert rows(memory("skill", "show", "tidy", "--version", "2", "--json"))[0]["failures"] == 1
        assert rows(memory("skill", "record", "tidy", "worked", "--run", "r1", "--json"))[0]["version"] == 1
        history = memory("skill", "show", "tidy", "--history").out
        assert "version 1 (current), 20" in history
        assert "worked 0, failed 1: down\n" in history
        assert "version 2 failed: no file\n" in history
        assert "version 1 worked, run r1\n" in history
        assert len(rows(memory("skill", "show", "tidy", "--history", "--json"))) == 4
        assert "1 of 2" in memory("skill", "list").out
        [listed] = rows(memory("skill", "list", "--json"))
        assert listed["surety"] == pytest.approx(0.2236, abs=1e-4)
        found = memory("skill", "search", "sort lines").out
        assert found.startswith("1. tidy: Sort the lines of a file  (relevance 0.")
        assert rows(memory("skill", "search", "sort lines", "--json"))[0]["skill"]["name"] == "tidy"
        assert memory("skill", "search", "boil eggs").out == "nothing found\n"
        assert memory("skill", "delete", "tidy").out == "tidy: deleted\n"
        assert memory("skill", "list").out == "no skills\n"

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["show", "x"], 1, "there is no skill 'x'"),
            (["show", "tidy", "--version", "7"], 1, "has no version 7"),
            (["show", "tidy", "--version", "1", "--history"], 2, "leave out --version"),
            (["add", "new", "SCRIPT"], 2, "the new skill 'new' has no description"),
            (["add", "new", "missing.tiss"], 1, "missing.tiss"),
            (["rollback", "tidy", "9"], 1, "has no version 9"),
        ],
    )
    def test_what_means_nothing_is_refused(self, memory, script, arguments, code, message):
        memory("skill", "add", "tidy", str(script), "--description", "Sort lines")
        outcome = memory("skill", *[str(script) if argument == "SCRIPT" else argument for argument in arguments])
        assert outcome.code == code
        assert message in outcome.err

    def test_a_script_that_is_not_text_is_refused(self, memory, script):
        script.write_bytes(b"\xff")
        outcome = memory("skill", "add", "tidy", str(script), "--description", "Sort lines")
        assert (outcome.code, "is not UTF-8 text" in outcome.err) == (1, True)
