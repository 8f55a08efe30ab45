"""What may go wrong around a service, over real processes and sockets, and what requests it costs.

Clients try nothing twice, so that whatever is lost is counted.
"""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from tests.serve.live import (
    Load,
    ask,
    clients_of,
    eventually,
    rewrite_manifest,
    served,
    workers_of,
)

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into Linux' /proc"),
]
ROWS = {"inputs": [[0.5, -1, 2, 0]]}
BODY = json.dumps(ROWS).encode()


def statuses(load):
    return {status for status, _ in load.answers}


def counter(port, sample):
    return float(
        re.search(rf"^{re.escape(sample)} (\S+)$", ask(port, "GET", "/metrics")[1], re.MULTILINE)[1]
    )


def answers(port):
    """What it says to a row, without what is told of each answer alone."""
    status, body = ask(port, "POST", "/predict", ROWS)
    found = json.loads(body)
    for one in found["answers"]:
        one.pop("id", None)
    return status, found


@pytest.fixture
def own(run, tmp_path):
    """A run that a test may harm, and its bundle."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run", tmp_path / "run" / "surefoot-run" / "bundle"


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "new"])
def test_a_worker_that_is_killed_loses_what_it_held_and_is_replaced(run, keep):
    with served(run, "--workers", "2") as (process, port, _):
        workers = workers_of(process)
        with Load(port, BODY, keep=keep) as load:
            victim = workers[0]
            os.kill(victim, signal.SIGSTOP)  # what it holds now is what it holds when it dies
            time.sleep(0.2)
            held = clients_of(victim, port)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: len(set(workers_of(process)) - {victim}) == 2)
            eventually(lambda: counter(port, "surefoot_workers") == 2)
            load.wait_for(1_000)
            before = len(load.lost)
            load.wait_for(1_000)
        assert statuses(load) == {200}
        assert {port for port, _ in load.lost} <= held
        assert len(load.lost) == before
        assert load.refused == 0
        assert counter(port, "surefoot_workers_died_total") == 1
        # What the dead one had counted is still there.
        assert counter(port, 'surefoot_requests_total{status="200"}') >= len(load.answers)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "new"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_told_to_end_under_load_it_resets_nobody(run, workers, keep):
    with served(run, "--workers", workers) as (process, port, _):
        with Load(port, BODY, keep=keep) as load:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            eventually(lambda: load.refused > 0)
        assert load.lost == []
        assert statuses(load) == {200}


def test_told_to_end_it_finishes_handshakes_too(run, certificates, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text(
        f'tls_certificate = "{certificates}/a.pem"\ntls_key = "{certificates}/a.key"\n'
    )
    trust = ssl.create_default_context(cafile=str(certificates / "a.pem"))
    with served(run, "--config", str(config)) as (process, port, _):
        with Load(port, BODY, keep=False, trust=trust) as load:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            eventually(lambda: load.refused > 0)
        assert load.lost == []
        assert statuses(load) == {200}


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "new"])
def test_another_bundle_takes_over_without_a_request_lost(own, keep):
    folder, bundle = own
    with served(folder, "--workers", "2", "--force") as (process, port, _):
        with Load(port, BODY, keep=keep) as load:
            before = set(workers_of(process))
            verdict = bundle / "verdict.json"
            data = json.loads(verdict.read_text())
            data["verdicts"][0]["outcome"] = "FAIL"  # tells answers of the new one from the old
            verdict.write_text(json.dumps(data))
            rewrite_manifest(bundle)
            process.send_signal(signal.SIGHUP)
            eventually(lambda: counter(port, 'surefoot_reloads_total{outcome="taken"}') == 1)
            eventually(lambda: not before & set(workers_of(process)))
            load.wait_for(500)
            assert {json.loads(body)["verdict"] for _, body in load.answers[-50:]} == {"FAIL"}
        assert json.loads(load.answers[0][1])["verdict"] == "PASS"
        assert load.lost == []
        assert load.refused == 0
        assert statuses(load) == {200}
        assert counter(port, "surefoot_workers") == 2
        assert counter(port, "surefoot_workers_died_total") == 0


def truncated(file, _):
    file.write_bytes(file.read_bytes()[:-20])


def flipped(file, _):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def swapped(file, other):
    shutil.copyfile(other, file)


def gone(file, _):
    file.unlink()


def added(file, _):
    (file.parent / "more.json").write_text("{}")


@pytest.mark.parametrize("harm", [truncated, flipped, swapped, gone, added])
def test_a_model_that_is_not_the_bundles_is_refused_and_the_old_one_stays(own, harm):
    folder, bundle = own
    model = next((bundle / "models" / "same").glob("*.onnx"))
    other = bundle / "verdict.json"
    with served(folder) as (process, port, _):
        before, workers = answers(port), workers_of(process)
        harm(model, other)
        process.send_signal(signal.SIGHUP)
        said = process.stderr.readline()
        assert "reload refused" in said
        name = "more.json" if harm is added else model.name
        assert f"models/same/{name}" in said
        assert "answers as before" in said
        assert counter(port, 'surefoot_reloads_total{outcome="refused"}') == 1
        assert answers(port) == before
        # Whoever takes the place of a dead worker opens what the others opened.
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: set(workers_of(process)) - set(workers))
        assert answers(port) == before


def test_another_model_under_a_manifest_of_its_own_fails_its_golden_answers(own, numeric_other):
    folder, bundle = own
    model = next((bundle / "models" / "same").glob("*.onnx"))
    with served(folder) as (process, port, _):
        before = answers(port)
        shutil.copyfile(numeric_other, model)
        rewrite_manifest(bundle)
        process.send_signal(signal.SIGHUP)
        said = process.stderr.readline()
        assert "reload refused" in said
        assert "surefoot-run/bundle/models/same" in said or "surefoot-run/models/same" in said
        assert "/surefoot-serve-" not in said
        assert answers(port) == before


@pytest.fixture
def numeric_other(tmp_path):
    from tests.conftest import linear_onnx

    return linear_onnx(tmp_path / "other.onnx", seed=9)


def test_three_hundred_bodies_half_sent_keep_nobody_waiting(run, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("body_seconds = 3")
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
    with served(run, "--config", str(config)) as (_, port, _), ExitStack() as stack:
        links = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            for _ in range(300)
        ]
        for link in links:
            link.sendall(head)
        answered = [ask(port, "POST", "/predict", ROWS)[0] for _ in range(20)]
        assert answered == [200] * 20
        assert all(link.recv(200).startswith(b"HTTP/1.1 408") for link in links)
        assert counter(port, 'surefoot_requests_total{status="408"}') == 300


def test_a_supervisor_that_is_killed_leaves_no_worker_and_no_copy(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served(run, "--workers", "2") as (process, _, _):
        workers = workers_of(process)
        assert list(tmp_path.glob("surefoot-serve-*"))
        process.kill()
        eventually(
            lambda: (
                not any(
                    Path(f"/proc/{one}/cmdline").exists()
                    and Path(f"/proc/{one}/cmdline").read_bytes()
                    for one in workers
                )
            )
        )
        assert not list(tmp_path.glob("surefoot-serve-*"))


def test_a_worker_that_somebody_ends_is_replaced_before_it_has_gone(run):
    with served(run) as (process, port, _):
        (worker,) = workers_of(process)
        with Load(port, BODY, clients=4) as load:
            os.kill(worker, signal.SIGTERM)
            eventually(lambda: set(workers_of(process)) - {worker})
            eventually(lambda: worker not in workers_of(process))
            assert ask(port, "GET", "/readyz")[0] == 200
            load.wait_for(200)
        assert load.lost == []
        assert load.refused == 0


def test_a_worker_that_dies_again_and_again_is_replaced_less_and_less_often(run):
    with served(run) as (process, port, _):
        pauses = []
        for _ in range(4):
            (worker,) = eventually(lambda: workers_of(process))
            os.kill(worker, signal.SIGKILL)
            said = process.stderr.readline()
            assert "a worker was killed by signal 9; another takes its place" in said
            found = re.search(r"in (\S+) seconds", said)
            pauses.append(float(found[1]) if found else 0.0)
        assert pauses == [0, 0.1, 0.2, 0.4]
        assert ask(port, "POST", "/predict", ROWS)[0] == 200
        assert counter(port, "surefoot_workers_died_total") == 4


DATED = {"decisions.py", "journal.py", "segments.py"}
"""What writes down when something was; nothing waits by it."""


def test_no_deadline_is_taken_from_a_clock_that_can_be_set():
    source = Path(__file__).parents[2] / "src" / "surefoot" / "serve"
    for file in sorted(source.glob("*.py")):
        calls = {
            node.attr
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("time", "datetime")
        }
        dates = {"time", "time_ns"} if file.name in DATED else set()
        assert calls <= {"monotonic", "monotonic_ns", "sleep", "thread_time", *dates}, file.name


def test_who_sends_half_a_body_cannot_hold_up_the_end(run, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("body_seconds = 600\ngrace_seconds = 1")
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
    with ExitStack() as stack:
        process, port, _ = stack.enter_context(served(run, "--config", str(config)))
        link = socket.create_connection(("127.0.0.1", port), timeout=60)
        stack.enter_context(link).sendall(head)
        assert ask(port, "GET", "/healthz")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 0


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long jump(void) { return access(FILE_NAME, F_OK) == 0 ? 3600 : 0; }
int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, at);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) at->tv_sec += jump();
    return code;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def jumped(tmp_path, monkeypatch):
    """While this file is there, the clock of what is started from now on is an hour ahead."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, with which the clock is set")
    file, library = tmp_path / "jumped", tmp_path / "clock.so"
    (tmp_path / "clock.c").write_text(f'#define FILE_NAME "{file}"\n{CLOCK}')
    made = [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"]
    subprocess.run(made, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return file


def test_a_clock_that_jumps_an_hour_and_back_is_noticed_by_nobody(run, tmp_path, jumped):
    def ahead():
        link.request("GET", "/readyz")
        answer = link.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        return parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time() > 1_800

    config = tmp_path / "serve.toml"
    config.write_text("body_seconds = 600")
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    with ExitStack() as stack:
        process, port, _ = stack.enter_context(served(run, "--config", str(config)))
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        stack.callback(link.close)
        half = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        half.sendall(head + BODY[:5])
        workers = workers_of(process)
        load = stack.enter_context(Load(port, BODY, clients=2))
        for _ in range(2):
            jumped.touch()
            eventually(ahead)
            load.wait_for(200)
            deadline = {"X-Deadline-Ms": "60000"}
            assert ask(port, "POST", "/predict", ROWS, deadline)[0] == 200
            jumped.unlink()
            eventually(lambda: not ahead())
            load.wait_for(200)
            assert ask(port, "POST", "/predict", ROWS, deadline)[0] == 200
        half.sendall(BODY[5:])
        assert half.recv(100).startswith(b"HTTP/1.1 200")
        assert workers_of(process) == workers
        assert load.lost == []
        assert statuses(load) == {200}
