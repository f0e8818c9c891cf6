"""`tissu kb`: from files to answers with citations."""

from __future__ import annotations

import json

import pytest

from quanta_tissu.cli.app import run

GUIDE = "# Sorting\nCall sorted to put the items of a list in order.\n\n# Weather\nIt rains in November.\n"
SPELLING = ["--embedder", "ngrams-256"]


@pytest.fixture
def base(tmp_path, capsys):
    """A database that knows a guide."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE)
    (tmp_path / "docs" / "bad.txt").write_bytes(b"\xff")
    path = str(tmp_path / "k.db")
    assert run(["kb", "add", path, str(tmp_path / "docs"), *SPELLING]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("docs: 2 files read; passages: 2 new, 0 kept, 0 removed\n")
    assert "note: vectors are made from spelling" in err
    assert "skipped" in err
    assert "not UTF-8" in err
    return path


def test_adding_again_changes_nothing(base, tmp_path, capsys):
    assert run(["kb", "add", base, str(tmp_path / "docs"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["same"], report["inserted"], report["deleted"]) == (1, 0, 0)


def test_search_shows_passages_with_places_and_reasons(base, capsys):
    assert run(["kb", "search", base, "sort a list", "-k", "1"]) == 0
    out = capsys.readouterr().out
    assert "guide.md, line 2  (words: place 1, nearness 0." in out
    assert "   Sorting\n   | Call sorted to put" in out
    assert run(["kb", "search", base, "November", "--mode", "words", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["heading"], found["nearness"]) == ("Weather", None)
    assert run(["kb", "search", base, "?"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_ask_answers_with_citations(base, capsys):
    assert run(["kb", "ask", base, "How do I put items of a list in order?"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Call sorted to put the items of a list in order. [1]\n\n[1] ")
    assert run(["kb", "ask", base, "put the list in order", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["found"]
    assert report["sentences"][0]["citations"] == [1]


def test_ask_says_when_nothing_is_relevant_and_why(base, capsys):
    assert run(["kb", "ask", base, "Which wine goes with trout?"]) == 0
    out, err = capsys.readouterr()
    assert out == "Nothing relevant was found.\n"
    assert "0.25 counts as relevant" in err


def test_ask_with_a_model(base, tmp_path, capsys):
    from quanta_tissu.tisslm import LanguageModel
    from quanta_tissu.tisslm.config import ModelConfig
    from quanta_tissu.tisslm.model.decoder import Decoder
    from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

    tokenizer = CharacterTokenizer("\n" + "".join(map(chr, range(32, 127))))
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=600, n_layers=1, d_model=16, n_heads=2)
    LanguageModel(Decoder.initialise(config, 0), tokenizer).save(tmp_path / "model")
    question = ["kb", "ask", base, "put a list in order", "--model", str(tmp_path / "model")]
    assert run([*question, "--max-new-tokens", "6", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "Question: put a list in order" in report["prompt"]
    assert run([*question, "--max-new-tokens", "6"]) == 0
    out, err = capsys.readouterr()
    assert out
    assert "have no support" in err


def test_settings_of_generation_need_a_model(base, capsys):
    assert run(["kb", "ask", base, "x", "--temperature", "1"]) == 2
    assert "need --model" in capsys.readouterr().err


def test_files_are_forgotten(base, tmp_path, capsys):
    assert run(["kb", "remove", base, str(tmp_path / "docs")]) == 0
    assert capsys.readouterr().out.endswith("docs: 2 passages removed\n")


def test_watch_follows_until_ctrl_c(base, tmp_path, capsys, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("quanta_tissu.knowledge.watching.time.sleep", interrupt)
    monkeypatch.setattr(
        "quanta_tissu.knowledge.watching.watch.__kwdefaults__", {"interval": 2.0, "sleep": interrupt}
    )
    assert run(["kb", "watch", base, str(tmp_path / "docs")]) == 0
    out, err = capsys.readouterr()
    assert "1 of them unchanged" in out
    assert err.endswith("stopped\n")


def test_what_is_not_there_is_named(base, tmp_path, capsys):
    assert run(["kb", "search", str(tmp_path / "no.db"), "x"]) == 1
    assert "there is no database" in capsys.readouterr().err
    assert run(["kb", "search", base, "x", "--collection", "other"]) == 1
    assert "there is no collection 'other'" in capsys.readouterr().err
    assert run(["kb", "add", base, str(tmp_path / "no.md")]) == 1
    assert "cannot read" in capsys.readouterr().err
    assert run(["kb", "add", base, str(tmp_path), "--embedder", "ngrams-64"]) == 1
    assert "was made with the embedder ngrams-256" in capsys.readouterr().err


class TestHeldWrong:
    def test_a_database_that_is_not_there(self, tmp_path, capsys):
        assert run(["kb", "search", str(tmp_path / "none.db"), "x"]) == 1
        assert "none.db FOLDER` makes it" in capsys.readouterr().err
        assert not (tmp_path / "none.db").exists()

    def test_what_is_not_known_cannot_be_removed(self, base, tmp_path, capsys):
        assert run(["kb", "remove", base, str(tmp_path / "docs" / "guid.md")]) == 1
        said = capsys.readouterr().err
        assert "nothing is known of" in said
        assert f"did you mean {tmp_path / 'docs' / 'guide.md'}?" in said
        assert run(["kb", "remove", base, "/elsewhere"]) == 1
        assert "1 other files are known" in capsys.readouterr().err

    def test_a_passage_that_is_not_there(self, base, capsys):
        assert run(["kb", "rate", base, "sort a list", "good", "-p", "nowhere"]) == 1
        assert "there is no passage 'nowhere'\n  help: `tissu kb search`" in capsys.readouterr().err

    @pytest.mark.parametrize("interval", ["nan", "inf", "0"])
    def test_an_interval_is_a_time(self, base, tmp_path, interval, capsys):
        assert run(["kb", "watch", base, str(tmp_path), "--interval", interval]) == 2
        assert "--interval" in capsys.readouterr().err
