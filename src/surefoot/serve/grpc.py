"""The Open Inference Protocol over gRPC, in the event loop that answers HTTP too."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from surefoot import __version__
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.extras import require
from surefoot.core.printable import printable
from surefoot.serve.flow import Answered
from surefoot.serve.lanes import Busy, Late
from surefoot.serve.messages import messages
from surefoot.serve.requests import REQUEST, Refused, confidences, listed, texts, typed_numbers
from surefoot.serve.service import Service, explained
from surefoot.serve.tensors import (
    EXTENSIONS,
    OUTPUTS,
    TYPES,
    VERSION,
    binary_rows,
    fits,
    known,
    metadata,
    no_other,
    packed,
    tensor_of,
    text,
)

SERVICE = "inference.GRPCInferenceService"
"""The protocol's name for itself."""
CONTENTS: Mapping[str, str] = {
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "UINT8": "uint_contents",
}
"""The field in which values of a type lie where they do not come as bytes."""
CODES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""What gRPC calls a status of HTTP; any other one is `INTERNAL`."""
STREAMS = 256
"""Calls of a connection that may be under way."""
_PROBES = {"ServerLive": "/v2/health/live", "ServerReady": "/v2/health/ready"}
"""What need no key, as over HTTP."""
MOST_CALLS = 256
"""Calls under way in a worker; who comes on top of them is told `RESOURCE_EXHAUSTED`."""
Metadata = Mapping[bytes, bytes]
Method = Callable[[Service, Any, float, Metadata], Awaitable[Any]]


async def open_grpc(service: Service, port: int) -> Any:
    """Answer gRPC at a port, in the running event loop, until `stop(grace)` of what is returned.

    Args:
        service: What answers; its deployment says at which address, and with which certificate.
        port: As `surefoot.serve.sockets.reserved` holds it.

    Returns:
        The `grpc.aio.Server`.

    Raises:
        BundleError: The extra is missing, or it cannot listen there with these files.
    """
    library = require("grpc", extra="grpc", error=BundleError)
    aio = require("grpc.aio", extra="grpc", error=BundleError)
    told = service.deployment
    limits = [
        ("grpc.max_receive_message_length", told.body_bytes),
        ("grpc.max_concurrent_streams", STREAMS),
    ]
    server = aio.server(options=limits, maximum_concurrent_rpcs=MOST_CALLS)
    server.add_generic_rpc_handlers((_handlers(library, service),))
    where = f"[{told.host}]:{port}" if ":" in told.host else f"{told.host}:{port}"
    try:
        if told.tls_certificate is None or told.tls_key is None:
            server.add_insecure_port(where)
        else:
            pair = (told.tls_key.read_bytes(), told.tls_certificate.read_bytes())
            server.add_secure_port(where, library.ssl_server_credentials([pair]))
    except (OSError, RuntimeError) as error:
        raise BundleError(f"cannot listen at {where}: {error}", where="grpc_port") from error
    await server.start()
    return server


def _handlers(library: Any, service: Service) -> Any:
    """The protocol's methods, each between its two messages."""
    sent = messages()
    return library.method_handlers_generic_handler(
        SERVICE,
        {
            name: library.unary_unary_rpc_method_handler(
                partial(_called, library, service, name),
                response_serializer=sent[f"{name}Response"].SerializeToString,
            )
            for name in METHODS
        },
    )


async def _called(library: Any, service: Service, name: str, sent: bytes, context: Any) -> Any:
    """Answer one call; whatever goes wrong is an answer too."""
    began, left = time.monotonic(), context.time_remaining()
    until = np.inf if left is None else began + left
    status, said, answer = 200, "", None
    try:
        fields = _admitted(service, name, context)
        if service.journal is not None:
            fields = {**fields, REQUEST: service.journal.request(fields).encode()}
            context.set_trailing_metadata(((REQUEST.decode(), fields[REQUEST].decode()),))
        work = METHODS[name](service, _parsed(name, sent), until, fields)
        if service.traces is not None and name == "ModelInfer":
            told = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": name}
            work = service.traces.request(f"{SERVICE}/{name}", fields, told, work, lambda _: 200)
        answer = await work
    except Refused as refused:
        status, said = refused.status, str(refused)
    except (Late, Busy, SurefootError) as error:
        status, said = explained(error)
    except Exception as error:  # size: the outermost line, nobody else would answer
        sys.stderr.write(f"surefoot: {type(error).__name__}: {printable(str(error))}\n")
        status, said = 500, "internal error"
    service.meters.answered(name == "ModelInfer", status, time.monotonic() - began)
    if answer is None:
        await context.abort(getattr(library.StatusCode, CODES.get(status, "INTERNAL")), said)
    return answer


def _admitted(service: Service, name: str, context: Any) -> Metadata:
    """The metadata of a call that may be answered."""
    pairs = context.invocation_metadata() or ()
    sent = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in pairs
    }
    if not service.access.allowed(_PROBES.get(name, f"/{SERVICE}/{name}"), sent):
        raise Refused("a key is needed, as authorization: Bearer KEY or x-api-key: KEY", 401)
    return sent


def _parsed(name: str, sent: bytes) -> Any:
    """A message; done here, where one that is none gets an answer that says so."""
    library = require("google.protobuf.message", extra="grpc", error=BundleError)
    try:
        return messages()[f"{name}Request"].FromString(sent)
    except library.DecodeError:
        raise Refused(f"no {name}Request of the Open Inference Protocol") from None


async def _live(*_: Any) -> Any:
    return messages()["ServerLiveResponse"](live=True)


async def _ready(service: Service, *_: Any) -> Any:
    return messages()["ServerReadyResponse"](ready=service.readiness.ready)


async def _model_ready(service: Service, request: Any, *_: Any) -> Any:
    _named(service, request.name, request.version)
    return messages()["ModelReadyResponse"](ready=service.readiness.ready)


async def _server(*_: Any) -> Any:
    return messages()["ServerMetadataResponse"](
        name="surefoot", version=__version__, extensions=EXTENSIONS
    )


async def _model(service: Service, request: Any, *_: Any) -> Any:
    _named(service, request.name, request.version)
    return messages()["ModelMetadataResponse"](**metadata(service.signature, service.name))


async def _infer(service: Service, request: Any, until: float, fields: Metadata) -> Any:
    _named(service, request.model_name, request.model_version)
    _no_other(request)
    chosen: dict[str, None] = {}
    for output in request.outputs:
        _no_other(output)
        known(output.name, chosen)
        chosen[output.name] = None
    answered = await service.answered(_rows(request, service), until, fields)
    return _response(service, request, answered, [*(chosen or OUTPUTS)])


METHODS: Mapping[str, Method] = {
    "ServerLive": _live,
    "ServerReady": _ready,
    "ModelReady": _model_ready,
    "ServerMetadata": _server,
    "ModelMetadata": _model,
    "ModelInfer": _infer,
}
"""What can be called."""


def _no_other(said: Any) -> None:
    no_other([one.key for one in said.parameters])


def _named(service: Service, name: str, version: str) -> None:
    if name != service.name or version not in ("", VERSION):
        raise Refused(
            f"no model {listed([name, version])}; there is {service.name}, {VERSION}", 404
        )


def _rows(request: Any, service: Service) -> np.ndarray:
    """The rows of the only tensor, from its own contents or from bytes beside it."""
    if len(request.inputs) != 1:
        raise Refused(f"inputs must be a list of one tensor, found {len(request.inputs)}")
    tensor, kind = request.inputs[0], service.signature.input
    _no_other(tensor)
    shape: Sequence[int] = [*tensor.shape]
    fits(tensor.name, tensor.datatype, shape, service.signature)
    filled = [field.name for field, _ in tensor.contents.ListFields()]
    if request.raw_input_contents:
        if filled or len(request.raw_input_contents) != 1:
            raise Refused("a tensor has contents or one of raw_input_contents, not both")
        return binary_rows(memoryview(request.raw_input_contents[0]), shape, kind)
    field = CONTENTS[TYPES[kind]]
    if filled != [field]:
        raise Refused(f"values of {TYPES[kind]} are in {field}, found {listed(filled)}")
    values = getattr(tensor.contents, field)
    if len(values) != math.prod(shape):
        raise Refused(f"{len(values)} values for shape {[*shape]}")
    if kind == "text":
        return texts([text(row, i) for i, row in enumerate(values)])
    rows: np.ndarray = typed_numbers(values, (len(values),), kind).reshape(shape)
    return rows


def _response(service: Service, request: Any, answered: Answered, outputs: list[str]) -> Any:
    """An answer in the form of the question: as bytes, or as contents."""
    confidences(answered)
    found = messages()["ModelInferResponse"](
        model_name=service.name, model_version=VERSION, id=request.id
    )
    found.parameters.add(key="verdict").value.string_param = service.verdict
    for name in outputs:
        values, shape = tensor_of(name, answered, service.signature.classes)
        output = found.outputs.add(name=name, datatype=OUTPUTS[name].kind, shape=shape)
        if request.raw_input_contents:
            found.raw_output_contents.append(packed(values))
        elif isinstance(values, np.ndarray):
            output.contents.fp32_contents.extend(values.ravel().tolist())
        else:
            output.contents.bytes_contents.extend(value.encode() for value in values)
    return found
