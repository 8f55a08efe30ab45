"""Why a candidate is not faster, as a person reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from surefoot.bundle.encode import encode
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Diagnosis
from surefoot.core.profile import Profile
from surefoot.report.diagnosis import diagnosis_lines

FOUND = Diagnosis(
    candidate="int8",
    runtime="onnxruntime",
    speedup=Estimate(value=0.2914, low=0.29, high=0.294, level=0.95, method="order", n=800),
    profile=Profile(batch=32, threads=1, calls=20, prepare_ms=0.1, run_ms=1.0),
    reasons=("one thing", "another"),
)


def test_a_heading_and_a_line_for_each_reason():
    assert diagnosis_lines(encode([FOUND])) == [
        (
            "why int8 is not shown to be faster (0.291 x [0.29, 0.294] at batch 32, 1 thread,"
            " onnxruntime):"
        ),
        "  - one thing",
        "  - another",
    ]


@pytest.mark.parametrize("high", [float("inf")])
def test_an_end_that_too_few_calls_cannot_give_is_none(high):
    few = replace(FOUND, speedup=replace(FOUND.speedup, high=high))
    assert "[0.29, none]" in diagnosis_lines(encode([few]))[0]


def test_threads_are_counted_and_nothing_that_stands_out_is_said():
    quiet = replace(FOUND, reasons=(), profile=replace(FOUND.profile, threads=2))
    heading, line = diagnosis_lines(encode([quiet]))
    assert "at batch 32, 2 threads" in heading
    assert line == "  - no operator stands out"


def test_nothing_to_explain_is_no_paragraph():
    assert diagnosis_lines(()) == []
