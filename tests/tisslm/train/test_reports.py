from __future__ import annotations

import json
from pathlib import Path

from quanta_tissu.tisslm.train.reports import TrainResult


def test_the_summary_is_json_even_before_anything_was_measured():
    result = TrainResult(0, None, None, None, 0, 0.1, 0.0, Path("run/step-0"), "interrupted", "tissu train …")
    summary = result.summary()
    assert json.loads(json.dumps(summary))["checkpoint"] == "run/step-0"
    assert "resume_command" not in summary
