"""The certificate says what was found, in data and in words."""

from __future__ import annotations

import json

import pytest

from quanta_tissu.tisslm.inspect.certificate import Certificate, Check, Timing

GOOD = Check("relu", "central differences", "small", 1e-11, 1e-7, "some paper, eq. 1")
BETTER = Check("relu", "central differences", "tiny", 1e-13, 1e-7, "some paper, eq. 1")
SINGLE = Check("relu", "float32", "small", 1e-6, 2e-6)
BAD = Check("rope", "torch = reference", "large", 1e-3, 1e-11, detail="much")


def test_it_passes_if_every_check_does():
    assert Certificate([GOOD, SINGLE]).passed
    assert not Certificate([GOOD, BAD]).passed
    assert Certificate([GOOD, BAD]).failures == [BAD]


def test_nothing_checked_proves_nothing():
    assert not Certificate([]).passed


def test_the_worst_error_is_that_of_double_precision():
    assert Certificate([GOOD, BETTER, SINGLE]).worst == 1e-11


def test_json_has_a_row_for_each_op_and_check_with_its_worst_sample():
    data = json.loads(json.dumps(Certificate([BETTER, GOOD, SINGLE], {"numpy": "2"}).to_json()))
    assert [(row["op"], row["check"], row["relative_error"]) for row in data["checks"]] == [
        ("relu", "central differences", 1e-11),
        ("relu", "float32", 1e-6),
    ]
    assert data["checks"][0]["worst_sample"] == "small"
    assert data["checks"][0]["samples"] == 2
    assert data["worst"] == 1e-11
    assert data["passed"] is True
    assert data["environment"] == {"numpy": "2"}
    assert "benchmark" not in data


def test_a_failure_stands_for_its_row_even_beside_a_larger_error_that_is_allowed():
    allowed = Check("rope", "torch = reference", "other", 0.5, 1.0)
    [row] = Certificate([allowed, BAD]).rows()
    assert row.worst is BAD


def test_markdown_lists_checks_sources_and_failures():
    text = Certificate([GOOD, BETTER, BAD], {"numpy": "2.0"}).to_markdown()
    assert "1 check failed" in text
    assert "| relu | central differences | 1.0e-11 | 1e-07 | 2 | some paper, eq. 1 |" in text
    assert "1.0e-03 **FAILED**" in text
    assert "- rope, torch = reference, large: 1.0e-03 much" in text
    assert "numpy 2.0" in text


def test_markdown_of_a_good_certificate_says_so():
    text = Certificate([GOOD]).to_markdown()
    assert "All checks passed. Worst relative error in double precision: 1.0e-11." in text
    assert "Failures" not in text


def test_timings_appear_with_gaps_where_nothing_was_timed():
    timings = [Timing("add", "2×3", {"reference": 1.0, "torch": 3.0}), Timing("rope", "4", {"fast": 0.5})]
    certificate = Certificate([GOOD], timings=timings)
    assert certificate.to_json()["benchmark"][0] == {
        "op": "add",
        "shape": "2×3",
        "milliseconds": {"reference": 1.0, "torch": 3.0},
    }
    text = certificate.to_markdown()
    assert "| op | size | reference | torch | fast |" in text
    assert "| rope | 4 |  |  | 0.50 |" in text


def test_an_exception_is_a_finding():
    def broken() -> float:
        raise FloatingPointError("overflow")

    check = Check.measure("relu", "float32", "small", 1e-6, broken)
    assert not check.passed
    assert check.detail == "FloatingPointError: overflow"
    assert check.relative_error == pytest.approx(2)
