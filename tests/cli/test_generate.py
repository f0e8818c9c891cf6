"""`tissu generate`: the contract of its output, and what is said about mistakes."""

import io
import json
import signal
import sys

import numpy as np
import pytest

from quanta_tissu.cli.generation_options import visible
from quanta_tissu.tisslm import LanguageModel, load
from quanta_tissu.tisslm.config import Config, GenerateConfig, ModelConfig
from quanta_tissu.tisslm.config.fields import fields
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    tokenizer = CharacterTokenizer("\n abcdefghijklmnopqrstuvwxyz\x1b")
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=16, n_layers=1, d_model=32, n_heads=4)
    decoder = Decoder.initialise(config, seed=1)
    decoder.parameters.flat[:] += np.random.default_rng(2).normal(size=decoder.parameters.flat.shape) * 0.2
    folder = tmp_path_factory.mktemp("runs") / "best"
    LanguageModel(decoder, tokenizer, Config(generate=GenerateConfig(max_new_tokens=8))).save(folder)
    return str(folder)


def test_json_has_the_fields_that_other_programs_rely_on(tissu, checkpoint):
    outcome = tissu(
        "generate", checkpoint, "--prompt", "to be", "--max-new-tokens", "12", "--temperature", "0.9",
        "--top-k", "20", "--top-p", "0.95", "--seed", "3", "--num-samples", "2", "--json",
    )  # fmt: skip
    assert outcome.code == 0
    report = json.loads(outcome.out.splitlines()[-1])
    assert list(report) == ["prompt", "completions", "tokens_per_second"]
    assert report["prompt"] == "to be"
    assert report["tokens_per_second"] > 0
    want = load(checkpoint).generate(
        "to be", max_new_tokens=12, temperature=0.9, top_k=20, top_p=0.95, seed=3, num_samples=2
    )
    assert report["completions"] == [
        {"text": c.text, "tokens": c.tokens, "finish_reason": c.finish_reason} for c in want
    ]


def test_text_is_the_prompt_and_its_continuation(tissu, checkpoint):
    want = load(checkpoint).generate("to be", temperature=0).text
    assert tissu("generate", checkpoint, "--prompt", "to be", "--temperature", "0").out == f"to be{want}\n"


def test_several_samples_are_numbered(tissu, checkpoint):
    want = load(checkpoint).generate("to be", seed=1, num_samples=2)
    outcome = tissu("generate", checkpoint, "--prompt", "to be", "--seed", "1", "--num-samples", "2")
    assert outcome.out == (f"--- sample 1 of 2\nto be{want[0].text}\n--- sample 2 of 2\nto be{want[1].text}\n")


def test_settings_left_out_are_the_checkpoints(tissu, checkpoint):
    arguments = ["generate", checkpoint, "--no-stop-at-eos", "--json"]
    assert len(json.loads(tissu(*arguments).out)["completions"][0]["tokens"]) == 8
    assert len(json.loads(tissu(*arguments, "--max-new-tokens", "3").out)["completions"][0]["tokens"]) == 3


def test_the_environment_is_below_the_command_line(tissu, checkpoint, monkeypatch):
    monkeypatch.setenv("TISSU_GENERATE__MAX_NEW_TOKENS", "5")
    arguments = ["generate", checkpoint, "--no-stop-at-eos", "--json"]
    assert len(json.loads(tissu(*arguments).out)["completions"][0]["tokens"]) == 5
    assert len(json.loads(tissu(*arguments, "--max-new-tokens", "3").out)["completions"][0]["tokens"]) == 3


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_prompt_may_come_from_standard_input(tissu, checkpoint, monkeypatch, end):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"to\nbe{end}".encode())))
    assert json.loads(tissu("generate", checkpoint, "--prompt", "-", "--json").out)["prompt"] == "to\nbe"


def test_standard_input_that_is_no_text_is_an_error(tissu, checkpoint, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    outcome = tissu("generate", checkpoint, "--prompt", "-")
    assert outcome.code == 1
    assert "not UTF-8 text: byte 0xe9 at position 3" in outcome.err


# Field -> option, and what it must make of the settings; every field of the section is here.
OPTIONS = {
    "max_new_tokens": (["--max-new-tokens", "5"], 5),
    "min_new_tokens": (["--min-new-tokens", "3"], 3),
    "temperature": (["--temperature", "0.5"], 0.5),
    "top_k": (["--top-k", "null"], None),
    "top_p": (["--top-p", "0.5"], 0.5),
    "min_p": (["--min-p", "0.1"], 0.1),
    "repetition_penalty": (["--repetition-penalty", "1.1"], 1.1),
    "presence_penalty": (["--presence-penalty", "-0.5"], -0.5),
    "frequency_penalty": (["--frequency-penalty", "0.5"], 0.5),
    "no_repeat_ngram": (["--no-repeat-ngram", "3"], 3),
    "logit_bias": (["--logit-bias", "4=-1.5", "--logit-bias", "5=2"], {4: -1.5, 5: 2.0}),
    "banned_tokens": (["--banned-tokens", "4", "--banned-tokens", "5"], [4, 5]),
    "forced_tokens": (["--forced-tokens", "6"], [6]),
    "stop": (["--stop", "a b", "--stop", "\n"], ["a b", "\n"]),
    "stop_at_eos": (["--no-stop-at-eos"], False),
    "overflow": (["--overflow", "refuse"], "refuse"),
    "seed": (["--seed", "7"], 7),
    "num_samples": (["--num-samples", "2"], 2),
    "kv_cache": (["--no-kv-cache"], False),
    "prefill_chunk": (["--prefill-chunk", "2"], 2),
    "threads": (["--threads", "2"], 2),
    "logprobs": (["--logprobs", "1"], 1),
}


@pytest.mark.parametrize("name", [field.name for field in fields("generate")])
def test_every_setting_has_an_option_that_reaches_the_model(tissu, checkpoint, monkeypatch, name):
    arguments, value = OPTIONS[name]
    seen = []
    original = LanguageModel.generate
    monkeypatch.setattr(
        LanguageModel, "generate", lambda self, prompt, **s: seen.append(s) or original(self, prompt, **s)
    )
    outcome = tissu("generate", checkpoint, "--prompt", "to", "--json", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert seen == [{name: value}]


def test_logprobs_are_in_the_json_if_asked_for(tissu, checkpoint):
    outcome = tissu("generate", checkpoint, "--prompt", "to", "--logprobs", "2", "--max-new-tokens", "1", "--json")
    [completion] = json.loads(outcome.out)["completions"]
    [entry] = completion["logprobs"]
    assert entry["token"] == completion["tokens"][0]
    assert entry["logprob"] <= entry["top"][0][1] <= 0
    assert len(entry["top"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--temperature", "-1"], 2, "generate.temperature = -1.0 (command line): must be a number, at least 0"),
        (["--temperature", "hot"], 2, "Invalid value for '--temperature'"),
        (["--top-k", "few"], 2, "'few' is neither a whole number nor null"),
        (["--logit-bias", "4:2"], 2, "'4:2' is not of the form ID=VALUE"),
        (["--overflow", "burst"], 2, "Invalid value for '--overflow'"),
        (["--engine", "warp"], 2, "Invalid value for '--engine'"),
        (["--logprobs", "2"], 2, "--logprobs shows in the JSON output only"),
        (["--banned-tokens", "999"], 2, "banned_tokens names the token id 999"),
        (["--stop", ""], 2, "a stop string is empty"),
        (
            ["--min-new-tokens", "9", "--max-new-tokens", "5"],
            2,
            "min_new_tokens = 9 is larger than max_new_tokens = 5",
        ),
        (["--prompt", "a" * 20, "--overflow", "refuse"], 1, "the model has 16"),
        (["--prompt", "<|eos|>"], 1, "special token"),
    ],
)
def test_mistakes_are_explained(tissu, checkpoint, arguments, code, message):
    outcome = tissu("generate", checkpoint, *arguments)
    assert outcome.code == code
    assert message in outcome.err
    assert "help:" in outcome.err
    assert outcome.out == ""


def test_a_missing_checkpoint_is_an_error(tissu, tmp_path):
    outcome = tissu("generate", str(tmp_path / "nothing"), "--prompt", "a")
    assert outcome.code == 1
    assert "nothing" in outcome.err


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_both_engines_generate(tissu, checkpoint, engine):
    outcome = tissu("generate", checkpoint, "--prompt", "to", "--temperature", "0", "--engine", engine)
    assert outcome.out.startswith("to")
    assert outcome.code == 0


def test_control_characters_reach_a_file_but_not_a_terminal(tissu, checkpoint, monkeypatch):
    """A model may generate an escape sequence; a terminal must not obey it."""
    escape = load(checkpoint).tokenizer.encode("\x1b")[0]
    arguments = ["generate", checkpoint, "--prompt", "a", "--forced-tokens", str(escape), "--max-new-tokens", "1"]
    assert tissu(*arguments).out == "a\x1b\n"
    monkeypatch.setattr("quanta_tissu.cli.generate._to_terminal", lambda: True)
    assert tissu(*arguments).out == "a\u241b\n"


def test_text_is_streamed_and_ctrl_c_ends_it(checkpoint, tissu_process):
    process = tissu_process("generate", checkpoint, "--max-new-tokens", "1000000000", "--no-stop-at-eos")
    assert len(process.stdout.read(100)) == 100  # long before the end
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_visible_text_keeps_all_but_control_characters():
    assert visible("é €\t\n\x00\x7f\x9b[31m") == "é €\t\n\u2400\u2421\ufffd[31m"
