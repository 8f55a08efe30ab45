"""The service in a process of its own, over real sockets."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from tests.serve.live import COMMAND, ask, rewrite_manifest, served

from surefoot.core.dataset import Dataset
from surefoot.evaluate.load.endpoint import connected, find_endpoint

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")


def test_rows_are_answered_with_route_confidence_and_promise(port, run):
    import onnxruntime

    rows = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(run / "linear.onnx"))
    wanted = session.run(None, {session.get_inputs()[0].name: rows})[0].argmax(axis=1)
    status, body = ask(port, "POST", "/predict", {"inputs": rows.tolist()})
    answers = json.loads(body)["answers"]
    assert status == 200
    assert [one["label"] for one in answers] == ["xyz"[place] for place in wanted]
    assert {one["route"] for one in answers} == {"same"}
    assert {one["promise"] for one in answers} == {"held"}
    assert all(1 / 3 <= one["confidence"] <= 1 for one in answers)
    assert re.fullmatch("[0-9a-f]{64}", json.loads(body)["model"])


def test_our_own_client_of_the_open_inference_protocol_finds_it(port, run):
    rows = np.random.default_rng(3).standard_normal((7, 4)).astype(np.float32)
    dataset = Dataset(
        name="main", ids=np.array([str(i) for i in range(7)], np.dtypes.StringDType()),
        inputs=rows, labels=np.zeros(7, np.int64), classes=("x", "y", "z"),
    )  # fmt: skip
    endpoint = find_endpoint(f"http://127.0.0.1:{port}/v2/models/same", dataset)
    with connected(endpoint, dataset, lanes=1) as server:
        found = server.read(server.ask(server.request(np.arange(7))))
    _, plain = ask(port, "POST", "/predict", {"inputs": rows.tolist()})
    assert ["xyz"[i] for i in found] == [one["label"] for one in json.loads(plain)["answers"]]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"inputs": [[1, 2, 3, NaN]]}', 400, "not JSON"),
        (b'{"inputs": [[1, 2, 3, 1e999]]}', 400, "not JSON"),
        (b'{"inputs": [[true, 2, 3, 4]]}', 400, "numbers alone"),
        (b'{"inputs": [1, 2, 3, 4]}', 400, "shape"),
        (b'{"inputs": [[1, 2, 3, 1' + b"0" * 400 + b"]]}", 400, ""),
        (b'{"inputs": [["' + b"a" * 1_000_000 + b'"], ["b"]]}', 400, "numbers alone"),
        (b'{"inputs": ["\xff"]}', 400, "not JSON"),
        (b'{"inputs": [[1, 2, 3, 1e300]]}', 400, "finite"),
        (b'{"inputs": [[1, 2, 3]]}', 400, "shape"),
        (b'{"inputs": [[1, 2, 3, 4], [1]]}', 400, "shape"),
        (b'{"inputs": [["a", "b", "c", "d"]]}', 400, "numbers alone"),
        (b'{"inputs": []}', 400, "at least one row"),
        (b'{"input": [[1, 2, 3, 4]]}', 400, "inputs"),
        (b"[1]", 400, "object"),
        (b"{", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (json.dumps({"inputs": [[0] * 4] * 1_001}).encode(), 413, "1001 rows"),
    ],
)
def test_what_is_no_request_is_named(port, body, status, said):
    found, text = ask(port, "POST", "/predict", body)
    assert found == status
    assert said in json.loads(text)["error"]


@pytest.mark.parametrize(
    "change",
    [{"name": "rows"}, {"datatype": "FP64"}, {"shape": [1, 3]}, {"shape": "x"}, {"data": [1]},
     {"shape": [2, 4]}, {"data": None}],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_refused(port, change):
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]} | change
    status, text = ask(port, "POST", "/v2/models/same/infer", {"inputs": [tensor]})
    assert status == 400
    assert json.loads(text)["error"]


def test_paths_and_methods_that_there_are_not(port):
    assert ask(port, "GET", "/nothing")[0] == 404
    assert ask(port, "GET", "/predict")[0] == 405
    assert ask(port, "HEAD", "/healthz") == (200, "")
    assert ask(port, "POST", "/predict", b"{}", {"X-Deadline-Ms": "soon"})[0] == 400
    assert ask(port, "GET", "/readyz") == (200, '{"ready":true}')
    assert ask(port, "GET", "/healthz")[0] == 200


def test_a_body_too_long_is_refused_before_it_is_read(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 33554432\r\n\r\n"
        link.sendall(head)
        assert b" 413 " in link.recv(100)


def test_what_was_answered_is_counted(port):
    def count():
        page = ask(port, "GET", "/metrics")[1]
        return float(re.search(r'surefoot_rows_total\{route="same"\} (\S+)', page)[1])

    ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})
    before = count()
    ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]] * 3})
    assert count() == before + 3


def test_told_to_end_it_says_so_answers_what_it_has_and_ends(run):
    with served(run) as (process, port, _):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        link.request("POST", "/predict", b'{"inputs": [[0, 0, 0, 0]]}')
        assert link.getresponse().read()
        process.send_signal(signal.SIGTERM)
        deadline, status = time.monotonic() + 5, 200
        while status == 200 and time.monotonic() < deadline:
            status, _ = ask(port, "GET", "/readyz")
        assert status == 503
        link.request("POST", "/predict", b'{"inputs": [[0, 0, 0, 0]]}')
        assert link.getresponse().status == 200
        link.close()
        assert process.wait(timeout=30) == 0


def test_a_port_in_use_is_said(run, port):
    said = subprocess.run(
        [*COMMAND, "serve", "--port", str(port)],
        cwd=run,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert "cannot listen at 127.0.0.1 port" in said.stderr
    assert "Traceback" not in said.stderr


def test_what_did_not_pass_is_served_only_by_force_and_says_so(run, tmp_path):
    import shutil

    shutil.copytree(run, tmp_path / "run")
    verdict = tmp_path / "run" / "surefoot-run" / "bundle" / "verdict.json"
    data = json.loads(verdict.read_text())
    data["verdicts"][0]["outcome"] = "FAIL"
    verdict.write_text(json.dumps(data))
    rewrite_manifest(verdict.parent)
    said = subprocess.run(
        [*COMMAND, "serve", "--port", "0"], cwd=tmp_path / "run", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert "the verdict of same is FAIL" in said.stderr
    with served(tmp_path / "run", "--force") as (_, port, told):
        assert "the verdict of same is FAIL" in told
        _, body = ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})
        assert json.loads(body)["verdict"] == "FAIL"
        tensor = {"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        _, body = ask(port, "POST", "/v2/models/same/infer", {"inputs": [tensor], "id": "a"})
        assert json.loads(body)["parameters"] == {"verdict": "FAIL"}
        assert json.loads(body)["id"] == "a"


def test_without_calibration_rows_it_serves_and_promises_nothing(run, tmp_path):
    import shutil

    shutil.copytree(run, tmp_path / "run")
    bundle = tmp_path / "run" / "surefoot-run" / "bundle"
    shutil.rmtree(bundle / "calibration")
    rewrite_manifest(bundle)
    with served(tmp_path / "run") as (_, port, told):
        assert "NOT PROMISED  same answers every request" in told
        _, body = ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})
        (one,) = json.loads(body)["answers"]
        assert one["route"] == "same"
        assert one["label"] in "xyz"
        assert one["promise"] == "void: the bundle has no calibration rows"
