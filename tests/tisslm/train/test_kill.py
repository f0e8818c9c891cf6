"""SIGKILL at any moment leaves the last complete checkpoints loadable, and the run goes on exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quanta_tissu.tisslm import artifact

# One interpreter that forks: the children need not import everything again, so that kills come thick and fast.
SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.train import train
from quanta_tissu.tisslm.train.checkpoint import best_metrics, load_resumable, rolling_checkpoints

config, folder, kills = Config.model_validate_json(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
random.seed(7)

def child(out):
    pid = os.fork()
    if pid == 0:
        try:
            train(config, out, resume=out if rolling_checkpoints(out) else None)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid

began = time.monotonic()
if os.waitstatus_to_exitcode(os.waitpid(child(folder / "whole"), 0)[1]):
    sys.exit("the uninterrupted run failed")
length = time.monotonic() - began

out, steps, killed = folder / "killed", [], 0
while True:
    pid = child(out)
    if killed < kills:
        time.sleep(random.uniform(0.02, 0.35) * length)
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code > 0:
        sys.exit("a run failed")
    if rolling_checkpoints(out):
        steps.append(load_resumable(out).state.step)
        artifact.read(out / "best")
    elif best_metrics(out).get("step"):
        artifact.read(out / "best")
        shutil.rmtree(out)
    if code == 0:
        break
    killed += 1
print(json.dumps({"steps": steps, "killed": killed}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
def test_killing_a_run_again_and_again_changes_nothing(config, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question.\n" * 60)
    settings = config(
        model={"vocab_size": None, "dropout": 0.1},
        data={"source": str(text)},
        train={
            "max_steps": 60,
            "checkpoint_interval": 1,
            "eval_interval": 2,
            "keep_checkpoints": 1,
            "ema_decay": 0.9,
            "gradient_accumulation": 2,
        },
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, settings.model_dump_json(), str(tmp_path), "20"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"] >= 5
    assert found["steps"] == sorted(found["steps"])
    assert found["steps"][-1] == 60
    for file in ("model.safetensors", "optimizer.safetensors"):
        tensors = [artifact.load_tensors(tmp_path / run / "step-60" / file) for run in ("whole", "killed")]
        assert {n: a.tobytes() for n, a in tensors[0].items()} == {n: a.tobytes() for n, a in tensors[1].items()}
    assert [p.name for p in (tmp_path / "killed").glob("*step-*")] == ["step-60"]
