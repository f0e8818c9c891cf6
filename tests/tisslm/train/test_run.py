from __future__ import annotations

import math
import shutil

import pytest

from quanta_tissu.errors import CheckpointError, ConfigError, DataError, TokenizerError, TrainingError
from quanta_tissu.tisslm import artifact, tokenizers
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.dataset import TokenDataset
from quanta_tissu.tisslm.data.prepare import prepare
from quanta_tissu.tisslm.data.sources import configured_source, open_source
from quanta_tissu.tisslm.train import run
from quanta_tissu.tisslm.train.checkpoint import load_resumable
from quanta_tissu.tisslm.train.memory import estimate_memory
from quanta_tissu.tisslm.train.run import train

TEXT = "She sells sea shells by the sea shore; the shells she sells are sea shells, I am sure.\n" * 30


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def settings(config, text):
    """`settings(section={...})`: the tiny configuration on a text of its own."""

    def make(**sections):
        sections["data"] = {"source": str(text), **sections.get("data", {})}
        sections["model"] = {"vocab_size": None, **sections.get("model", {})}
        return config(**sections)

    return make


def test_a_text_becomes_a_trained_model(settings, tmp_path, recorder):
    result = train(settings(train={"max_steps": 80}), tmp_path / "run", callbacks=[recorder])
    best = artifact.read(result.checkpoint)
    assert best.decoder.config.vocab_size == best.tokenizer.vocab_size == len(set(TEXT))
    assert best.tokenizer.decode(best.tokenizer.encode("She sells")) == "She sells"
    assert best.config.model.vocab_size == len(set(TEXT))
    dataset = TokenDataset.open(tmp_path / "run" / "data")
    assert len(dataset.train) + len(dataset.validation) == len(TEXT)
    assert best.manifest["data"]["source"]["sha256"] == dataset.manifest.source.sha256
    assert recorder.evaluations[0].val_loss == pytest.approx(math.log(len(set(TEXT))), abs=0.1)
    assert result.val_loss < recorder.evaluations[0].val_loss - 0.5


def test_says_the_losses_to_beat_before_it_starts(settings, tmp_path, recorder):
    train(settings(), tmp_path / "run", callbacks=[recorder])
    (text,) = [m.text for m in recorder.messages if "to beat" in m.text]
    floors = recorder.started[0].floors
    assert f"uniform {math.log(len(set(TEXT))):.4f}" in text
    assert f"bigram {floors.bigram:.4f}" in text
    assert floors.bigram < floors.unigram < floors.uniform


def test_byte_pair_encoding_and_packed_documents(settings, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"Document {number}. " + TEXT[: 200 + 10 * number])
    changed = settings(
        tokenizer={"kind": "bpe", "vocab_size": 270}, data={"source": str(folder), "windows": "packed"}
    )
    result = train(changed, tmp_path / "run")
    best = artifact.read(result.checkpoint)
    assert best.tokenizer.kind == "bpe"
    dataset = TokenDataset.open(tmp_path / "run" / "data")
    assert (dataset.train == best.tokenizer.eos_id).sum() > 5


def test_the_preparation_is_reported(settings, tmp_path, recorder):
    heard = []
    recorder.on_prepare = heard.append
    train(settings(), tmp_path / "run", callbacks=[recorder])
    assert heard[-1].done_bytes == heard[-1].total_bytes == len(TEXT)


def test_a_prepared_dataset_is_used_as_it_is(settings, tmp_path, text, recorder):
    tokenizer = tokenizers.train(settings().tokenizer, [TEXT])
    prepared = prepare(open_source(text), tokenizer, tmp_path / "prepared", DataConfig(), seed=0)
    result = train(settings(data={"source": str(prepared.path)}), tmp_path / "run", callbacks=[recorder])
    assert not (tmp_path / "run" / "data").exists()
    assert artifact.read(result.checkpoint).tokenizer.fingerprint() == tokenizer.fingerprint()
    longer = settings(data={"source": str(prepared.path)}, train={"max_steps": 8})
    assert train(longer, tmp_path / "run", resume=tmp_path / "run").step == 8


@pytest.fixture
def prepared(settings, tmp_path, text):
    """A dataset of characters without special tokens, 20 % of it for validation, prepared with `changes`."""

    def make(**changes):
        folder = tmp_path / f"prepared-{len(list(tmp_path.glob('prepared-*')))}"
        asked = settings(**{**changes, "data": {"validation_split_ratio": 0.2, **changes.get("data", {})}})
        tokenizer = tokenizers.train(asked.tokenizer, [TEXT])
        return str(prepare(configured_source(asked.data), tokenizer, folder, asked.data, seed=0).path)

    return make


@pytest.mark.parametrize(
    ("change", "accept"),
    [
        ({"data": {"validation_split_ratio": 0.3}}, "data.validation_split_ratio=0.2"),
        ({"data": {"shuffle_documents": False}}, "data.shuffle_documents=true"),
        ({"data": {"max_bytes": 100}}, "data.max_bytes=null"),
        ({"data": {"text_field": "body"}}, "data.text_field=text"),
        ({"data": {"allow_special": True}}, "data.allow_special=false"),
        ({"tokenizer": {"path": "other.json"}}, "tokenizer.path=null"),
    ],
)
def test_settings_that_a_prepared_dataset_cannot_follow_are_refused(
    settings, prepared, tmp_path, monkeypatch, change, accept
):
    monkeypatch.chdir(tmp_path)
    tokenizers.train(settings().tokenizer, ["other"]).save("other.json")
    change["data"] = {"source": prepared(), **change.get("data", {})}
    with pytest.raises(ConfigError, match="was not prepared as the configuration says") as error:
        train(settings(**change), tmp_path / "run")
    assert f"`--set {accept}`" in error.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("made_with", "asked", "accept"),
    [
        ({"kind": "bpe", "vocab_size": 270}, {"kind": "character"}, "tokenizer.kind=bpe"),
        ({"kind": "bpe", "vocab_size": 270}, {"kind": "bpe", "vocab_size": 260}, "tokenizer.vocab_size=270"),
        ({"special_tokens": True}, {"special_tokens": False}, "tokenizer.special_tokens=true"),
    ],
)
def test_a_tokenizer_other_than_the_prepared_datasets_is_refused(
    settings, prepared, tmp_path, made_with, asked, accept
):
    source = prepared(tokenizer=made_with)
    with pytest.raises(ConfigError, match="tokenizer") as error:
        train(settings(data={"source": source}, tokenizer=asked), tmp_path / "run")
    assert f"--set {accept}`" in error.value.hint


def test_defaults_do_not_contradict_a_prepared_dataset_but_it_is_said_that_they_have_no_effect(
    settings, prepared, tmp_path, recorder
):
    default = {"kind": "bpe", "special_tokens": True}
    train(settings(data={"source": prepared()}, tokenizer=default), tmp_path / "run", callbacks=[recorder])
    (said,) = [m.text for m in recorder.messages if "the prepared dataset decides" in m.text]
    assert said.endswith("data.validation_split_ratio = 0.2, tokenizer.kind = character")


def test_a_vocabulary_that_the_text_did_not_fill_is_no_contradiction(settings, prepared, tmp_path, recorder):
    small_text = {"kind": "bpe", "vocab_size": 9_000}
    source = prepared(tokenizer=small_text)
    chosen = {"source": source, "validation_split_ratio": 0.2}
    assert train(settings(data=chosen, tokenizer=small_text), tmp_path / "run", callbacks=[recorder]).step == 6
    vocab_size = TokenDataset.open(source).manifest.tokenizer.vocab_size
    (said,) = [m.text for m in recorder.messages if "the prepared dataset decides" in m.text]
    assert said.endswith(f"decides: tokenizer.vocab_size = {vocab_size}")


def test_the_settings_that_prepared_a_dataset_train_on_it_in_silence(settings, prepared, tmp_path, recorder):
    tokenizers.train(settings().tokenizer, [TEXT]).save(tmp_path / "own.json")
    asked = {"data": {"validation_split_ratio": 0.3, "shuffle_documents": False, "max_bytes": 1_000}}
    asked["data"] |= {"text_field": "body", "allow_special": True}
    asked["tokenizer"] = {"path": str(tmp_path / "own.json")}
    source = prepared(**asked)
    asked["data"]["source"] = source
    assert train(settings(**asked), tmp_path / "run", callbacks=[recorder]).step == 6
    assert not any("decides" in m.text for m in recorder.messages)


def test_a_limit_that_the_text_stays_below_is_no_contradiction(settings, prepared, tmp_path, recorder):
    chosen = {"source": prepared(), "validation_split_ratio": 0.2, "max_bytes": len(TEXT)}
    train(settings(data=chosen), tmp_path / "run", callbacks=[recorder])
    assert not any("decides" in m.text for m in recorder.messages)


def test_another_limit_than_that_of_the_dataset_is_refused(settings, prepared, tmp_path):
    chosen = {"source": prepared(data={"max_bytes": 1_000}), "validation_split_ratio": 0.2, "max_bytes": 2_000}
    with pytest.raises(ConfigError, match=r"data\.max_bytes = 2000, not 1000") as error:
        train(settings(data=chosen), tmp_path / "run")
    assert "`--set data.max_bytes=1000`" in error.value.hint


def test_text_with_special_tokens_is_trained_on_where_that_is_allowed(settings, tmp_path, text):
    text.write_text(TEXT.replace(".\n", ".<|endoftext|>"))
    tokenizer = {"kind": "bpe", "vocab_size": 270}
    with pytest.raises(TokenizerError, match="special token") as error:
        train(settings(tokenizer=tokenizer), tmp_path / "run")
    assert "data.allow_special" in error.value.hint
    allowed = settings(tokenizer=tokenizer, data={"allow_special": True, "windows": "packed"})
    best = artifact.read(train(allowed, tmp_path / "run").checkpoint)
    dataset = TokenDataset.open(tmp_path / "run" / "data")
    assert (dataset.tokens("all") == best.tokenizer.eos_id).sum() == TEXT.count(".\n") + 1
    assert not any(
        b"endoftext" in best.tokenizer.token_bytes(i) for i in range(256, best.tokenizer.vocab_size - 1)
    )


def test_a_model_too_large_for_the_memory_is_refused_before_the_data_is_prepared(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "available_memory", lambda: 10**9)
    with pytest.raises(TrainingError, match=r"takes about .* GB of memory, and 1\.0 GB are") as error:
        train(settings(model={"d_model": 8000}), tmp_path / "run")
    assert "model.d_model" in error.value.hint
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_too_large_for_the_memory_is_refused_once_it_is_known(
    settings, tmp_path, monkeypatch, recorder
):
    needed = estimate_memory(settings(), settings(model={"vocab_size": len(set(TEXT))}).model, 2).total
    monkeypatch.setattr(run, "available_memory", lambda: needed - 1)
    with pytest.raises(TrainingError, match="available"):
        train(settings(), tmp_path / "run", callbacks=[recorder])
    assert (tmp_path / "run" / "data").exists()
    assert not recorder.started
    monkeypatch.setattr(run, "available_memory", lambda: needed)
    train(settings(), tmp_path / "run", callbacks=[recorder])
    monkeypatch.setattr(run, "available_memory", lambda: needed - 1)
    with pytest.raises(TrainingError, match="available"):
        train(settings(train={"max_steps": 8}), tmp_path / "run", resume=tmp_path / "run")


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"source": "other.txt"}},
        {"data": {"allow_special": True}},
        {"data": {"validation_split_ratio": 0.2}},
        {"tokenizer": {"special_tokens": True}},
    ],
)
def test_resuming_refuses_settings_that_would_need_other_tokens(settings, tmp_path, change):
    train(settings(), tmp_path / "run")
    with pytest.raises(ConfigError, match="goes on with its own tokens") as error:
        train(settings(**change), tmp_path / "run", resume=tmp_path / "run")
    assert "new run" in error.value.hint
    windows = settings(data={"windows": "strided"}, train={"max_steps": 7})
    assert train(windows, tmp_path / "run", resume=tmp_path / "run").step == 7


def test_a_run_is_never_overwritten(settings, tmp_path):
    train(settings(), tmp_path / "run")
    with pytest.raises(TrainingError, match="already holds a run") as error:
        train(settings(), tmp_path / "run")
    assert f"tissu train --resume {tmp_path / 'run'}" in error.value.hint
    shutil.rmtree(tmp_path / "run" / "step-6")
    with pytest.raises(TrainingError, match="already holds a trained model"):
        train(settings(), tmp_path / "run")


def prepared_again(messages):
    return not any("using the prepared dataset" in m.text for m in messages)


def test_what_an_attempt_before_the_first_checkpoint_prepared_is_used(settings, tmp_path, recorder, text):
    def attempt(**sections):
        for leftover in [*(tmp_path / "run").glob("step-*"), tmp_path / "run" / "best"]:
            shutil.rmtree(leftover, ignore_errors=True)
        recorder.__init__()
        train(settings(**sections), tmp_path / "run", callbacks=[recorder])
        return prepared_again(recorder.messages)

    assert attempt()
    assert not attempt(optimizer={"learning_rate": 1e-3})
    assert attempt(data={"validation_split_ratio": 0.2})
    assert not attempt(data={"validation_split_ratio": 0.2})
    assert attempt(data={"validation_split_ratio": 0.2, "allow_special": True})
    text.write_text(TEXT.replace("shore", "store"))
    assert attempt(data={"validation_split_ratio": 0.2})
    (tmp_path / "run" / "data" / "train.bin").write_bytes(b"")
    assert attempt(data={"validation_split_ratio": 0.2})


def test_resuming_takes_the_tokens_of_the_run(settings, tmp_path, text, recorder):
    train(settings(), tmp_path / "run")
    text.unlink()
    result = train(settings(train={"max_steps": 8}), tmp_path / "run", resume=tmp_path / "run")
    assert result.step == 8
    elsewhere = train(
        settings(train={"max_steps": 9}), tmp_path / "elsewhere", resume=load_resumable(tmp_path / "run")
    )
    assert elsewhere.checkpoint == tmp_path / "elsewhere" / "best"


def test_resuming_makes_lost_tokens_again_and_refuses_others(settings, tmp_path, text):
    train(settings(), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "data")
    assert train(settings(train={"max_steps": 7}), tmp_path / "run", resume=tmp_path / "run").step == 7
    shutil.rmtree(tmp_path / "run" / "data")
    text.write_text(TEXT.replace("shore", "store"))
    with pytest.raises(TrainingError, match="not those that the run was trained on"):
        train(settings(train={"max_steps": 8}), tmp_path / "run", resume=tmp_path / "run")


@pytest.mark.parametrize(
    ("limit", "stopped"),
    [
        ({"max_steps": 6}, "finished"),
        ({"max_seconds": 1e-6}, "time"),
        ({"early_stopping_patience": 1, "spike_threshold": 1e9}, "early_stopping"),
    ],
)
def test_resuming_a_run_that_is_over_says_what_to_raise(settings, tmp_path, recorder, limit, stopped):
    changed = settings(train=limit, optimizer={"learning_rate": 3.0 if stopped == "early_stopping" else 0.01})
    first = train(changed, tmp_path / "run")
    result = train(changed, tmp_path / "run", resume=tmp_path / "run", callbacks=[recorder])
    assert (result.stopped, result.step) == (stopped, first.step)
    (said,) = [m.text for m in recorder.messages if m.level == "warning"]
    assert f"raise train.{next(iter(limit))}" in said


def test_the_vocabulary_may_be_larger_than_the_tokenizers_but_not_smaller(settings, tmp_path):
    result = train(settings(model={"vocab_size": 64}), tmp_path / "run")
    assert artifact.read(result.checkpoint).decoder.config.vocab_size == 64
    with pytest.raises(ConfigError, match=r"model\.vocab_size = 5 is smaller"):
        train(settings(model={"vocab_size": 5}), tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": {"source": None}}, DataError, "data.source is not set"),
        ({"data": {"source": "absent.txt"}}, DataError, "absent.txt"),
        ({"tokenizer": {"path": "absent.json"}}, TokenizerError, "absent.json"),
        ({"model": {"context_length": 5000}}, DataError, "too little text"),
        ({"optimizer": {"learning_rate_scales": {"nothing": 1.0}}}, ConfigError, "matches no parameter"),
    ],
)
def test_user_errors_are_clear_and_come_before_training(settings, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        train(settings(**change), tmp_path / "run")
    assert not (tmp_path / "run" / "best").exists()


def test_packing_without_an_end_of_document_is_refused_before_the_text_is_read(settings, tmp_path):
    tokenizers.train(settings().tokenizer, [TEXT]).save(tmp_path / "characters.json")
    own = {"path": str(tmp_path / "characters.json"), "special_tokens": True}
    with pytest.raises(DataError, match="no EOS"):
        train(settings(tokenizer=own, data={"windows": "packed"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume(settings, tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(settings(), tmp_path / "run", resume=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.data
def test_babys_first_steps_are_nanogpts(shared_data, tmp_path, recorder):
    """Counts, parameters and step-0 loss of nanoGPT's published CPU run, and what a few steps make of it."""
    from quanta_tissu.tisslm.config.load import load_config

    source = shared_data / "tinyshakespeare.txt"
    changes = [f"data.source={source}", "train.max_steps=60", "train.eval_steps=10", "train.eval_interval=60"]
    baby = load_config(preset="baby-gpt", overrides=changes, environ={})
    result = train(baby, tmp_path / "run", callbacks=[recorder])
    manifest = TokenDataset.open(tmp_path / "run" / "data").manifest
    assert (manifest.train.tokens, manifest.validation.tokens) == (1_003_854, 111_540)
    parameters = artifact.read(result.checkpoint).decoder.parameters
    assert parameters.num_elements - parameters["model.embed_positions.weight"].size == 795_904
    assert recorder.evaluations[0].val_loss == pytest.approx(4.18, abs=0.06)
    assert result.val_loss < 3.0
