"""The OpenAPI document says what is served, no more and no less."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.serve.live import ask
from tests.serve.test_requests import COLOURS, NUMBERS, PIXELS, TEXT

from surefoot.serve.openapi import openapi
from surefoot.serve.requests import Refused, plain_request
from surefoot.serve.tensors import metadata, tensor_request

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serve_fuzz.py"


def document(signature=NUMBERS, name="lean", *, keyed=False):
    found = openapi(signature, name, body_bytes=16_000_000, keyed=keyed)
    return json.loads(json.dumps(found))


def references(part):
    if isinstance(part, dict):
        yield from [part["$ref"]] if "$ref" in part else []
        part = [*part.values()]
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def operations(found):
    return {
        (unquote(path), method): operation
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    }


def test_every_page_is_documented_and_every_document_is_a_page(port):
    _, body = ask(port, "GET", "/openapi.json")
    told = operations(json.loads(body))
    _, nowhere = ask(port, "GET", "/nowhere")
    pages = json.loads(nowhere)["error"].removeprefix("no such page; there are ").split(", ")
    assert sorted({path for path, _ in told}) == sorted(pages)
    for path, method in told:
        status, _ = ask(port, method.upper(), path, b"{}")
        assert str(status) in told[path, method]["responses"], (path, method, status)
        assert status != 404
        assert ask(port, "DELETE", path)[0] == 405


@pytest.mark.parametrize("signature", [NUMBERS, TEXT, PIXELS, COLOURS])
def test_what_it_refers_to_is_there(signature):
    found = document(signature)
    for reference in references(found):
        part = found
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
        assert part


@pytest.mark.parametrize(
    ("signature", "good", "bad"),
    [
        (TEXT, "a", 1), (NUMBERS, [1, 2.5, -3e38], [1, 2]),
        (PIXELS, [[0, 255], [1, 2]], [[0, 256]]),
        (COLOURS, [[[0, 1, 2], [3, 4, 5]]], [[[0, 1]]]),
    ],
)  # fmt: skip
def test_a_row_is_what_is_taken(signature, good, bad):
    """Walked by hand: the document's own words for a row against what the service does."""
    row = document(signature)["components"]["schemas"]["Predict"]["properties"]["inputs"]["items"]
    assert fits(row, good)
    assert not fits(row, bad)
    plain_request(json.dumps({"inputs": [good]}).encode(), signature)
    with pytest.raises(Refused):
        plain_request(json.dumps({"inputs": [bad]}).encode(), signature)


def fits(schema, value):
    if schema["type"] == "array":
        sound = isinstance(value, list) and schema["minItems"] <= len(value) <= schema["maxItems"]
        return sound and all(fits(schema["items"], one) for one in value)
    if schema["type"] == "string":
        return isinstance(value, str)
    return isinstance(value, int | float) and schema["minimum"] <= value <= schema["maximum"]


@pytest.mark.parametrize("signature", [NUMBERS, TEXT, PIXELS])
def test_a_tensor_is_what_the_metadata_say(signature):
    schemas = document(signature)["components"]["schemas"]
    (told,) = metadata(signature, "lean")["inputs"]
    tensor = schemas["Infer"]["properties"]["inputs"]["items"]["properties"]
    assert tensor["name"]["const"] == told["name"]
    assert tensor["datatype"]["const"] == told["datatype"]
    assert [axis.get("const", -1) for axis in tensor["shape"]["prefixItems"]] == told["shape"]
    shape = [2, *told["shape"][1:]]
    flat = ["a", "b"] if signature is TEXT else [1] * (6 if signature is NUMBERS else 8)
    one = {"name": told["name"], "datatype": told["datatype"], "shape": shape, "data": flat}
    assert len(tensor_request(json.dumps({"inputs": [one]}).encode(), None, signature).rows) == 2


def test_a_key_is_documented_where_one_is_asked_for():
    free = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
    for (path, _), operation in operations(document(keyed=True)).items():
        assert ("401" in operation["responses"]) == (path not in free)
        assert (operation.get("security") == []) == (path in free)
    assert document(keyed=True)["security"] == [{"key": []}, {"bearer": []}]
    assert document()["security"] == []
    assert all("401" not in one["responses"] for one in operations(document()).values())


def test_names_of_models_are_quoted():
    assert "/v2/models/a%20b%3Fc/infer" in document(name="a b?c")["paths"]


def fuzzer():
    """The script that lets a fuzzer ask, and the fuzzer; skips where there is none."""
    spec = importlib.util.spec_from_file_location("serve_fuzz", SCRIPT)
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    program = fuzz.schemathesis()
    if program is None:
        pytest.skip("schemathesis is not installed")
    return fuzz, program


@pytest.mark.slow
def test_a_fuzzer_finds_nothing(run):
    fuzz, program = fuzzer()
    with fuzz.served(run) as port:
        code, said = fuzz.fuzzed(program, port, 20)
    assert code == 0, said
