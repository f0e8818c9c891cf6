"""`tissu profile` shows where the time goes, and refuses what it cannot see."""

from __future__ import annotations

import json

import pytest

from quanta_tissu.tisslm.inspect.profile.text import human

TINY = [
    "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.n_kv_heads=1", "model.context_length=32",
    "train.batch_size=4", "train.replicas=2",
]  # fmt: skip
SETTINGS = [word for setting in TINY for word in ("--set", setting)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny checkpoint."""
    from quanta_tissu.tisslm import tokenizers
    from quanta_tissu.tisslm.config import ModelConfig, TokenizerConfig
    from quanta_tissu.tisslm.language_model import LanguageModel
    from quanta_tissu.tisslm.model import Decoder

    tokenizer = tokenizers.train(TokenizerConfig(kind="character"), ["abcdefgh"])
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=32, n_layers=1, d_model=32, n_heads=2)
    folder = tmp_path_factory.mktemp("checkpoint") / "best"
    LanguageModel(Decoder.initialise(config, seed=0), tokenizer).save(folder)
    return folder


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_training_step(tissu, engine):
    outcome = tissu("profile", "--steps", "2", "--engine", engine, "--json", *SETTINGS)
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["machine"]["gflops"] > 1
    assert report["engine"] == engine
    assert report["speeds"]["step"]["tokens_per_second"] > 0
    operations = {(row["op"], row["phase"]): row for row in report["operations"]}
    assert operations["linear", "backward"]["calls"] == 2 * 4  # replicas, and projections of the one layer
    assert operations["adamw", "update"]["nbytes"] > 0
    assert operations["sum_into", "update"]["calls"] > 0
    assert sum(row["seconds"] for row in report["operations"]) == pytest.approx(report["seconds"])


def test_tables_for_people(tissu):
    outcome = tissu("profile", "--steps", "1", *SETTINGS)
    assert outcome.code == 0, outcome.err
    for text in (
        "GFLOP/s in float32 products",
        "GB/s read",
        "linear backward",
        "not in operations",
        "0 attention",
    ):
        assert text in outcome.out
    assert "…" not in outcome.out  # nothing is cut off


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_generation_of_a_checkpoint(tissu, checkpoint, engine):
    outcome = tissu("profile", str(checkpoint), "--what", "generate", "--steps", "1", "--engine", engine, "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert set(report["speeds"]) == {"prefill", "decode"}
    assert {row["phase"] for row in report["operations"]} >= {"prefill", "decode"}
    decoding = {row["op"] for row in report["operations"] if row["phase"] == "decode"}
    assert ("compiled pass" if engine == "fast" else "attention") in decoding
    assert report["kept"] == 0


def test_generation_runs_as_the_settings_say(tissu, checkpoint):
    settings = ["num_samples=3", "max_new_tokens=5", "prefill_chunk=4", "kv_cache=false"]
    words = [word for setting in settings for word in ("--set", f"generate.{setting}")]
    arguments = [
        "profile",
        str(checkpoint),
        "--what",
        "generate",
        "--engine",
        "reference",
        "--steps",
        "1",
        "--json",
    ]
    reports = [json.loads(tissu(*arguments, *words[:count]).out) for count in (4, 6, 8)]
    assert "3 × 5 generated" in reports[0]["description"]
    calls = [{(row["op"], row["phase"]): row["calls"] for row in report["operations"]} for report in reports]
    assert [found["linear", "prefill"] for found in calls] == [5, 20, 5]  # 16 tokens in four pieces
    flops = [sum(row["flops"] for row in report["operations"] if row["phase"] == "decode") for report in reports]
    assert flops[0] == flops[1] < flops[2] / 10  # without a cache everything is read again


def test_threads_are_the_fast_engines(tissu, checkpoint):
    arguments = ["profile", str(checkpoint), "--what", "generate", "--steps", "1", "--set", "generate.threads=1"]
    assert tissu(*arguments, "--engine", "fast").code == 0
    refused = tissu(*arguments, "--engine", "reference")
    assert refused.code == 2
    assert "fast engine" in refused.err


def test_operations_of_a_long_prompt_take_no_longer_than_reading_it(tissu):
    """It is read by all threads at once, and the caller is one of them."""
    settings = [*SETTINGS, "--set", "model.context_length=512", "--set", "model.d_model=64"]
    outcome = tissu("profile", "--what", "generate", "--steps", "1", "--json", *settings)
    report = json.loads(outcome.out)
    assert report["operations"][-1]["op"] == "not in operations"
    assert report["operations"][-1]["seconds"] > 0


def test_a_checkpoint_is_trained_on_with_its_own_architecture(tissu, checkpoint):
    outcome = tissu("profile", str(checkpoint), "--steps", "1", "--set", "train.batch_size=2", "--json")
    assert "2 × 32 tokens" in json.loads(outcome.out)["description"]


@pytest.mark.parametrize("what", ["train", "generate"])
def test_files_for_a_closer_look(tissu, tmp_path, what):
    out = tmp_path / "new" / "profile"
    outcome = tissu("profile", "--what", what, "--steps", "1", "--out", str(out), *SETTINGS)
    assert outcome.code == 0, outcome.err
    assert f"open {out / 'profile.html'}" in outcome.out.replace("\n", "")
    names = {"profile.html", "profile.json", "cprofile.pstats", "cprofile.txt", "allocations.txt"}
    assert {path.name for path in out.iterdir()} == names
    assert all(path.stat().st_size > 50 for path in out.iterdir())
    assert json.loads((out / "profile.json").read_text())["workload"]
    assert "all threads" in (out / "profile.html").read_text()  # the root of the flame graph


class TestRefusals:
    def test_a_preset_and_a_checkpoint(self, tissu, checkpoint):
        outcome = tissu("profile", str(checkpoint), "--preset", "tiny")
        assert outcome.code == 2
        assert "--preset cannot go with a checkpoint" in outcome.err

    def test_another_architecture_for_a_checkpoint(self, tissu, checkpoint):
        outcome = tissu("profile", str(checkpoint), "--set", "model.n_layers=2")
        assert outcome.code == 2
        assert "cannot be changed" in outcome.err

    def test_a_checkpoint_that_is_none(self, tissu, tmp_path):
        outcome = tissu("profile", str(tmp_path / "nowhere"))
        assert outcome.code == 1
        assert "nowhere" in outcome.err

    def test_an_unknown_preset(self, tissu):
        assert tissu("profile", "--preset", "nothing").code == 2

    def test_a_file_where_the_folder_should_be(self, tissu, tmp_path):
        (tmp_path / "file").write_text("in the way")
        assert tissu("profile", "--out", str(tmp_path / "file")).code == 2
        assert tissu("profile", "--out", str(tmp_path / "file" / "deeper"), *SETTINGS).code == 1

    def test_no_steps(self, tissu):
        assert tissu("profile", "--steps", "0").code == 2

    def test_a_model_too_large_to_train_before_it_is_made(self, tissu, monkeypatch):
        from quanta_tissu.tisslm.train import memory

        monkeypatch.setattr(memory, "available_memory", lambda: 1_000_000)
        outcome = tissu("profile", *SETTINGS)
        assert outcome.code == 1
        assert "memory" in outcome.err

    def test_simulated_precision(self, tissu):
        outcome = tissu("profile", "--set", "train.precision=float16", *SETTINGS)
        assert outcome.code == 2
        assert "float32" in outcome.err

    def test_the_torch_engine(self, tissu, torch):
        outcome = tissu("profile", "--set", "train.engine=torch")
        assert outcome.code == 2
        assert "torch.profiler" in outcome.err
        assert "--engine fast" in outcome.err

    def test_what_only_the_torch_engine_knows(self, tissu):
        outcome = tissu("profile", "--engine", "fast", "--set", "train.precision=bfloat16")
        assert outcome.code == 2
        assert "bfloat16" in outcome.err


class TestCheckpointsOfOtherEngines:
    """What trained a model does not matter to generation; a training step is the NumPy engines' own."""

    @pytest.fixture(params=["train.engine=torch", "train.precision=float16"])
    def trained_otherwise(self, request, checkpoint, tmp_path):
        """The checkpoint, as if it had been trained with another setting."""
        from quanta_tissu.tisslm.config.load import load_config
        from quanta_tissu.tisslm.language_model import LanguageModel

        model = LanguageModel.load(checkpoint)
        config = load_config(None, None, [request.param, "train.batch_size=4"], environ={})
        folder = tmp_path / "best"
        LanguageModel(model.decoder, model.tokenizer, config).save(folder)
        return folder

    def test_they_generate(self, tissu, trained_otherwise):
        outcome = tissu("profile", str(trained_otherwise), "--what", "generate", "--steps", "1", "--json")
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.out)["engine"] in ("fast", "reference")

    def test_their_training_is_refused_with_what_to_add(self, tissu, trained_otherwise):
        assert tissu("profile", str(trained_otherwise)).code == 2

    def test_what_the_refusal_says_to_add_is_enough(self, tissu, trained_otherwise):
        add = ["--engine", "fast", "--set", "train.precision=float32"]
        outcome = tissu("profile", str(trained_otherwise), "--steps", "1", *add, "--json")
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.out)["engine"] == "fast"


@pytest.mark.parametrize(
    ("number", "text"), [(0, ""), (5, "5 "), (1500, "1.5 k"), (2.5e6, "2.5 M"), (123.4e9, "123 G")]
)
def test_large_numbers(number, text):
    assert human(number) == text
