"""Every number of `[evaluate]` is refused when no run could end well with it."""

import typing

import pytest

from surefoot.core.plan import EnvelopePlan, EvaluatePlan, LatencyPlan, LoadPlan

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "body", label = "intent" }
[model]
path = "model.onnx"
[[budget]]
quantity = "accuracy"
max_drop = 0.01
[[budget]]
quantity = "p99_ms"
at_most = 20
load = "peak"
[evaluate]
latency = { batch = [1, 8] }
[evaluate.load.peak]
scenario = "server"
target_qps = 50
deadlines_ms = [10]
[evaluate.load.rows]
scenario = "multi_stream"
[[evaluate.envelope]]
axis = "arrival_rate"
at_most = 20
[[evaluate.envelope]]
axis = "typos"
max_drop = 0.1
"""
HUGE = "1" + "0" * 24
PLACES = {
    EvaluatePlan: "evaluate",
    LatencyPlan: "evaluate.latency",
    LoadPlan: "evaluate.load.peak",
    EnvelopePlan: "evaluate.envelope[0]",
}


def numeric():
    """Every numeric key by its place in PLAN, and whether it is a list or an integer."""
    for kind, place in PLACES.items():
        for name, hint in typing.get_type_hints(kind).items():
            inner = next((a for a in typing.get_args(hint) if a is not type(None)), hint)
            listed = typing.get_origin(inner) is list or typing.get_origin(hint) is list
            inner = typing.get_args(inner)[0] if typing.get_origin(inner) is list else inner
            if inner in (int, float):
                yield f"{place}.{name}", listed, inner is int


KEYS = list(numeric())


def test_the_plan_is_sound_and_all_kinds_of_numbers_are_in_it(problems):
    assert problems() == []
    assert len(KEYS) == 17


@pytest.mark.parametrize(("key", "listed", "whole"), KEYS, ids=[key for key, *_ in KEYS])
def test_numbers_out_of_range_are_refused_with_their_key(problems, key, listed, whole):
    at = f"{key}[0]" if listed else key
    for value in ("0", "-3", HUGE) if whole else ("0.0", "-1.5", "inf", "nan"):
        found = problems(f"{key}=[{value}]" if listed else f"{key}={value}")
        assert any(line.startswith(f"{at}: ") for line in found), (value, found)
    if listed:
        (line,) = [line for line in problems(f"{key}=[]") if line.startswith(key)]
        assert "empty" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "evaluate.load.peak.target_qps=1e12",
            (
                "evaluate.load.peak.target_qps: 1e+12 a second for 30 seconds are "
                "30,000,000,000,000 requests; 10,000,000 at most"
            ),
        ),
        (
            "evaluate.load.peak.seconds=1e9",
            "evaluate.load.peak.seconds: must be at most 86,400, found 1e+09",
        ),
        (
            "evaluate.load.rows.batch=0",
            "evaluate.load.rows.batch: must be at least 1, found 0",
        ),
        (
            "evaluate.load.peak.target_qps=inf",
            "evaluate.load.peak.target_qps: must be above 0 and finite, found inf",
        ),
        (
            "evaluate.envelope[0].up_to=90000",
            None,
        ),
        (
            "evaluate.envelope[0].seconds=50000",
            (
                "evaluate.envelope[0].seconds: 256 a second for 50000 seconds are 12,800,000"
                " requests; 10,000,000 at most"
            ),
        ),
        (
            "evaluate.find_slices={least_rows=99999999}",
            "evaluate.find_slices.least_rows: must be at most 10,000,000, found 99,999,999",
        ),
        (
            f'evaluate.checks=[{{use="edits",most={HUGE}}}]',
            (
                "evaluate.checks[0].most: must be at most 100,000, found"
                " 1,000,000,000,000,000,000,000,000"
            ),
        ),
    ],
)
def test_what_is_too_much_is_said_once_with_how_much_is_not(problems, change, said):
    assert problems(change) == ([] if said is None else [said])


def test_both_factors_of_too_many_requests_are_seen(problems):
    (line,) = problems("evaluate.envelope[0].up_to=90000", "evaluate.envelope[0].seconds=600")
    assert line.startswith("evaluate.envelope[0].up_to: 90000 a second for 600 seconds are")
