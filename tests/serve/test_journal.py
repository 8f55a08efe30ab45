"""Answers that are logged, labels that come back, and safe mode: processes over real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.cli.test_cascade import PLAN
from tests.conftest import linear_onnx, write_answered
from tests.serve.test_decisions import tiny
from tests.serve.test_service import COMMAND, ask, served

from surefoot.serve.board import Board, Safety
from surefoot.serve.decisions import input_hash, read_key
from surefoot.serve.flow import HELD, Pair, Standing
from surefoot.serve.journal import heeding, sender
from surefoot.serve.meters import CELLS, Meters
from surefoot.serve.rotation import read_decisions, tallied
from surefoot.serve.safety import STATE, Guard, read_terms, watching

__all__ = ["tiny"]


def test_what_counts_follows_the_board():
    board = Board(slots=1, cells=CELLS)
    standing = heeding(Standing(threshold=0.9), board, 1)
    assert standing() == Standing(threshold=0.9)
    board.publish({1: Safety(mode="alarm", threshold=np.inf, reason="they differ", epoch=1)})
    wanted = Standing(threshold=np.inf, promise="void: they differ", epoch=1, alarm=True)
    assert standing() == wanted
    assert standing() is standing()
    board.publish({1: Safety(threshold=0.95, epoch=2)})
    assert standing() == Standing(threshold=0.95, promise=HELD, epoch=2)


def test_a_void_promise_stays_void():
    first = Standing(threshold=0.0, promise="void: no calibration rows")
    assert heeding(first, Board(slots=1, cells=CELLS), 1)() == first


def test_pairs_that_find_no_room_are_counted(tmp_path):
    meters = Meters(Board(slots=1, cells=CELLS), 0)
    sent: list[bytes] = []
    pair = sender(lambda record: not sent.append(record) and len(sent) < 2, meters)
    one = Pair(confidence=0.75, agree=False, accepted=True, epoch=0)
    for _ in range(3):
        pair(one)
    assert meters.read()["records_dropped"][""] == 2
    assert watching(None)(tmp_path) is None  # nothing was prepared, so nothing is watched
    assert read_terms(tmp_path) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose candidate has its weights in 8 bits, and differs where it is close."""
    folder = tmp_path_factory.mktemp("logged")
    model, rng = linear_onnx(folder / "linear.onnx"), np.random.default_rng(0)
    write_answered(folder / "test.csv", model, rng, 400)
    write_answered(folder / "own.csv", model, rng, 300)
    steps = 'steps = [{ use = "quantize_dynamic", head = true }]'
    plan = PLAN.replace("steps = []", steps) + "shadow = 1.0\n"
    (folder / "surefoot.toml").write_text(plan)
    (folder / "serve.toml").write_text('log = "log"\nworkers = 2\n')
    subprocess.run([*COMMAND, "run"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def folder(run, tmp_path):
    """A folder of its own for the log of each test."""
    (tmp_path / "serve.toml").write_text((run / "serve.toml").read_text())
    (tmp_path / "surefoot-run").symlink_to(run / "surefoot-run")
    return tmp_path


def predicted(port: int, rows: np.ndarray, name: str = "") -> list[dict[str, object]]:
    headers = {"X-Request-Id": name} if name else {}
    status, body = ask(port, "POST", "/predict", {"inputs": rows.tolist()}, headers)
    assert status == 200
    return json.loads(body)["answers"]


def ended(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    code, said = process.wait(timeout=60), process.stderr.read()
    assert code == 0, said
    return said


def close_ones(run: Path, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows at the edge between two classes of the baseline."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(run / "linear.onnx"))

    def classes(rows: np.ndarray) -> np.ndarray:
        return session.run(None, {"features": rows})[0].argmax(axis=1)

    one, other = rng.standard_normal((2, n, 4)).astype(np.float32)
    known = classes(one)
    for _ in range(12):
        middle = (one + other) / 2
        same = (classes(middle) == known)[:, None]
        one, other = np.where(same, middle, one), np.where(same, other, middle)
    return one


def gauge(port: int, name: str) -> float:
    return float(
        re.search(rf"^surefoot_{name} (\S+)$", ask(port, "GET", "/metrics")[1], re.MULTILINE)[1]
    )


@pytest.mark.slow
def test_every_answer_is_in_the_log_under_the_id_that_its_client_has(folder):
    rng, given, names = np.random.default_rng(1), [], []
    with served(folder, "--config", "serve.toml") as (process, port, said):
        assert "SAFE MODE  no promise once more than 1.22% of the answers" in said
        for i in range(60):
            name = f"mine-{i}" if i % 2 else ""
            rows = rng.standard_normal((i % 5 + 1, 4)).astype(np.float32)
            found = predicted(port, rows, name)
            given += [(one, row) for one, row in zip(found, rows, strict=True)]
            names += [name] * len(found)
        labels = [{"id": one["id"], "label": one["label"]} for one, _ in given[:40]]
        assert ask(port, "POST", "/labels", {"labels": labels}) == (202, '{"taken":40}')
        assert ask(port, "POST", "/labels", {"labels": [{"id": "1", "label": "x"}]})[0] == 400
        ended(process)
    columns = read_decisions(folder / "log")
    by_id = {one["id"]: (one, row, name) for (one, row), name in zip(given, names, strict=True)}
    assert set(columns["id"].tolist()) == set(by_id)
    key = read_key(folder / "log")
    for i, number in enumerate(columns["id"].tolist()):
        one, row, name = by_id[number]
        assert columns["label"][i] == one["label"]
        assert columns["confidence"][i] == one["confidence"]
        assert (columns["route"][i], columns["promise"][i]) == (one["route"], one["promise"])
        assert columns["input"][i] == input_hash(key, row)
        assert columns["request"][i] == name if name else len(columns["request"][i]) == 36
    found = tallied(folder / "log")
    assert (found.labels, found.unknown, found.dropped) == (40, 0, 0)
    assert {one.accuracy.value for one in found.answers if one.accuracy} == {1.0}


@pytest.mark.slow
def test_a_killed_worker_leaves_what_it_had_written_and_another_goes_on(folder):
    with served(folder, "--config", "serve.toml") as (process, port, _):
        before = [one["id"] for _ in range(20) for one in predicted(port, np.zeros((2, 4)))]
        deadline = time.monotonic() + 60
        while len(read_decisions(folder / "log")["id"]) < 40 and time.monotonic() < deadline:
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        after, status = [], 0
        while len(after) < 20 and time.monotonic() < deadline:
            try:
                status, body = ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 1]]})
            except OSError:
                continue
            after += [one["id"] for one in json.loads(body)["answers"]] if status == 200 else []
        ended(process)
    assert len(after) == 20
    assert set(before + after) <= set(read_decisions(folder / "log")["id"].tolist())


@pytest.mark.slow
def test_the_promise_ends_out_loud_outlives_a_restart_and_holds_again(run, folder):
    rng = np.random.default_rng(2)
    with served(folder, "--config", "serve.toml") as (process, port, _):
        assert predicted(port, rng.standard_normal((5, 4)))[0]["promise"] == "held"
        deadline, one = time.monotonic() + 60, {"promise": "held"}
        while one["promise"] == "held" and time.monotonic() < deadline:
            one = predicted(port, close_ones(run, 20, rng))[0]
        assert one["promise"].startswith("void: of the last ")
        assert one["route"] == "baseline"
        assert gauge(port, "safe_mode") == 1
        status = json.loads(ask(port, "GET", "/status.json")[1])
        assert (status["alarm"], status["promise"]) == (True, one["promise"])
        assert "surefoot: ALARM: of the last" in ended(process)
    with served(folder, "--config", "serve.toml") as (process, port, _):
        again = predicted(port, rng.standard_normal((5, 4)))[0]
        assert (again["promise"], again["route"]) == (one["promise"], "baseline")
        while again["promise"] != "held" and time.monotonic() < deadline + 60:
            again = predicted(port, rng.standard_normal((50, 4)))[0]
        assert again["promise"] == "held"
        assert gauge(port, "safe_mode") == 0
        assert gauge(port, "safe_mode_epoch") == 2
        assert "the promise holds again" in ended(process)
    epochs = read_decisions(folder / "log")["epoch"]
    assert set(epochs.tolist()) == {0, 1, 2}
    assert json.loads((folder / "log" / STATE).read_text())["state"]["mode"] == "normal"


@pytest.mark.slow
def test_an_alarm_does_not_end_because_the_same_bundle_is_loaded_again(run, folder):
    rng, one = np.random.default_rng(4), {"promise": "held"}
    with served(folder, "--workers", "2") as (process, port, _):  # no log: nothing is saved
        deadline = time.monotonic() + 60
        while one["promise"] == "held" and time.monotonic() < deadline:
            one = predicted(port, close_ones(run, 20, rng))[0]
        process.send_signal(signal.SIGHUP)
        taken = 'surefoot_reloads_total{outcome="taken"} 1\n'
        seen = set()
        while taken not in ask(port, "GET", "/metrics")[1] and time.monotonic() < deadline:
            seen.add(predicted(port, close_ones(run, 1, rng))[0]["promise"])
        seen |= {predicted(port, close_ones(run, 1, rng))[0]["promise"] for _ in range(20)}
        said = ended(process)
    assert seen == {one["promise"]}
    assert one["promise"].startswith("void: of the last ")
    assert said.count("ALARM") == 1
    assert "answers with" in said
    assert "holds again" not in said


@pytest.mark.slow
def test_a_request_is_called_as_its_client_says_where_that_can_be_written_down(folder):
    import http.client

    with served(folder, "--config", "serve.toml") as (process, port, _):
        for said, taken in (("abc-1", True), ("a" * 129, False), ("a b", False), ("", False)):
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            link.request("GET", "/healthz", headers={"X-Request-Id": said})
            found = link.getresponse().getheader("x-request-id")
            link.close()
            assert (found == said) == taken
            assert taken or len(found) == 36
        ended(process)


@pytest.mark.slow
def test_a_log_whose_disk_is_full_holds_no_answer_up(folder, tiny):
    (folder / "serve.toml").write_text(f'log = "{tiny}/log"\n')
    rows, asked = np.random.default_rng(3).standard_normal((1_000, 4)), 0
    with served(folder, "--config", "serve.toml") as (process, port, _):
        dropped = "surefoot_decisions_dropped_total 0\n"
        while dropped in ask(port, "GET", "/metrics")[1] and asked < 40:
            assert len(predicted(port, rows)) == 1_000
            asked += 1
        assert asked < 40
        (tiny / "ballast").unlink()
        ended(process)
    found = tallied(tiny / "log")
    kept = sum(one.n for one in found.answers)
    # The disk is too small for all that was held, too.
    assert 0 < kept <= 1_000 * asked - found.dropped
    for segment in (tiny / "log").glob("*.jsonl"):
        assert segment.read_bytes()[-1:] in (b"", b"\n")


@pytest.mark.slow
def test_without_a_log_answers_have_ids_and_labels_belong_to_nothing(folder):
    with served(folder) as (process, port, _):
        assert len(predicted(port, np.zeros((1, 4)))[0]["id"]) == 36
        label = {"labels": [{"id": "1", "label": "x"}]}
        assert ask(port, "POST", "/labels", label)[0] == 409
        ended(process)
    assert not (folder / "log").exists()


@pytest.mark.slow
def test_terms_are_those_of_the_bundle_that_is_served(folder, tmp_path):
    """What a child prepares is what the guard starts from."""
    from surefoot.serve.prepare import prepare

    (tmp_path / "copy").mkdir()
    told = prepare(folder / "surefoot-run", tmp_path / "copy")
    terms = read_terms(tmp_path / "copy")
    assert (terms.accepted, terms.disagreed, terms.shadow) == (300, 0, 1.0)
    assert told.said[-1].startswith("SAFE MODE")
    guard = watching(tmp_path / "log")(tmp_path / "copy")
    assert isinstance(guard, Guard)
    assert guard.terms == replace(terms)
