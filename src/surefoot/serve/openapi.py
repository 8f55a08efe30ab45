"""What a service answers to, as an OpenAPI 3.1 document: pages, bodies, headers, limits, errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from surefoot import __version__
from surefoot.core.model import Signature
from surefoot.serve.labels import ID
from surefoot.serve.requests import MOST_ROWS, row_shape
from surefoot.serve.tensors import EXTENSIONS, OUTPUTS, TENSOR, TYPES, VERSION

LARGEST = 3.4028234663852886e38
"""The largest number of 32 bits."""
ERRORS: Mapping[str, str] = {
    "400": "What is wrong with the request.",
    "401": "No key, or a wrong one.",
    "408": "The body was not here in time.",
    "409": "Nothing is kept of earlier answers.",
    "413": "The body is too long, or has too many rows.",
    "415": "The body is compressed.",
    "500": "The model failed.",
    "503": "Too many requests wait, or no model answers.",
    "504": "No model answered before the deadline.",
}
"""What a request for an answer may get in place of one."""
_Schema = dict[str, Any]


def openapi(signature: Signature, name: str, *, body_bytes: int, keyed: bool) -> _Schema:
    """The document.

    Args:
        signature: What the model takes and gives.
        name: What the Open Inference Protocol calls the model.
        body_bytes: Bytes of a request at most.
        keyed: Whether a key is asked for.
    """
    schemas = {"Error": _object(error={"type": "string"}), **_plain(signature)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"surefoot: {name}",
            "version": __version__,
            "description": "A lean model, and who stands behind it. Each answer says who gave it"
            f" and what is promised of it. A body has {body_bytes:,} bytes at most.",
        },
        "paths": _paths(name, keyed=keyed),
        "components": {
            "schemas": schemas | _tensors(signature, name),
            "headers": {"RetryAfter": _header("Seconds to wait before asking again.")},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{"key": []}, {"bearer": []}] if keyed else [],
    }


def _paths(name: str, *, keyed: bool) -> _Schema:
    """Every page, and who may see it without a key."""
    paths = {
        "/predict": {"post": _call("Predict", "Label rows.", keyed=keyed)},
        "/labels": {"post": _labelled(keyed=keyed)},
        "/metrics": {"get": _page("Counts and times, for Prometheus.", "text/plain", keyed=keyed)},
        "/status": {"get": _page("How it goes, for people.", "text/html", keyed=keyed)},
        "/status.json": {"get": _page("How it goes, for programs.", keyed=keyed)},
        "/openapi.json": {"get": _page("This document.", keyed=keyed)},
        "/v2": {"get": _page("The server.", schema="Server", keyed=keyed)},
        **_probes(keyed),
    }
    for model in (f"/v2/models/{quote(name)}", f"/v2/models/{quote(name)}/versions/{VERSION}"):
        paths[model] = {"get": _page("The model.", schema="Model", keyed=keyed)}
        paths[f"{model}/ready"] = {"get": _ready(keyed=keyed)}
        infer = _call("Infer", "Label the rows of a tensor.", keyed=keyed)
        paths[f"{model}/infer"] = {"post": _binary(infer)}
    return paths


def _probes(keyed: bool) -> _Schema:
    """Pages for whoever watches the service; those that tell nothing else need no key."""
    return {
        "/healthz": {"get": _open(_page("Alive.", "text/plain"), keyed)},
        "/readyz": {"get": _open(_ready(), keyed)},
        "/v2/health/live": {"get": _open(_page("Alive."), keyed)},
        "/v2/health/ready": {"get": _open(_ready(), keyed)},
    }


def _open(operation: _Schema, keyed: bool) -> _Schema:
    return operation | {"security": []} if keyed else operation


def _page(
    text: str, kind: str = "application/json", *, schema: str = "", keyed: bool = False
) -> _Schema:
    wanted = _ref(schema) if schema else {"type": "object" if "json" in kind else "string"}
    answers = {"200": _content(text, {kind: wanted})}
    return {"summary": text, "responses": answers | (_error("401") if keyed else {})}


def _ready(*, keyed: bool = False) -> _Schema:
    page, told = _page("Whether it is ready.", keyed=keyed), {"application/json": _ref("Ready")}
    page["responses"] |= {"200": _content("Ready.", told), "503": _content("Not ready.", told)}
    return page


def _call(asked: str, text: str, *, keyed: bool) -> _Schema:
    """A request for an answer."""
    deadline = {
        "name": "X-Deadline-Ms",
        "in": "header",
        "description": "How many milliseconds the client waits, from when it was read.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    }
    errors = [_error(s) for s in ERRORS if s != "409" and (keyed or s != "401")]
    responses = {"200": _content("The answers.", {"application/json": _ref(f"{asked}Answer")})}
    for error in errors:
        responses |= error
    return {
        "summary": text,
        "parameters": [deadline],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(asked)}}},
        "responses": responses,
    }


def _labelled(*, keyed: bool) -> _Schema:
    """A request that answers nothing, and tells what turned out to be true."""
    call = _call("Labels", "Tell what turned out to be true.", keyed=keyed)
    del call["parameters"], call["responses"]["200"], call["responses"]["504"]
    taken = {"application/json": _ref("LabelsTaken")}
    call["responses"] |= {"202": _content("How many.", taken), **_error("409")}
    return call


def _binary(call: _Schema) -> _Schema:
    """The same for bodies that go on behind their JSON."""
    header = {"type": "integer", "minimum": 1}
    bytes_too: _Schema = {"application/octet-stream": {"schema": {}}}
    call["parameters"].append(
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "Where JSON ends and the bytes of tensors begin.",
            "schema": header,
        }
    )
    call["requestBody"]["content"] |= bytes_too
    answer = call["responses"]["200"]
    answer["content"] |= bytes_too
    answer["headers"] = {
        "Inference-Header-Content-Length": {
            "description": "Where JSON ends, if bytes follow.", "schema": header,
        }
    }  # fmt: skip
    return call


def _error(status: str) -> _Schema:
    found = _content(ERRORS[status], {"application/json": _ref("Error")})
    if status == "503":
        found["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    return {status: found}


def _plain(signature: Signature) -> _Schema:
    """`/predict`."""
    rows = {"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": _row(signature)}
    answer = _object(
        id={"type": "string"},
        label={"enum": [*signature.classes, None]},
        confidence={"type": ["number", "null"], "minimum": 0, "maximum": 1},
        route={"type": "string"},
        promise=_promise(),
        out_of_scope={"type": ["boolean", "null"]},
    )
    return {
        "Predict": _object(inputs=rows) | {"additionalProperties": False},
        "PredictAnswer": _object(
            answers={"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": answer},
            model={"type": "string", "pattern": "^[0-9a-f]{64}$"},
            verdict=_verdict(),
        ),
        "Labels": _object(labels=_truths(signature)) | {"additionalProperties": False},
        "LabelsTaken": _object(taken={"type": "integer", "minimum": 1}),
        "Ready": {
            "type": "object", "required": ["ready"],
            "properties": {"ready": {"type": "boolean"}, "why": {"type": "string"}},
        },
    }  # fmt: skip


def _truths(signature: Signature) -> _Schema:
    one = _object(
        id={"type": "string", "pattern": f"^{ID}$"}, label={"enum": [*signature.classes]}
    ) | {"additionalProperties": False}
    return {"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": one}


def _row(signature: Signature) -> _Schema:
    if signature.input == "text":
        return {"type": "string"}
    found = _value(signature)
    for n in reversed(row_shape(signature)):
        found = {"type": "array", "minItems": n, "maxItems": n, "items": found}
    return found


def _value(signature: Signature) -> _Schema:
    if signature.input == "text":
        return {"type": "string"}
    if signature.input == "image":
        return {"type": "integer", "minimum": 0, "maximum": 255}
    return {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}


def _tensors(signature: Signature, name: str) -> _Schema:
    """The Open Inference Protocol, which says more of its messages than is repeated here."""
    axes = [{"type": "integer", "minimum": 1, "maximum": MOST_ROWS}]
    axes += [{"const": n} for n in row_shape(signature)]
    shape = {"type": "array", "minItems": len(axes), "maxItems": len(axes), "prefixItems": axes}
    nested = {"type": "array", "items": {"anyOf": [_value(signature), {"type": "array"}]}}
    told = {"type": ["object", "null"]}
    tensor = _object(
        name={"const": TENSOR}, datatype={"const": TYPES[signature.input]}, shape=shape, data=nested
    )
    tensor["properties"]["parameters"] = told
    chosen = _object(name={"enum": [*OUTPUTS]})
    chosen["properties"]["parameters"] = told
    request = _object(inputs={"type": "array", "minItems": 1, "maxItems": 1, "items": tensor})
    request["properties"] |= {
        "id": {"type": ["string", "null"]},
        "outputs": {"type": ["array", "null"], "maxItems": 64, "items": chosen},
        "parameters": told,
    }
    output = _object(
        name={"enum": [*OUTPUTS]}, datatype={"enum": ["BYTES", "FP32"]}, shape={"type": "array"}
    )
    return {
        "Infer": request,
        "InferAnswer": _object(
            model_name={"const": name},
            model_version={"const": VERSION},
            parameters=_object(verdict=_verdict()),
            outputs={"type": "array", "items": output},
        ),
        "Server": _object(
            name={"const": "surefoot"},
            version={"type": "string"},
            extensions={"const": [*EXTENSIONS]},
        ),
        "Model": _object(
            name={"const": name},
            versions={"const": [VERSION]},
            platform={"type": "string"},
            inputs={"type": "array", "minItems": 1, "maxItems": 1},
            outputs={"type": "array", "minItems": len(OUTPUTS)},
        ),
    }


def _promise() -> _Schema:
    return {"type": "string", "pattern": "^(held|void: .+)$"}


def _verdict() -> _Schema:
    return {"enum": ["PASS", "FAIL", "INCONCLUSIVE"]}


def _object(**properties: Any) -> _Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(text: str) -> _Schema:
    return {"description": text, "schema": {"type": "integer", "minimum": 1}}


def _content(text: str, kinds: Mapping[str, _Schema]) -> _Schema:
    return {"description": text, "content": {kind: {"schema": one} for kind, one in kinds.items()}}
