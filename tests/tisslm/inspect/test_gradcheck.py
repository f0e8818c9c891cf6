"""The harness proves every op and every architecture."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.inspect import gradcheck as walk
from quanta_tissu.tisslm.inspect import gradcheck_models, gradcheck_ops
from quanta_tissu.tisslm.inspect.gradcheck import gradcheck
from quanta_tissu.tisslm.inspect.gradcheck_models import (
    CHOICES,
    DROPPING,
    check_model,
    every_variant,
    label,
    pairwise_variants,
)
from quanta_tissu.tisslm.inspect.gradcheck_ops import check_op
from quanta_tissu.tisslm.inspect.gradcheck_timing import CASES, time_op
from quanta_tissu.tisslm.ops import REGISTRY

NAMES = sorted(REGISTRY)
FAST_CHECKS = {"fast = reference, float64", "fast = reference, float32"}
WITH_TWIN = [name for name in NAMES if REGISTRY[name].fast_twin() is not None]


class TestOps:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_op_is_proved(self, name):
        op = REGISTRY[name]
        checks = list(check_op(op, fast=op.fast_twin()))
        assert [check for check in checks if not check.passed] == []
        kinds = {check.check for check in checks}
        assert {"central differences", "float32", "contract", "non-contiguous input"} <= kinds
        if name in WITH_TWIN:
            assert {*FAST_CHECKS, "fast: contract", "fast: non-contiguous input"} <= kinds
        worst = max(c.relative_error for c in checks if c.check == "central differences")
        assert worst < 1e-7

    @pytest.mark.torch
    @pytest.mark.parametrize("name", NAMES)
    def test_every_op_is_compared_with_torch(self, name, torch):
        op = dataclasses.replace(REGISTRY[name], samples=lambda rng: [next(REGISTRY[name].samples(rng))])
        assert [check.passed for check in check_op(op, fast=None) if check.check == "torch = reference"] == [True]

    def test_without_torch_and_numba_the_rest_is_still_proved(self, monkeypatch):
        for module in (gradcheck_ops, gradcheck_models):
            monkeypatch.setattr(module, "has_torch", lambda: False)
            monkeypatch.setattr(module, "has_numba", lambda: False)
        assert {c.check for c in check_op(REGISTRY["add"], fast=None)} == {
            "central differences",
            "float32",
            "contract",
            "non-contiguous input",
        }
        assert [c.check for c in check_model(DROPPING, thorough=False)] == ["central differences"]


class TestModels:
    @pytest.mark.parametrize("variant", [*pairwise_variants()[1::8], DROPPING], ids=label)
    def test_one_architecture_is_proved(self, variant):
        checks = [*check_model(variant, thorough=True), *check_model(variant, thorough=False)]
        assert [check for check in checks if not check.passed] == []
        assert {check.check for check in checks} >= {
            "central differences",
            "central differences by tensor",
            "fast = reference, float64",
        }

    @pytest.mark.slow
    @pytest.mark.torch
    def test_every_architecture_is_proved(self, torch):
        """In a process of its own, where annotations are not checked at every call."""
        call = [sys.executable, "-m", "quanta_tissu", "gradcheck", "--op", "model", "--json"]
        result = json.loads(subprocess.run(call, capture_output=True, check=True, text=True).stdout)
        assert result["worst"] < 1e-6
        samples = {check["check"]: check["samples"] for check in result["checks"]}
        thorough = len(pairwise_variants()) + 1
        assert samples == {
            "central differences": 1536,
            "central differences by tensor": thorough,
            "fast = reference, float64": 1536 + thorough,
            "torch = reference": 1536 + thorough,
        }

    def test_the_selection_has_every_pair(self):
        selection = pairwise_variants()
        for one, other in ((a, b) for a in CHOICES for b in CHOICES if a < b):
            pairs = {(variant[one], variant[other]) for variant in selection}
            assert len(pairs) == len(CHOICES[one]) * len(CHOICES[other])
        assert len(selection) < 30
        assert len(every_variant()) == 1536

    def test_choices_are_all_that_the_configuration_offers(self):
        """A new architecture has to be added here, and so be proved."""
        from typing import get_args

        from quanta_tissu.tisslm.config import ModelConfig

        fields = ModelConfig.model_fields
        for name in ("norm", "norm_placement", "positions", "feed_forward"):
            assert set(CHOICES[name]) == set(get_args(fields[name].annotation))


class TestWalk:
    def test_it_covers_the_registry_and_the_models_unless_told_otherwise(self, monkeypatch):
        monkeypatch.setattr(walk, "every_variant", lambda: every_variant()[:1])
        monkeypatch.setattr(walk, "pairwise_variants", list)
        monkeypatch.setattr(walk, "DROPPING", every_variant()[1])
        monkeypatch.setattr(walk, "REGISTRY", {name: REGISTRY[name] for name in ("add", "rope")})
        certificate = gradcheck()
        assert {check.op for check in certificate.checks} == {"add", "rope", "model"}
        assert certificate.passed
        assert certificate.worst < 1e-6

    def test_progress_is_reported_to_the_end(self):
        seen = []
        gradcheck(["add", "tanh"], progress=lambda done, total, label: seen.append((done, total, label)))
        assert seen == [(0, 2, "add"), (1, 2, "tanh"), (2, 2, "done")]

    def test_models_alone(self, monkeypatch):
        monkeypatch.setattr(walk, "every_variant", lambda: every_variant()[:3])
        monkeypatch.setattr(walk, "_PORTION", 2)
        monkeypatch.setattr(walk, "pairwise_variants", list)
        monkeypatch.setattr(walk, "DROPPING", every_variant()[4])
        seen = []
        certificate = gradcheck(["model"], progress=lambda done, total, label: seen.append((done, total)))
        assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]  # two portions and a thorough one
        assert {check.op for check in certificate.checks} == {"model"}
        assert len({check.sample for check in certificate.checks}) == 4
        assert certificate.passed

    @pytest.mark.parametrize(
        ("name", "hint"), [("atention", "did you mean 'attention'?"), ("xyz", "choose among: ")]
    )
    def test_unknown_ops_are_refused(self, name, hint):
        with pytest.raises(ConfigError, match=f"there is no op '{name}'") as caught:
            gradcheck([name])
        assert hint in caught.value.hint

    def test_the_environment_is_part_of_the_certificate(self):
        environment = gradcheck(["add"]).environment
        assert environment["numpy"] == np.__version__
        assert "Python" in environment

    def test_the_engine_of_the_caller_does_not_matter(self):
        with engine.use("fast"):
            fast = gradcheck(["gelu"]).to_json()
        with engine.use("reference"):
            assert gradcheck(["gelu"]).to_json() == fast


class TestBenchmark:
    def test_every_op_can_be_timed(self):
        assert set(CASES) == set(REGISTRY)

    @pytest.mark.parametrize("name", ["add", "rms_norm"])
    @pytest.mark.torch
    def test_all_implementations_are_timed(self, name, torch):
        timing = time_op(REGISTRY[name], turns=1)
        expected = {"reference", "torch"} | ({"fast"} if name in WITH_TWIN else set())
        assert set(timing.milliseconds) == expected
        assert all(0 < milliseconds < 60_000 for milliseconds in timing.milliseconds.values())
        assert timing.shape.startswith("8×256×384")

    @pytest.mark.torch
    def test_torch_has_its_threads_back_afterwards(self, torch):
        before = torch.get_num_threads()
        time_op(REGISTRY["reshape"], turns=1)
        assert torch.get_num_threads() == before

    def test_the_walk_times_if_asked(self, monkeypatch):
        monkeypatch.setattr(walk, "time_op", functools.partial(time_op, turns=1))
        certificate = gradcheck(["reshape"], benchmark=True)
        assert [timing.op for timing in certificate.timings] == ["reshape"]
