from __future__ import annotations

import json
import re
import signal
import time

import pytest

from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.train.interrupts import Interrupts

FIELDS = [
    "step",
    "train_loss",
    "val_loss",
    "best_val_loss",
    "tokens",
    "seconds",
    "tokens_per_second",
    "checkpoint",
]


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("Peter Piper picked a peck of pickled peppers.\n" * 60)
    return path


FAST = ["--preset", "tiny", "--data", "text.txt", "--set", "train.eval_steps=2"]


@pytest.mark.usefixtures("text")
def test_json_ends_with_the_contracts_object_and_nothing_else_is_on_stdout(tissu):
    done = tissu("train", *FAST, "--out", "run", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert list(result) == FIELDS
    assert result["step"] == 60
    assert result["tokens"] == 60 * 8 * 32
    assert result["checkpoint"] == "run/best"
    assert artifact.read(result["checkpoint"]).manifest["metrics"]["val_loss"] == result["best_val_loss"]


@pytest.mark.usefixtures("text")
def test_people_get_the_result_beside_the_floors_and_the_next_command(tissu, tmp_path):
    done = tissu("train", *FAST)
    assert done.code == 0
    assert "done after 60 steps" in done.out
    assert re.search(r"\nvalidation loss \d\.\d{4}, best \d\.\d{4}\nfloors, in nats per token\n", done.out)
    best = json.loads((tmp_path / "runs/tiny/best/manifest.json").read_text())["metrics"]["val_loss"]
    verdicts = re.findall(r"\n  (ln V|unigram|bigram) +([\d.]+), (beaten|missed) by ([\d.]+)", done.out)
    assert [name for name, *_ in verdicts] == ["ln V", "unigram", "bigram"]
    for _, floor, verdict, distance in verdicts:
        assert verdict == ("beaten" if best < float(floor) else "missed")
        assert float(distance) == pytest.approx(abs(float(floor) - best), abs=1e-4)
    assert "tissu generate runs/tiny/best" in done.out
    assert "validation loss" in done.err
    again = tissu("train", *FAST)
    assert "runs/tiny-2/best" in again.out


@pytest.mark.usefixtures("text")
def test_options_change_the_configuration(tissu, tmp_path):
    (tmp_path / "mine.yaml").write_text("train:\n  max_steps: 9\n  batch_size: 2\n")
    changes = ["--set", "train.max_steps=5", "--set", "model.n_layers=1", "--engine", "reference"]
    done = tissu("train", *FAST, "--config", "mine.yaml", *changes, "--json")
    assert done.code == 0, done.err
    config = artifact.read("runs/mine/best").config
    assert (config.train.max_steps, config.train.batch_size, config.model.n_layers) == (5, 2, 1)
    assert config.train.engine == "reference"
    assert config.data.source == "text.txt"


@pytest.mark.usefixtures("text")
def test_resuming_takes_the_settings_of_the_run_and_changes_to_them(tissu, tmp_path):
    tissu("train", *FAST, "--out", "run", "--set", "train.max_steps=4", "--set", "model.n_layers=1")
    done = tissu("train", "--resume", "run", "--set", "train.max_steps=7", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["step"] == 7
    assert json.loads(done.out)["checkpoint"] == str(tmp_path / "run" / "best")
    refused = tissu("train", "--resume", "run", "--set", "model.n_layers=3")
    assert refused.code == 1
    assert "model.n_layers = 1 (now 3)" in refused.err


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--preset", "giant"], 2, "giant"),
        (["--set", "train.steps=3"], 2, "train.max_steps"),
        (["--engine", "steam"], 2, "steam"),
        (["--config", "."], 2, "cannot read the configuration file .: Is a directory\n  help: name a YAML file"),
        (["--preset", "tiny"], 1, "data.source is not set"),
        (["--preset", "tiny", "--data", "absent.txt"], 1, "absent.txt"),
        (["--resume", "absent"], 1, "nothing to resume"),
        (["--resume", "run", "--preset", "tiny"], 2, "--preset cannot go with --resume"),
        (["--resume", "run", "--config", "a.yaml", "--preset", "tiny"], 2, "--preset and --config cannot go with"),
        (["--preset", "tiny", "--data", "text.txt", "--set", "model.n_heads=3"], 2, "not divisible"),
    ],
)
def test_mistakes_are_told_without_a_traceback(tissu, args, code, message):
    done = tissu("train", *args)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.usefixtures("text")
def test_one_step_is_no_plural_and_a_small_text_has_a_size(tissu):
    done = tissu("train", *FAST, "--set", "train.max_steps=1", "--set", "train.batch_size=2")
    assert "done after 1 step, 64 tokens and" in done.out
    assert "reading text.txt (2.8 kB)" in done.err


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize("out", ["text.txt", "text.txt/run"])
def test_a_file_is_no_folder_for_a_run(tissu, out):
    done = tissu("train", *FAST, "--out", out)
    assert done.code == 1
    assert "text.txt is a file, so it cannot be the folder of a run" in done.err
    assert "--out" in done.err


@pytest.mark.usefixtures("text")
def test_an_interrupted_run_says_once_how_to_go_on(tissu, monkeypatch):
    def asked_to_stop(self):
        self.requested = True
        return self

    monkeypatch.setattr(Interrupts, "__enter__", asked_to_stop)
    done = tissu("train", *FAST, "--out", "run")
    assert done.code == ExitCode.INTERRUPTED
    assert done.out.startswith("interrupted after 0 steps")
    assert (done.out + done.err).count("tissu train --resume run") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("text")
def test_ctrl_c_saves_and_shows_the_command_that_goes_on(tissu_process, tmp_path, tissu):
    endless = ["--set", "train.max_steps=1000000", "--set", "train.checkpoint_interval=20"]
    process = tissu_process("train", *FAST, *endless, "--out", "run", "--json", cwd=tmp_path)
    deadline = time.monotonic() + 90
    while not list((tmp_path / "run").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, err
    result = json.loads(out.splitlines()[-1])
    assert result["step"] >= 20
    assert "go on with: tissu train --resume run" in err
    assert "Traceback" not in err
    more = tissu("train", "--resume", "run", "--set", f"train.max_steps={result['step'] + 1}", "--json")
    assert json.loads(more.out)["step"] == result["step"] + 1
