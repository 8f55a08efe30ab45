"""`surefoot cascade`, from a plan to the line that says what may be deployed."""

import json
import socket

import numpy as np
import pytest
from tests.conftest import write_answered
from tests.evaluate.conftest import _serving, sound

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


@pytest.fixture
def serving():
    """Serves a model of the Open Inference Protocol while its block lasts."""
    return _serving


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


BETWEEN = """candidate = "int8"
between = ["same"]
"""
INT8 = """
[[candidate]]
name = "int8"
steps = [{ use = "quantize_dynamic", per_channel = false, head = true }]
"""


def with_two(text):
    """The plan with a second candidate, which stands before the first one."""
    return text.replace("\n[[candidate]]", INT8 + "[[candidate]]", 1)


def test_models_are_asked_in_turn_and_each_is_told(cli, folder):
    (folder / "surefoot.toml").write_text(with_two(PLAN) + BETWEEN)
    said = cli("run")
    assert (folder / "surefoot-run" / "bundle" / "serving.json").is_file()
    said = cli("cascade")
    assert said.code == 0, said.err
    first, *_, last = said.out.splitlines()
    assert first == last
    assert first.startswith("PROMISED  int8 answers")
    assert ", same " in first
    heads = next(line for line in said.out.splitlines() if line.startswith("from confidence"))
    assert "answered by int8" in heads
    assert "by same" in heads
    assert "100 more calibration rows say how their thresholds go together" in said.out
    assert "CPU time of an answer: int8" in said.out
    models = {p.name for p in (folder / "surefoot-run" / "bundle" / "models").iterdir()}
    assert models == {"baseline", "same", "int8"}
    found = json.loads(cli("cascade", "--json").out)
    assert len(found["between_ms"]) == 1
    assert all(len(one["thresholds"]) == len(one["between"]) == 1 for one in found["curve"])
    # The same as was written down, and as somebody else derives it.
    assert found == json.loads((folder / "surefoot-run" / "bundle" / "serving.json").read_text())
    alone = json.loads(cli("cascade", "--candidate", "same", "--json").out)
    assert (alone["lean"], alone["between"], alone["rows"]) == ("same", [], 300)
    told = cli("verify", "--json")
    claims = json.loads(told.out)["claims"]
    assert [c["status"] for c in claims if c["subject"] == "serving.json"] == ["REPRODUCED"]


def remote(url, extra=""):
    table = f'[serve.endpoint]\nmodel = "intent"\ncost = 0.01\n{extra}'
    return f'{PLAN}candidate = "same"\nfallback = "{url}"\n{table}'


def test_an_endpoint_is_asked_once_and_stands_behind(cli, folder, serving):
    with serving() as server:
        url = server.url.partition("/v2")[0]
        (folder / "surefoot.toml").write_text(remote(url))
        said = cli("run")
        assert said.code == 0, said.err
        assert len(server.asked) == 300
        asked = {tuple(one["inputs"][0]["data"]) for one in server.asked}
        assert len(asked) == 300
        # A plan that changed elsewhere asks nothing again.
        (folder / "surefoot.toml").write_text(remote(url).replace("calls = 20", "calls = 21"))
        assert cli("run").code == 0
        assert len(server.asked) == 300
    said = cli("cascade")
    assert said.code == 0, said.err
    assert "lost to fallback" in said.out
    assert f"fallback ({url}) alone is right in" in said.out
    assert "cost of 1,000" in said.out
    assert "95 of 100 of its answers took" in said.out


def test_a_dead_endpoint_ends_the_run_before_anything_is_made(cli, folder, serving):
    answered = 0

    def answer(handler, tensor):
        nonlocal answered
        answered += 1
        return (503, b"") if answered > 40 else sound(handler, tensor)

    with serving(answer) as server:
        url = server.url.partition("/v2")[0]
        (folder / "surefoot.toml").write_text(remote(url))
        said = cli("run")
        assert said.code == 2
        assert f"{url}: the fallback was asked a calibration row and answers HTTP 503" in said.err
        assert "Traceback" not in said.err
        assert not (folder / "surefoot-run" / "cells").exists()
        assert not (folder / "surefoot-run" / "bundle").exists()
        answered = -1_000
        asked = len(server.asked)
        assert cli("run").code == 0
        # A whole piece had been kept; up to three requests of the first run come in late.
        assert 300 - 32 <= len(server.asked) - asked <= 300 - 32 + 3
    (folder / "surefoot.toml").write_text(remote(f"http://127.0.0.1:{free_port()}"))
    said = cli("run")
    assert said.code == 2
    assert "cannot be reached: connection refused" in said.err


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_a_promise_that_no_data_could_keep_is_told_before_any_work(cli, folder):
    (folder / "surefoot.toml").write_text(PLAN.replace("0.05", "0.001"))
    said = cli("run")
    assert said.code == 0
    assert (
        "note: [serve] cannot be promised with 300 calibration rows, whatever the models say: it"
        " takes 2,302 at least"
    ) in said.err
    before, _, _ = said.err.partition("cannot be promised")
    assert "filling" not in before
    said = cli("cascade")
    assert said.code == 3
    assert "it takes 2,302 calibration rows at least" in said.out
