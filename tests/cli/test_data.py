"""`tissu data` prepares datasets and says what is in them."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from rich.progress import Progress

from quanta_tissu.cli import progress
from quanta_tissu.tisslm.data.dataset import TokenDataset
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TEXT = "to be or [not] to be, " * 40


@pytest.fixture
def text(tmp_path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


def test_prepare_writes_a_dataset_and_says_what_is_next(tissu, text, tmp_path):
    out = tmp_path / "new" / "dataset"
    outcome = tissu("data", "prepare", "--data", text, "--kind", "character", "--out", str(out))
    assert outcome.code == 0
    assert "792 tokens to train on and 88 to validate on (character, 14 ids, uint16)" in outcome.out
    assert f"tissu train --data {out}" in outcome.out
    dataset = TokenDataset.open(out, verify=True)
    assert dataset.load_tokenizer().decode(dataset.tokens("all").tolist()) == TEXT


def test_prepare_trains_a_vocabulary_of_the_size_asked_for(tissu, text, tmp_path):
    outcome = tissu(
        "data", "prepare", "--data", text, "--vocab-size", "262", "--out", str(tmp_path / "d"), "--json"
    )
    manifest = json.loads(outcome.out.splitlines()[-1])
    assert manifest["path"] == str(tmp_path / "d")
    assert manifest["tokenizer"]["kind"] == "bpe"
    assert manifest["tokenizer"]["vocab_size"] == 262
    assert manifest["source"]["description"] == text


def test_prepare_uses_a_tokenizer_that_exists(tissu, text, tmp_path):
    tokenizer = CharacterTokenizer.train([TEXT], special_tokens=False)
    tokenizer.save(tmp_path / "tokenizer.json")
    out = tmp_path / "dataset"
    tissu("data", "prepare", "--data", text, "--tokenizer", str(tmp_path / "tokenizer.json"), "--out", str(out))
    assert TokenDataset.open(out, tokenizer=tokenizer).manifest.tokenizer.vocab_size == 10


def test_settings_come_from_the_configuration_and_from_set(tissu, text, tmp_path):
    (tmp_path / "tissu.yaml").write_text(
        f"data: {{source: {text}, max_bytes: 100}}\ntokenizer: {{kind: character}}\nmodel: {{n_layers: 2}}\n"
    )
    args = ["--config", str(tmp_path / "tissu.yaml"), "--set", "data.validation_split_ratio=0.2"]
    seed = ["--set", "train.seed=7"]
    outcome = tissu("data", "prepare", *args, *seed, "--out", str(tmp_path / "d"), "--json")
    manifest = json.loads(outcome.out)
    assert (manifest["train"]["tokens"], manifest["validation"]["tokens"]) == (80, 20)
    assert manifest["shuffle_seed"] == 7


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--tokenizer", "t.json", "--kind", "bpe"], "--tokenizer names a tokenizer that exists"),
        (["--tokenizer", "t.json", "--vocab-size", "300"], "--tokenizer names a tokenizer that exists"),
        (
            ["--kind", "character", "--vocab-size", "300"],
            "--vocab-size 300 means nothing to a character tokenizer",
        ),
        (["--kind", "words"], "tokenizer.kind = words"),
        (["--vocab-size", "10"], "tokenizer.vocab_size = 10"),
        (["--set", "model.n_layers=3"], "uses data.*, tokenizer.* and train.seed only"),
        (["--set", "data.stride=3"], "data.stride = 3 means nothing to data.windows = random"),
    ],
)
def test_options_that_contradict_are_refused(tissu, text, tmp_path, args, message):
    outcome = tissu("data", "prepare", "--data", text, "--out", str(tmp_path / "d"), *args)
    assert outcome.code == 2
    assert message in outcome.err
    assert "help:" in outcome.err
    assert not (tmp_path / "d").exists()


def test_a_source_is_needed(tissu, tmp_path):
    outcome = tissu("data", "prepare", "--out", str(tmp_path / "d"))
    assert outcome.code == 1
    assert "data.source is not set" in outcome.err
    missing = tissu("data", "prepare", "--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "d"))
    assert missing.code == 1
    assert "there is no file or folder" in missing.err


def test_stats_of_a_source_and_of_its_dataset_are_the_same(tissu, text, tmp_path):
    tissu("data", "prepare", "--data", text, "--kind", "character", "--out", str(tmp_path / "d"))
    prepared = json.loads(tissu("data", "stats", str(tmp_path / "d"), "--json").out)
    direct = json.loads(tissu("data", "stats", text, "--kind", "character", "--json").out)
    assert prepared == direct
    assert (direct["documents"], direct["text_bytes"], direct["tokens"]) == (1, 880, 880)
    assert direct["bytes_per_token"] == 1
    assert direct["most_common"][0] == {"id": 4, "text": " ", "count": 240, "share": pytest.approx(240 / 880)}
    assert direct["floors"]["uniform"] > direct["floors"]["unigram"] > direct["floors"]["bigram"] > 0


@pytest.mark.parametrize("command", [["prepare", "--out", "dataset"], ["stats"]], ids=["prepare", "stats"])
def test_the_source_may_be_named_with_and_without_an_option(tissu, text, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    first = tissu("data", *command, text, "--kind", "character", "--json")
    (tmp_path / "dataset").rename(tmp_path / "first") if (tmp_path / "dataset").exists() else None
    second = tissu("data", *command, "--data", text, "--kind", "character", "--json")
    assert (first.code, first.out) == (0, second.out)
    twice = tissu("data", *command, text, "--data", text)
    assert twice.code == 2
    assert "named twice" in twice.err


def test_a_prepared_dataset_is_replaced_on_request_only(tissu, text, tmp_path):
    out = tmp_path / "d"
    prepare = ["data", "prepare", text, "--kind", "character", "--out", str(out)]
    assert tissu(*prepare).code == 0
    before = (out / "manifest.json").read_bytes()
    refused = tissu(*prepare, "--set", "data.max_bytes=100")
    assert refused.code == 1
    assert f"{out} already holds a prepared dataset" in refused.err
    assert "--force" in refused.err
    assert (out / "manifest.json").read_bytes() == before
    assert tissu(*prepare, "--set", "data.max_bytes=100", "--force").code == 0
    assert len(TokenDataset.open(out).tokens("all")) == 100


@pytest.mark.parametrize("short", ["a", "to be"])
def test_counting_needs_no_text_to_validate_on(tissu, tmp_path, short):
    (tmp_path / "short.txt").write_text(short)
    stats = ["data", "stats", str(tmp_path / "short.txt"), "--kind", "character"]
    found = json.loads(tissu(*stats, "--json").out)
    assert (found["tokens"], found["text_bytes"], found["floors"]) == (len(short), len(short), None)
    assert found["most_common"][0]["share"] == 1 / len(short)
    assert "no floors: the text is too short" in tissu(*stats).out


def test_stats_are_readable(tissu, text):
    out = tissu("data", "stats", text, "--kind", "character", "--top", "20").out
    assert "bytes per token" in out
    assert "guessing evenly (ln V)" in out
    assert "'['" in out  # a token is shown as it is, even if it looks like markup
    assert "most common" not in tissu("data", "stats", text, "--kind", "character", "--top", "0").out


def test_stats_of_a_prepared_dataset_take_no_options_about_tokenizing(tissu, text, tmp_path):
    tissu("data", "prepare", "--data", text, "--kind", "character", "--out", str(tmp_path / "d"))
    outcome = tissu("data", "stats", str(tmp_path / "d"), "--kind", "bpe")
    assert outcome.code == 2
    assert "its text is tokens already" in outcome.err


def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys):
    updates = []
    monkeypatch.setattr(
        Progress, "update", lambda self, task, completed: updates.append((self.disable, completed))
    )
    for terminal in (True, False):
        monkeypatch.setattr(Console, "is_terminal", terminal)
        with progress.reading("reading", 100) as show:
            show(50)
    assert updates == [(False, 50), (True, 50)]
    assert capsys.readouterr().out == ""
