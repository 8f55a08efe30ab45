"""The unmodified client of Triton, over HTTP, against a service in a process of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.serve.live import ask

client = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

ROWS = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)


@pytest.fixture
def triton(port):
    with client.InferenceServerClient(f"127.0.0.1:{port}") as link:
        yield link


def given(rows, binary=True, kind="FP32"):
    one = client.InferInput("input", [*rows.shape], kind)
    one.set_data_from_numpy(rows, binary_data=binary)
    return [one]


def test_it_finds_the_server_and_the_model(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("same")
    assert triton.is_model_ready("same", "1")
    assert not triton.is_model_ready("other")
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = triton.get_model_metadata("same")
    assert told["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]


def test_bytes_and_json_give_the_same_answers_in_either_form(triton, port):
    _, body = ask(port, "POST", "/predict", {"inputs": ROWS.tolist()})
    wanted = json.loads(body)["answers"]
    forms = [
        triton.infer("same", given(ROWS)),
        triton.infer("same", given(ROWS, binary=False)),
        *(
            triton.infer(
                "same",
                given(ROWS, binary=sent),
                model_version="1",
                request_id="a",
                outputs=[
                    client.InferRequestedOutput(name, binary_data=got)
                    for name in ("confidence", "label", "promise")
                ],
            )
            for sent in (True, False)
            for got in (True, False)
        ),
    ]
    for found in forms:
        labels = [str(one, "utf-8") if isinstance(one, bytes) else one
                  for one in found.as_numpy("label")]  # fmt: skip
        assert labels == [one["label"] for one in wanted]
        assert np.allclose(found.as_numpy("confidence"), [one["confidence"] for one in wanted])
    assert forms[0].as_numpy("scores").shape == (5, 3)
    assert forms[0].as_numpy("scores").dtype == np.float32
    assert forms[-1].as_numpy("scores") is None
    assert forms[-1].get_response()["id"] == "a"


def test_what_is_wrong_reaches_the_client(triton):
    with pytest.raises(Exception, match="no output 'lable'; did you mean 'label'"):
        triton.infer("same", given(ROWS), outputs=[client.InferRequestedOutput("lable")])
    with pytest.raises(Exception, match="shape must be"):
        triton.infer("same", given(ROWS[:, :3]))
    with pytest.raises(Exception, match="finite"):
        triton.infer("same", given(np.full((1, 4), np.nan, np.float32)))
    two = [client.InferRequestedOutput("scores", class_count=2)]
    with pytest.raises(Exception, match="classification"):
        triton.infer("same", given(ROWS), outputs=two)
    with pytest.raises(Exception, match="content-encoding"):
        triton.infer("same", given(ROWS), request_compression_algorithm="gzip")
    with pytest.raises(Exception, match="FP32"):
        triton.infer("same", given(ROWS.astype(np.float64), kind="FP64"))


def test_texts_in_bytes_are_read_as_the_client_writes_them():
    from tests.serve.test_requests import TEXT

    from surefoot.serve.tensors import tensor_request

    rows = np.array(["a", "żółw", ""], np.object_)
    body, ends = client.InferenceServerClient.generate_request_body(given(rows, kind="BYTES"))
    asked = tensor_request(body, str(ends).encode(), TEXT)
    assert asked.rows.tolist() == rows.tolist()
    assert all(asked.outputs.values())
