"""The protocol over gRPC, asked by the unmodified client of Triton and by bare messages."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from tests.serve.live import COMMAND, ask, served

from surefoot.bundle import open_bundle, read_verdict_json
from surefoot.core.errors import BundleError
from surefoot.serve.access import Access
from surefoot.serve.board import Board
from surefoot.serve.cascade import cascade_or_alone, promised_plan
from surefoot.serve.deployment import Deployment
from surefoot.serve.meters import CELLS, Meters
from surefoot.serve.readiness import Readiness
from surefoot.serve.router import open_router
from surefoot.serve.sockets import reserved

grpc = pytest.importorskip("grpc", reason="needs the extra 'grpc'")
pytest.importorskip("google.protobuf", reason="needs the extra 'grpc'")

from surefoot.serve.grpc import METHODS, SERVICE, open_grpc  # noqa: E402
from surefoot.serve.messages import messages  # noqa: E402
from surefoot.serve.service import Service  # noqa: E402
from surefoot.serve.tensors import OUTPUTS  # noqa: E402

ROWS = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def opened(run):
    with open_bundle(run / "surefoot-run") as folder:
        plan = promised_plan(folder, max_error=None, delta=None, abstain=False)
        data = read_verdict_json(folder)
        found = cascade_or_alone(folder, plan, data)
        with open_router(folder, data, found, plan, 1, force=False) as opened:
            yield opened


def serving(opened, keys=()):
    ready = Readiness(opened.everyone, opened.golden)
    meters = Meters(Board(slots=1, cells=CELLS), 0)
    return Service(opened, opened.flow(), ready, meters, Deployment(), Access(keys))


@pytest.fixture(scope="module")
def service(opened):
    return serving(opened)


@contextmanager
def answering(service):
    """Gives a port at which gRPC is answered by an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def within(call):
        return asyncio.run_coroutine_threadsafe(call, loop).result(timeout=60)

    try:
        with reserved("127.0.0.1", 0) as held:
            port = held.getsockname()[1]
            server = within(open_grpc(service, port))
            yield port
            within(server.stop(1))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=60)
        loop.close()


@pytest.fixture(scope="module")
def port(service):
    with answering(service) as port:
        yield port


@pytest.fixture
def channel(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def call(channel, name, request=None, **options):
    """The answer of one method to a message, or to bytes."""
    send = channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda sent: (
            sent if isinstance(sent, bytes) else sent.SerializeToString()
        ),
        response_deserializer=messages()[f"{name}Response"].FromString,
    )
    sent = messages()[f"{name}Request"]() if request is None else request
    return send(sent, **{"timeout": 30} | options)


def question(*, raw=None, outputs=(), contents=None, model="same", **changes):
    request = messages()["ModelInferRequest"](model_name=model, id="a")
    tensor = {"name": "input", "datatype": "FP32", "shape": [5, 4]} | changes
    request.inputs.add(**tensor, contents=contents)
    for name in outputs:
        request.outputs.add(name=name)
    request.raw_input_contents.extend(raw or [])
    return request


def failure(channel, request, name="ModelInfer", **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, name, request, **options)
    return caught.value.code().name, caught.value.details()


def test_the_client_of_triton_finds_it_and_is_answered(port, service):
    client = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    with client.InferenceServerClient(f"127.0.0.1:{port}") as link:
        assert link.is_server_live()
        assert link.is_server_ready()
        assert link.is_model_ready("same", "1")
        assert [*link.get_server_metadata().extensions] == ["binary_tensor_data"]
        told = link.get_model_metadata("same", as_json=True)
        assert told["inputs"] == [{"name": "input", "datatype": "FP32", "shape": ["-1", "4"]}]
        one = client.InferInput("input", [5, 4], "FP32")
        one.set_data_from_numpy(ROWS)
        found = link.infer("same", [one], request_id="7", client_timeout=30)
        wanted = asyncio.run(service.answered(ROWS, np.inf))
        assert np.allclose(found.as_numpy("scores"), wanted.scores)
        assert [str(one, "utf-8") for one in found.as_numpy("label")] == [
            "xyz"[i] for i in wanted.predicted
        ]
        assert found.get_response().id == "7"
        assert found.get_response().parameters["verdict"].string_param == "PASS"
        chosen = [client.InferRequestedOutput("promise")]
        found = link.infer("same", [one], outputs=chosen)
        assert found.as_numpy("scores") is None
        assert {*found.as_numpy("promise")} == {b"held"}
        with pytest.raises(client.InferenceServerException, match="did you mean 'label'"):
            link.infer("same", [one], outputs=[client.InferRequestedOutput("lable")])


def test_the_messages_are_those_of_the_protocol():
    triton = pytest.importorskip("tritonclient.grpc.service_pb2", reason="needs tritonclient[grpc]")
    ours = question(raw=[b"x"], outputs=["label"], contents={"fp32_contents": [1, 2]})
    ours.parameters.add(key="priority").value.int64_param = 3
    ours.inputs[0].contents.bytes_contents.append(b"y")
    theirs = triton.ModelInferRequest.FromString(ours.SerializeToString())
    assert theirs.parameters["priority"].int64_param == 3
    assert [*theirs.inputs[0].contents.fp32_contents] == [1, 2]
    again = messages()["ModelInferRequest"].FromString(theirs.SerializeToString())
    assert again == ours
    for name in METHODS:
        for end in ("Request", "Response"):
            fields = getattr(triton, name + end).DESCRIPTOR.fields
            wanted = {field.name: field.number for field in fields}
            found = {one.name: one.number for one in messages()[name + end].DESCRIPTOR.fields}
            assert {key: wanted[key] for key in found} == found


def test_contents_are_answered_by_contents_and_bytes_by_bytes(channel):
    plain = call(channel, "ModelInfer", question(contents={"fp32_contents": ROWS.ravel()}))
    packed = call(channel, "ModelInfer", question(raw=[ROWS.tobytes()]))
    scores, labels = plain.outputs[0].contents.fp32_contents, plain.outputs[1].contents
    assert np.frombuffer(packed.raw_output_contents[0], "<f4").tolist() == [*scores]
    assert (
        b"".join(len(one).to_bytes(4, "little") + one for one in labels.bytes_contents)
        == (packed.raw_output_contents[1])
    )
    assert [one.name for one in plain.outputs] == [one.name for one in packed.outputs]
    assert not plain.raw_output_contents
    assert (plain.id, plain.model_name, plain.model_version) == ("a", "same", "1")


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"model": "other"}, "NOT_FOUND", "no model other"),
        ({"raw": [ROWS.tobytes()[1:]]}, "INVALID_ARGUMENT", "79 bytes for [5, 4]"),
        ({"raw": [ROWS.tobytes()] * 2}, "INVALID_ARGUMENT", "not both"),
        ({"raw": [b"x"], "contents": {"fp32_contents": [1]}}, "INVALID_ARGUMENT", "not both"),
        ({"raw": [np.full((5, 4), np.nan, "<f4").tobytes()]}, "INVALID_ARGUMENT", "finite"),
        ({"contents": {"fp32_contents": [np.inf] * 20}}, "INVALID_ARGUMENT", "finite"),
        ({"contents": {"fp32_contents": [1] * 19}}, "INVALID_ARGUMENT", "19 values"),
        ({"contents": {"fp64_contents": [1] * 20}}, "INVALID_ARGUMENT", "in fp32_contents"),
        ({}, "INVALID_ARGUMENT", "in fp32_contents, found nothing"),
        ({"shape": [-5, -4]}, "INVALID_ARGUMENT", "shape must be"),
        ({"shape": [1 << 62, 4]}, "INVALID_ARGUMENT", "shape must be"),
        ({"datatype": "FP64"}, "INVALID_ARGUMENT", "FP32"),
        ({"raw": [ROWS.tobytes()], "outputs": ["label", "label"]}, "INVALID_ARGUMENT", "twice"),
    ],
)
def test_what_is_no_request_is_named(channel, changes, code, said):
    found, details = failure(channel, question(**changes))
    assert found == code
    assert said in details


def test_extensions_that_are_not_spoken_are_named(channel):
    request = question(raw=[ROWS.tobytes()])
    request.inputs[0].parameters.add(key="shared_memory_region").value.string_param = "x"
    code, said = failure(channel, request)
    assert code == "INVALID_ARGUMENT"
    assert "'shared_memory_region' is an extension of the protocol" in said


def test_rubbish_and_too_much_are_refused_and_others_answered(channel):
    assert failure(channel, b"\xff" * 100) == (
        "INVALID_ARGUMENT",
        "no ModelInferRequest of the Open Inference Protocol",
    )
    assert failure(channel, question(raw=[b"\0" * 17_000_000]))[0] == "RESOURCE_EXHAUSTED"
    assert call(channel, "ServerLive").live


def test_a_deadline_is_the_clients_own(channel, service, monkeypatch):
    seen = []
    answered = service.answered

    async def late(rows, until, fields):
        seen.append(until - time.monotonic())
        await asyncio.sleep(0 if seen[-1] > 1 else 30)
        return await answered(rows, until)

    monkeypatch.setattr(service, "answered", late)
    request = question(raw=[ROWS.tobytes()])
    assert call(channel, "ModelInfer", request, timeout=100).outputs
    assert 1 < seen[0] <= 102  # on the wire it is rounded up
    assert failure(channel, request, timeout=0.5)[0] == "DEADLINE_EXCEEDED"
    assert seen[1] <= 1


def test_what_is_not_ready_says_so_and_is_counted(channel, service, monkeypatch):
    monkeypatch.setattr(service.readiness, "leaving", True)
    assert not call(channel, "ServerReady").ready
    monkeypatch.undo()
    before = service.meters.read()["requests"]
    failure(channel, question())
    after = service.meters.read()["requests"]
    assert {status for status in after if after[status] != before[status]} == {"400"}
    assert after["400"] == before["400"] + 1


def test_a_key_is_asked_for_and_told_to_nobody(opened):
    key = "k" * 20
    with (
        answering(serving(opened, (key.encode(),))) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        for wrong in ([], [("x-api-key", "w" * 20)], [("authorization", f"Basic {key}")]):
            code, said = failure(channel, None, "ServerMetadata", metadata=wrong)
            assert code == "UNAUTHENTICATED"
            assert key not in said
        for right in ([("x-api-key", key)], [("authorization", f"Bearer {key}")]):
            assert call(channel, "ServerMetadata", metadata=right).name == "surefoot"
        assert call(channel, "ServerLive").live


def test_a_port_is_held_for_workers_and_nobody_else_gets_it(port):
    with pytest.raises(BundleError, match="cannot listen"):
        reserved("127.0.0.1", port)
    with pytest.raises(BundleError, match="cannot listen"):
        reserved("203.0.113.1", 0)  # none of this machine


def free():
    with reserved("127.0.0.1", 0) as held:
        return held.getsockname()[1]


def config(folder, **keys):
    file = folder / f"deploy{len([*folder.iterdir()])}.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    return str(file)


@pytest.mark.slow
def test_two_workers_answer_grpc_and_end_what_they_have(run, tmp_path):
    port = free()
    options = ("--config", config(tmp_path, grpc_port=port, workers=2))
    with served(run, *options) as (process, _, _):
        for _ in range(8):  # connections go to either worker
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                found = call(channel, "ModelInfer", question(raw=[ROWS.tobytes()]))
                assert len(found.outputs) == len(OUTPUTS)
        again = subprocess.run(
            [*COMMAND, "serve", "--port", "0", *options], cwd=run, capture_output=True, text=True
        )
        assert again.returncode == 2
        assert f"cannot listen at 127.0.0.1 port {port} for gRPC" in again.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_workers_that_take_over_answer_grpc(run, tmp_path):
    port = free()
    with (
        served(run, "--config", config(tmp_path, grpc_port=port)) as (process, http, said),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        assert f"and at port {port} for gRPC" in said
        call(channel, "ServerLive")
        process.send_signal(signal.SIGHUP)
        deadline, taken = time.monotonic() + 60, 'reloads_total{outcome="taken"} 1'
        while taken not in ask(http, "GET", "/metrics")[1] and time.monotonic() < deadline:
            time.sleep(0.05)
        send = channel.unary_unary(f"/{SERVICE}/ServerReady")
        _, told = send.with_call(b"", metadata=[("x-request-id", "mine")], wait_for_ready=True)
        assert {one.key: one.value for one in told.trailing_metadata()}["x-request-id"] == "mine"
        # Who was connected to the worker that has left connects to the one that came.
        found = call(channel, "ModelInfer", question(raw=[ROWS.tobytes()]), wait_for_ready=True)
        assert len(found.outputs) == len(OUTPUTS)


def test_grpc_is_encrypted_with_the_same_certificate(run, tmp_path):
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject,
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    port = free()
    keys = {"tls_certificate": "cert.pem", "tls_key": "key.pem", "grpc_port": port}
    trusted = grpc.ssl_channel_credentials((tmp_path / "cert.pem").read_bytes())
    with served(run, "--config", config(tmp_path, **keys)):
        with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
            assert call(channel, "ServerLive").live
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert failure(channel, None, "ServerLive")[0] == "UNAVAILABLE"
