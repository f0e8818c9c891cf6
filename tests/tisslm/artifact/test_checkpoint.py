"""Checkpoint directories: what is written comes back exactly, and whatever is wrong with one is said."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import count

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.config import Config, ModelConfig, TrainConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer

CHARACTERS = CharacterTokenizer("abc ")  # 8 tokens with PAD, BOS, EOS, UNK
MODEL = ModelConfig(vocab_size=8, context_length=6, n_layers=2, d_model=16, n_heads=4, n_kv_heads=2)
CONFIG = Config(train=TrainConfig(seed=7, max_steps=10))


def decoder(config=MODEL, seed=1):
    return Decoder.initialise(config, seed)


def write(path, model=None, **kwargs):
    artifact.write(path, model or decoder(), CHARACTERS, CONFIG, **kwargs)
    return path


def rewrite_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sliding_window": 3, "tie_embeddings": False},
        {"norm": "layer_norm", "positions": "learned", "feed_forward": "gelu", "n_kv_heads": None},
        {"norm_placement": "post", "positions": "sinusoidal", "bias": True, "dropout": 0.1, "init_std": 3.0},
    ],
)
def test_everything_comes_back(tmp_path, changes):
    model = decoder(ModelConfig.model_validate(MODEL.model_dump() | changes))
    read = artifact.read(write(tmp_path / "best", model))
    assert read.decoder.config == model.config
    np.testing.assert_array_equal(read.decoder.parameters.flat, model.parameters.flat)
    assert read.tokenizer.fingerprint() == CHARACTERS.fingerprint()
    assert read.config == CONFIG.model_copy(update={"model": model.config})
    assert read.directory == tmp_path / "best"


def test_other_weights_and_other_types_are_stored_as_float32(tmp_path):
    model = Decoder.initialise(MODEL, 1, np.float64)
    average = model.parameters.like(model.parameters.flat * 0.5)
    read = artifact.read(write(tmp_path / "best", model, parameters=average))
    np.testing.assert_array_equal(read.decoder.parameters.flat, average.flat.astype(np.float32))


def test_the_manifest_has_hashes_versions_configuration_and_metrics(tmp_path):
    path = write(
        tmp_path / "best",
        metrics={"val_loss": np.float32(1.5), "best": float("nan"), "history": (1, float("inf")), "at": tmp_path},
        data_manifest={"train": {"tokens": 9}, "source": "poem"},
        extra_files={"state.json": b"{}", "optimizer.bin": lambda file: file.write_bytes(b"moments")},
    )
    manifest = json.loads((path / "manifest.json").read_text())
    hashed = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    assert hashed == {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "config.json", "tokenizer.json", "state.json", "optimizer.bin")
    }
    assert (path / "optimizer.bin").read_bytes() == b"moments"
    assert manifest["files"]["optimizer.bin"]["bytes"] == 7
    assert manifest["data"] == {"train": {"tokens": 9}, "source": "poem"}
    assert manifest["data_sha256"] == hashlib.sha256(b'{"source":"poem","train":{"tokens":9}}').hexdigest()
    assert manifest["metrics"] == {"val_loss": 1.5, "best": None, "history": [1, None], "at": str(tmp_path)}
    assert manifest["configuration"]["train"]["seed"] == 7
    assert manifest["versions"].keys() == {"quanta_tissu", "python", "numpy"}
    assert artifact.read(path).manifest == manifest


def test_the_model_card_says_what_it_is_and_how_good(tmp_path):
    card = (
        write(tmp_path / "a", metrics={"val_loss": 1.5}, data_manifest={"source": "poem"}) / "README.md"
    ).read_text()
    for fact in (
        "rms_norm, pre",
        "4 heads on 2 key-value heads",
        "| source | poem |",
        "| val_loss | 1.5 |",
        "4.48169",
    ):
        assert fact in card
    assert "transformers" in card
    bare = (
        write(tmp_path / "b", decoder(MODEL.model_copy(update={"positions": "none"}))) / "README.md"
    ).read_text()
    assert "Not recorded" in bare
    assert "Nothing was measured" in bare
    assert "transformers" not in bare


def test_extra_files_cannot_take_the_place_of_its_own(tmp_path):
    with pytest.raises(ValueError, match="config"):
        write(tmp_path / "best", extra_files={"config.json": b""})


# -- what can be wrong -------------------------------------------------------------------------------------------


def test_a_missing_directory_is_an_error_that_suggests(tmp_path):
    write(tmp_path / "best")
    with pytest.raises(CheckpointError, match="bset does not exist") as caught:
        artifact.read(tmp_path / "bset")
    assert str(tmp_path / "best") in caught.value.hint


def test_a_folder_of_checkpoints_is_an_error_that_lists_them(tmp_path):
    write(tmp_path / "best")
    write(tmp_path / "step-10")
    with pytest.raises(CheckpointError, match=r"has no config\.json") as caught:
        artifact.read(tmp_path)
    assert caught.value.hint == "choose one of the checkpoints inside it: best, step-10"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "manifest.json"])
def test_a_missing_file_is_named(tmp_path, name):
    (write(tmp_path / "best") / name).unlink()
    with pytest.raises(CheckpointError, match=f"best has no {name}") as caught:
        artifact.read(tmp_path / "best")
    assert ("tissu import" in caught.value.hint) == (name == "manifest.json")


def test_truncated_weights_are_named(tmp_path):
    weights = write(tmp_path / "best") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated"):
        artifact.read(tmp_path / "best")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_changed_file_is_noticed(tmp_path, name):
    file = write(tmp_path / "best") / name
    content = file.read_bytes()
    file.write_bytes(content[:-2] + b" \n" if name != "model.safetensors" else content[:-1] + b"\x01")
    if name != "model.safetensors":
        file.write_bytes(content + b"\n")
    with pytest.raises(CheckpointError, match="is not the file that was saved") as caught:
        artifact.read(tmp_path / "best")
    assert "use another checkpoint" in caught.value.hint
    artifact.read(tmp_path / "best", verify=False)


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000], ids=["cut short", "a list", "too deep"])
def test_broken_json_is_named(tmp_path, name, content):
    (write(tmp_path / "best") / name).write_text(content)
    with pytest.raises(CheckpointError, match=name):
        artifact.read(tmp_path / "best")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(model_type="bert"), "model_type 'bert' is not supported"),
        (lambda c: c.pop("tissu"), "was not written by this package"),
        (lambda c: c["tissu"].update(format="tissu-checkpoint-9"), "has format 'tissu-checkpoint-9'"),
        (lambda c: c["tissu"]["model"].update(n_heads=5), "d_model = 16 is not divisible"),
        (lambda c: c["tissu"]["model"].update(flux=1), "flux"),
        (lambda c: c["tissu"]["model"].update(positions="none"), "contradicts the section"),
        (lambda c: c["tissu"]["model"].update(n_kv_heads=4), r"k_proj.weight has shape \(8, 16\).* \(16, 16\)"),
        (lambda c: c["tissu"]["model"].update(n_layers=3), r"missing, model\.layers\.2"),
        (lambda c: c["tissu"]["model"].update(n_layers=1), r"does not have, model\.layers\.1"),
    ],
)
def test_another_architecture_is_named(tmp_path, change, message):
    rewrite_json(write(tmp_path / "best") / "config.json", change)
    with pytest.raises(CheckpointError, match=message):
        artifact.read(tmp_path / "best", verify=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="tissu-tokens-1"), "has format 'tissu-tokens-1'"),
        (lambda m: m.pop("configuration"), "the configuration is invalid"),
        (lambda m: m.pop("files"), "does not say which files"),
        (lambda m: m.update(files={"config.json": 1}), "does not say which files"),
        (lambda m: m["configuration"]["train"].update(flux=1), "flux"),
    ],
)
def test_an_unusable_manifest_is_named(tmp_path, change, message):
    rewrite_json(write(tmp_path / "best") / "manifest.json", change)
    with pytest.raises(CheckpointError, match=message):
        artifact.read(tmp_path / "best")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    CharacterTokenizer("abcdefgh").save(write(tmp_path / "best") / "tokenizer.json")
    with pytest.raises(CheckpointError, match="has 12 tokens, the model only 8"):
        artifact.read(tmp_path / "best", verify=False)


def test_a_prepared_dataset_is_never_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text('{"format": "tissu-tokens-1"}')
    with pytest.raises(CheckpointError, match="is not a checkpoint; it will not be replaced"):
        write(tmp_path / "data")


# -- full disks and killed processes -----------------------------------------------------------------------------


def test_weights_that_do_not_fit_on_the_disk_are_a_clear_error_and_nothing_is_lost(tmp_path):
    """The kernel refuses to write: a child process may only write files of 2,000 bytes."""
    old = decoder(seed=1)
    write(tmp_path / "best", old)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
            write(tmp_path / "best", decoder(seed=2))
        except CheckpointError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    read = artifact.read(tmp_path / "best")
    np.testing.assert_array_equal(read.decoder.parameters.flat, old.parameters.flat)
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_tokenizer_or_extra_file_that_fails_leaves_the_old_checkpoint(tmp_path):
    write(tmp_path / "best", decoder(seed=1))

    def fail(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="the disk is full"):
        write(tmp_path / "best", decoder(seed=2), extra_files={"optimizer.safetensors": fail})
    read = artifact.read(tmp_path / "best")
    np.testing.assert_array_equal(read.decoder.parameters.flat, decoder(seed=1).parameters.flat)


WRITER = """
    import sys
    from pathlib import Path
    from quanta_tissu.tisslm import artifact
    from quanta_tissu.tisslm.config import Config, ModelConfig
    from quanta_tissu.tisslm.model import Decoder
    from quanta_tissu.tisslm.tokenizers import CharacterTokenizer
    config = ModelConfig(vocab_size=8, context_length=6, n_layers=2, d_model=16, n_heads=4, n_kv_heads=2)
    model = Decoder.initialise(config, 1)
    for number in range(100_000):
        model.parameters.flat[:] = number
        artifact.write(Path(sys.argv[1]), model, CharacterTokenizer("abc "), Config(), metrics={"number": number})
        print(number, flush=True)
"""


@pytest.mark.slow
def test_sigkill_at_random_moments_never_loses_the_checkpoint(tmp_path):
    rng = np.random.default_rng()
    for _ in range(6):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "best")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            announced = [int(process.stdout.readline()) for _ in range(3)]
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
            announced += [int(line) for line in process.stdout]
        read = artifact.read(tmp_path / "best")
        number = read.manifest["metrics"]["number"]
        assert number in (announced[-1], announced[-1] + 1)
        np.testing.assert_array_equal(read.decoder.parameters.flat, np.float32(number))


def test_a_checkpoint_can_be_read_while_it_is_being_replaced(tmp_path):
    model = decoder()
    write(tmp_path / "best", model)
    stop = threading.Event()

    def replace():
        for number in count(1):
            model.parameters.flat[:] = number
            write(tmp_path / "best", model, metrics={"number": number})
            if stop.is_set():
                return

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(40):
            read = artifact.read(tmp_path / "best")
            number = read.manifest["metrics"].get("number")
            if number is not None:
                assert set(read.decoder.parameters.flat) == {np.float32(number)}
    finally:
        stop.set()
        writer.join()


def test_files_of_two_checkpoints_are_never_mixed(tmp_path, monkeypatch):
    """A replacement comes between reading one file and the next: the new checkpoint is read as a whole."""
    from quanta_tissu.tisslm.artifact import checkpoint

    old, new = decoder(seed=1), decoder(seed=2)
    write(tmp_path / "best", old, metrics={"which": "old"})
    replacements = iter([new])

    def load_tensors(path):
        for model in replacements:
            write(tmp_path / "best", model, metrics={"which": "new"})
        return artifact.load_tensors(path)

    monkeypatch.setattr(checkpoint, "load_tensors", load_tensors)
    read = artifact.read(tmp_path / "best")
    assert read.manifest["metrics"] == {"which": "new"}
    np.testing.assert_array_equal(read.decoder.parameters.flat, new.parameters.flat)


# -- Hugging Face's files ----------------------------------------------------------------------------------------


def bpe():
    tokenizer = BPETokenizer()
    tokenizer.train(["the cat sat on the mat, the rat sat on the cat"] * 3, 270)
    return tokenizer


def test_a_bpe_tokenizer_is_described_for_transformers(tmp_path):
    tokenizer = bpe()
    model = decoder(MODEL.model_copy(update={"vocab_size": tokenizer.vocab_size}))
    artifact.write(tmp_path / "best", model, tokenizer, CONFIG)
    content = json.loads((tmp_path / "best" / "tokenizer_config.json").read_text())
    assert content["eos_token"] == "<|endoftext|>"
    assert content["model_max_length"] == 6
    assert json.loads((tmp_path / "best" / "config.json").read_text())["eos_token_id"] == tokenizer.eos_id
    assert artifact.read(tmp_path / "best").tokenizer.encode("the cat") == tokenizer.encode("the cat")


HUGGING_FACE = {
    "llama-grouped-tied": MODEL,
    "llama-untied-biases": MODEL.model_copy(update={"tie_embeddings": False, "bias": True, "rope_theta": 500.0}),
    "llama-interleaved": MODEL.model_copy(update={"rope_interleaved": True}),
    "mistral-window-1": MODEL.model_copy(update={"sliding_window": 1}),
    "mistral-window-3": MODEL.model_copy(update={"sliding_window": 3, "tie_embeddings": False}),
} | {
    f"gpt2-{activation}-{'bias' if bias else 'bare'}-{'tied' if tied else 'untied'}": MODEL.model_copy(
        update={
            "norm": "layer_norm",
            "positions": "learned",
            "feed_forward": activation,
            "n_kv_heads": None,
            "bias": bias,
            "tie_embeddings": tied,
        }
    )
    for activation, bias, tied in [("gelu", False, True), ("gelu_tanh", True, True), ("relu", True, False)]
}


@pytest.mark.torch
@pytest.mark.parametrize("name", HUGGING_FACE)
def test_the_directory_opens_in_transformers_with_the_same_logits(tmp_path, torch, transformers, name):
    tokenizer = bpe()
    model = decoder(HUGGING_FACE[name].model_copy(update={"vocab_size": tokenizer.vocab_size}))
    rng = np.random.default_rng(3)
    for array in model.parameters.values():
        array += rng.normal(size=array.shape).astype(np.float32) * 0.2
    artifact.write(tmp_path / "best", model, tokenizer, CONFIG)

    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "best", output_loading_info=True)
    assert not any(report.values()), report
    ids = rng.integers(0, tokenizer.vocab_size, (2, 6))
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(ids)).logits.numpy()
    ours = artifact.read(tmp_path / "best").decoder.forward(ids)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.torch
def test_the_tokenizer_opens_in_transformers(tmp_path, transformers):
    tokenizer = bpe()
    model = decoder(MODEL.model_copy(update={"vocab_size": tokenizer.vocab_size}))
    artifact.write(tmp_path / "best", model, tokenizer, CONFIG)
    for theirs in (
        transformers.AutoTokenizer.from_pretrained(tmp_path / "best"),
        transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "best"),
    ):
        text = "the fat cat's 3 naïve  hats\n\n日本"
        assert theirs(text)["input_ids"] == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text
        assert theirs.eos_token_id == tokenizer.eos_id
        assert theirs.model_max_length == 6
