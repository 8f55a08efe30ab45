"""`surefoot cascade`, from a plan to the line that says what may be deployed."""

import json

import numpy as np
import pytest
from tests.conftest import write_answered

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "label" }
calibration = { use = "csv", path = "own.csv", columns = ["a", "b", "c", "d"], label = "label" }
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "same"
steps = []
[evaluate]
slices = { high = "a > 0" }
latency = { batch = [1], calls = 20, seconds = 5 }
[[budget]]
quantity = "accuracy"
max_drop = 0.1
[serve]
max_error_over_fallback = 0.05
"""


def write_plan(folder, linear):
    """A plan with its files, whose candidate is the baseline once more and passes."""
    model, rng = linear(folder / "linear.onnx"), np.random.default_rng(0)
    write_answered(folder / "test.csv", model, rng, 400)
    write_answered(folder / "own.csv", model, rng, 300)
    (folder / "surefoot.toml").write_text(PLAN)


@pytest.fixture
def folder(tmp_path, linear):
    write_plan(tmp_path, linear)
    return tmp_path


def test_from_a_plan_to_what_may_be_deployed(cli, folder):
    assert cli("run").code == 0
    said = cli("cascade")
    assert said.code == 0, said.err
    first, *_, last = said.out.splitlines()
    # The candidate is the baseline once more, so nothing is ever lost and all may stand.
    assert first == last
    assert first == (
        "PROMISED  same answers 100.0% of requests from confidence 0: at most 5% of requests"
        " lost to baseline (delta 10%, n = 300)"
    )
    assert "deployed" in said.out
    found = json.loads(cli("cascade", "surefoot-run/bundle", "--json").out)
    assert found["chosen"]["share"]["value"] == 1
    assert found["lean_ms"] > 0


def test_nobody_behind_it_and_too_few_rows(cli, folder):
    assert cli("run").code == 0
    alone = cli("cascade", "--abstain", "--json")
    found = json.loads(alone.out)
    assert found["fallback_ms"] is None
    assert found["curve"][-1]["lost"]["value"] == pytest.approx(0.1, abs=0.05)
    assert not found["curve"][-1]["shown"]
    short = cli("cascade", "--max-error", "0.001")
    assert short.code == 3
    assert short.out.startswith("NOT PROMISED  same answers nothing")
    assert "it takes 2,302 calibration rows at least" in short.out
    assert cli("cascade", "--delta", "2").code == 2
    assert "no candidate 'sane'" in cli("cascade", "--candidate", "sane").err


def test_a_plan_that_promises_what_there_is_not(cli, folder):
    text = PLAN + 'delta = 1.5\nslices = ["hig"]\nfallback = "baselin"\ncandidate = "sam"\n'
    (folder / "surefoot.toml").write_text(text)
    said = cli("run")
    assert said.code == 2
    assert "serve.delta: must be above 0 and below 1, found 1.5" in said.err
    assert "serve.slices[0]: no slice 'hig'" in said.err
    assert "high" in said.err
    assert "serve.fallback" in said.err
    assert "serve.candidate: no candidate 'sam'; did you mean 'same'?" in said.err
