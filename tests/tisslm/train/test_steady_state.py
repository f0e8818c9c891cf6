"""Once it is under way, a run takes no more memory from the system: step after step has the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

STEPS, WARM_UP = 220, 20

# Resident KiB and page faults after every step, in a process that does nothing else.
SCRIPT = """
import json, resource, sys
from pathlib import Path
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.train import train
from quanta_tissu.tisslm.train.callbacks import Callback

page = resource.getpagesize() // 1024

class Watch(Callback):
    def __init__(self):
        self.resident, self.faults = [], []

    def on_step(self, report):
        self.resident.append(page * int(Path("/proc/self/statm").read_text().split()[1]))
        self.faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

watch = Watch()
train(Config.model_validate_json(sys.argv[1]), Path(sys.argv[2]), callbacks=[watch])
print(json.dumps([watch.resident, watch.faults]))
"""


def watched(config, folder, **model):
    """Resident KiB and page faults so far, after every step of a run."""
    settings = config(
        model={"vocab_size": None, **model},
        train={
            "batch_size": 8,
            "max_steps": STEPS,
            "eval_interval": 10 * STEPS,
            "checkpoint_interval": 10 * STEPS,
            "engine": "fast",
        },
        data={"source": str(folder / "text.txt")},
    )
    command = [sys.executable, "-c", SCRIPT, settings.model_dump_json(), str(folder / "run")]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    resident, faults = json.loads(found.stdout)
    assert len(resident) == STEPS
    return resident[WARM_UP:], faults[WARM_UP:]


def assert_flat(resident, faults):
    """What grows is lists of reports and Python's own pools: less than a page fault a step."""
    assert max(resident) - resident[0] < 1024  # KiB, of at least 150 MiB
    assert faults[-1] - faults[0] < 1.0 * len(faults)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestMemoryIsFlat:
    def test_with_activations_of_several_megabytes(self, config, tmp_path):
        (tmp_path / "text.txt").write_text("She sells sea shells by the sea shore.\n" * 400)
        shape = {"context_length": 128, "d_model": 64, "n_heads": 4, "d_ff": 256, "feed_forward": "gelu"}
        assert_flat(*watched(config, tmp_path, **shape))

    def test_with_a_vocabulary_whose_logits_would_be_mapped_anew_at_every_step(self, config, tmp_path):
        """40 MB of logits for each replica: more than the largest array that freed memory is kept for."""
        symbols = [chr(0x4E00 + i) for i in range(20_000)]
        (tmp_path / "text.txt").write_text("".join(symbols) * 2)
        assert_flat(*watched(config, tmp_path, context_length=128, d_model=8, n_heads=1, n_kv_heads=1, n_layers=1))
