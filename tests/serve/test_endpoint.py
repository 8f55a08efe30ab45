"""A chat model behind the models of a bundle: right, odd, wrong and gone, over real sockets."""

from __future__ import annotations

import csv
import json
import subprocess
import time

import numpy as np
import pytest
from tests.conftest import make_texts
from tests.evaluate.remote.conftest import _chatting, completion
from tests.serve.live import COMMAND, ask, served

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

PLAN = """
[task]
kind = "text-classification"
test.main = {{ use = "csv", path = "test.csv", text = "text", label = "label" }}
calibration = {{ use = "csv", path = "own.csv", text = "text", label = "label" }}
[model]
path = "{model}"
classes = ["bad", "good"]
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
[evaluate]
latency = {{ batch = [1], calls = 20, seconds = 5 }}
[[budget]]
quantity = "accuracy"
max_drop = 0.3
[serve]
candidate = "int8"
between = ["same"]
fallback = "{url}"
max_error_over_fallback = {alpha}
[serve.endpoint]
protocol = "openai"
model = "big"
timeout_ms = 700
"""
EVERY, NOTHING = 0.2, 0.0005
"""Promises that the calibration rows show at once, and that they cannot show."""


class Answers:
    """What the chat model says; a test changes it."""

    def __init__(self):
        self.known, self.how = {}, None

    def __call__(self, asked):
        if self.how is not None:
            return self.how(asked)
        text = asked.rpartition("\n\n")[2]
        return 200, completion(self.known.get(text, "good"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_onnx_text):
    """Two finished runs, by what they promise, and the chat model that they asked."""
    says, folders = Answers(), {}
    with _chatting(says) as server:
        for alpha in (EVERY, NOTHING):
            folder = tmp_path_factory.mktemp("chat")
            for name, seed in (("test", 5), ("own", 6)):
                rows, labels = make_texts(300, seed)
                words = [["bad", "good"][label] for label in labels]
                says.known |= dict(zip(rows.tolist(), words, strict=True))
                with (folder / f"{name}.csv").open("w", newline="") as stream:
                    writer = csv.writer(stream)
                    writer.writerow(["text", "label"])
                    writer.writerows(zip(rows.tolist(), words, strict=True))
            text = PLAN.format(model=tiny_onnx_text, url=server.url, alpha=alpha)
            (folder / "surefoot.toml").write_text(text)
            done = subprocess.run([*COMMAND, "run"], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            folders[alpha] = folder
        yield folders, says, server


@pytest.fixture(scope="module")
def service(run):
    """A service all of whose requests go to the chat model."""
    with served(run[0][NOTHING], "--force") as (_, port, told):
        assert "NOT PROMISED  int8 answers nothing" in told
        yield port


@pytest.fixture
def asked_all(run, service):
    """Its port, and the chat model, which is sound again afterwards."""
    _, says, server = run
    yield service, says, server
    says.how = None
    for _ in range(5):
        predicted(service, ["a text"])


def predicted(port, rows, headers=None):
    status, body = ask(port, "POST", "/predict", {"inputs": rows}, headers)
    assert status == 200, body
    return json.loads(body)["answers"]


def test_the_models_of_the_bundle_answer_what_they_may(run):
    folders, _, server = run
    rows, labels = make_texts(60, 7)
    asked = len(server.asked)
    with served(folders[EVERY], "--force") as (_, port, told):
        assert "PROMISED  int8 answers" in told
        said = predicted(port, rows.tolist())
    assert {one["route"] for one in said} <= {"int8", "same", "fallback"}
    assert said[0]["route"] == "int8"
    assert {one["promise"] for one in said} == {"held"}
    found = np.array([one["label"] == "good" for one in said])
    assert (found == labels).mean() > 0.9
    assert all(one["out_of_scope"] in (True, False) for one in said)
    assert len(server.asked) - asked <= 60


def test_the_chat_model_answers_where_nothing_is_promised(asked_all):
    port, says, _ = asked_all
    texts = list(says.known)[:5]
    said = predicted(port, texts)
    assert [one["label"] for one in said] == [says.known[text] for text in texts]
    assert {one["route"] for one in said} == {"fallback"}
    assert {one["promise"] for one in said} == {"held"}
    assert {one["confidence"] for one in said} == {None}


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            lambda asked: (200, completion("neither")),
            "void: the fallback named no class that it stands by",
        ),
        (lambda asked: (500, b""), "void: the fallback failed: answers HTTP 500"),
        (lambda asked: (429, b""), "void: the fallback failed: answers HTTP 429"),
        (lambda asked: (200, b"<html>"), "void: the fallback failed: answers something that is"),
        (
            lambda asked: (time.sleep(2), (200, completion("good")))[1],
            "void: the fallback failed: did not answer within 700 ms",
        ),
    ],
    ids=["no class", "500", "429", "rubbish", "slow"],
)
def test_what_goes_wrong_voids_the_promise_and_is_said(asked_all, how, why):
    port, says, _ = asked_all
    says.how = how
    (one,) = predicted(port, ["a text"])
    assert one["promise"].startswith(why)
    assert one["route"] in ("int8", "same")
    assert one["label"] in ("bad", "good")
    assert ask(port, "GET", "/healthz")[0] == 200


def test_a_request_that_is_refused_is_none_of_the_endpoints_faults(asked_all):
    """Many refusals in a row, and the next sound request is answered all the same."""
    port, says, _ = asked_all
    says.how = lambda asked: (400, b"")
    for _ in range(30):
        (one,) = predicted(port, ["a text"])
        assert "HTTP 400" in one["promise"]
    says.how = None
    (one,) = predicted(port, ["a text"])
    assert (one["route"], one["promise"]) == ("fallback", "held")


def test_the_other_protocol_tells_no_confidence_that_it_does_not_know(asked_all):
    port, _, _ = asked_all
    tensor = {"name": "input", "datatype": "BYTES", "shape": [1], "data": ["a text"]}
    status, body = ask(port, "POST", "/v2/models/int8/infer", {"inputs": [tensor]})
    assert status == 200, body
    assert "NaN" not in body
    said = {one["name"]: one["data"] for one in json.loads(body)["outputs"]}
    assert said["route"] == ["fallback"]
    assert said["label"] == ["good"]
