"""`tissu gradcheck` prints the certificate, writes it, and fails when a gradient is wrong."""

from __future__ import annotations

import dataclasses
import json

import pytest

from quanta_tissu.tisslm.ops import REGISTRY
from quanta_tissu.tisslm.ops.op import Pair


@pytest.fixture
def broken_tanh(monkeypatch):
    """An op whose gradient lacks a thousandth."""
    op = REGISTRY["tanh"]
    pair = Pair(
        op.readable.forward, lambda saved, dy: (op.readable.backward(saved, dy)[0] * dy.dtype.type(0.999),)
    )
    monkeypatch.setitem(REGISTRY, "tanh", dataclasses.replace(op, readable=pair))


def test_json_is_the_contract(tissu):
    outcome = tissu("gradcheck", "--json", "--op", "add", "--op", "rms_norm")
    assert outcome.code == 0
    result = json.loads(outcome.out)
    assert {check["op"] for check in result["checks"]} == {"add", "rms_norm"}
    assert all({"op", "check", "relative_error"} <= set(check) for check in result["checks"])
    assert 0 <= result["worst"] < 1e-6
    assert max(c["relative_error"] for c in result["checks"] if c["check"] == "central differences") < 1e-6


def test_the_table_has_a_line_for_each_op_and_a_verdict(tissu):
    outcome = tissu("gradcheck", "--op", "tanh", "--op", "relu")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("tanh", "relu"))] == ["tanh", "relu"]
    assert "0 failed; worst relative error in double precision" in outcome.out


def test_a_wrong_gradient_ends_with_exit_code_1_and_names_it(tissu, broken_tanh):
    outcome = tissu("gradcheck", "--op", "tanh")
    assert outcome.code == 1
    assert "FAILED tanh, central differences" in outcome.out
    assert "is above 1e-07" in outcome.out.replace("\n", " ")


def test_a_wrong_gradient_shows_in_json_too(tissu, broken_tanh):
    outcome = tissu("gradcheck", "--op", "tanh", "--json")
    assert outcome.code == 1
    result = json.loads(outcome.out)
    assert result["passed"] is False
    [differences] = (check for check in result["checks"] if check["check"] == "central differences")
    assert differences["relative_error"] == pytest.approx(1e-3, rel=1e-3)
    assert result["worst"] >= 1e-3


def test_the_certificate_is_written(tissu, tmp_path):
    out = tmp_path / "certificate.md"
    outcome = tissu("gradcheck", "--op", "rope", "--out", str(out))
    assert outcome.code == 0
    text = out.read_text(encoding="utf-8")
    assert "| rope | central differences |" in text
    assert "arXiv:2104.09864" in text


def test_benchmark_adds_milliseconds(tissu):
    outcome = tissu("gradcheck", "--op", "reshape", "--benchmark")
    assert outcome.code == 0
    assert "milliseconds" in outcome.out
    assert "8×256×384" in outcome.out


def test_an_unknown_op_is_a_usage_error_with_a_suggestion(tissu):
    outcome = tissu("gradcheck", "--op", "sofmax")
    assert outcome.code == 2
    assert "there is no op 'sofmax'" in outcome.err
    assert "did you mean 'softmax'?" in outcome.err


def test_a_certificate_that_has_no_folder_is_refused_before_the_work(tissu, tmp_path, monkeypatch):
    monkeypatch.setattr("quanta_tissu.tisslm.inspect.gradcheck.gradcheck", lambda *_, **__: pytest.fail("worked"))
    outcome = tissu("gradcheck", "--op", "add", "--out", str(tmp_path / "missing" / "certificate.md"))
    assert outcome.code == 2
    assert f"there is no folder {tmp_path / 'missing'} to write certificate.md to" in outcome.err
    assert "help: mkdir -p" in outcome.err


def test_without_torch_it_says_what_was_not_compared(tissu, monkeypatch):
    monkeypatch.setattr("quanta_tissu.tisslm.inspect.gradcheck_ops.has_torch", lambda: False)
    monkeypatch.setattr("quanta_tissu.tisslm.inspect.gradcheck._environment", lambda: {"numpy": "2"})
    outcome = tissu("gradcheck", "--op", "add")
    assert outcome.code == 0
    assert "PyTorch is not installed" in outcome.out
