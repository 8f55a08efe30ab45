"""The Open Inference Protocol over gRPC, in the event loop that answers HTTP too."""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import __version__
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.extras import require
from surefoot.core.printable import printable
from surefoot.serve.flow import Answered
from surefoot.serve.lanes import Busy, Late
from surefoot.serve.messages import messages
from surefoot.serve.requests import Refused, confidences, listed, texts, typed_numbers
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
Metadata = Mapping[bytes, bytes]
Method = Callable[[Service, Any, float], Awaitable[Any]]


def reserved(host: str, port: int) -> socket.socket:
    """A port that is kept for the gRPC of all workers; it listens to nobody itself.

    Workers share the port, and so would anybody else who came: it must be free before.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        BundleError: The port is in use, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as probe:
            found = probe.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, found))
    except (OSError, OverflowError) as error:
        raise BundleError(
            f"cannot listen at {host} port {port} for gRPC: {error}",
            where="grpc_port",
            fix="give a port that is free",
        ) from error
    return held


async def open_grpc(
    service: Service,
    host: str,
    port: int,
    *,
    tls: tuple[Path, Path] | None = None,
    allowed: Callable[[Metadata], bool] = lambda _: True,
) -> Any:
    """Answer gRPC at a port, in the running event loop, until `stop(grace)` of what is returned.

    Args:
        service: What answers.
        host: The address.
        port: As `reserved` holds it.
        tls: Files of the certificate and of its key; None for neither.
        allowed: Whether a request with such metadata may be answered.

    Returns:
        The `grpc.aio.Server`.

    Raises:
        BundleError: The extra is missing, or it cannot listen there with these files.
    """
    library = require("grpc", extra="grpc", error=BundleError)
    aio = require("grpc.aio", extra="grpc", error=BundleError)
    limits = [
        ("grpc.max_receive_message_length", service.deployment.body_bytes),
        ("grpc.max_concurrent_streams", 256),
    ]
    server = aio.server(options=limits)
    server.add_generic_rpc_handlers((_handlers(library, service, allowed),))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            server.add_insecure_port(where)
        else:
            pair = (tls[1].read_bytes(), tls[0].read_bytes())
            server.add_secure_port(where, library.ssl_server_credentials([pair]))
    except (OSError, RuntimeError) as error:
        raise BundleError(
            f"cannot listen at {where} for gRPC: {error}", where="grpc_port"
        ) from error
    await server.start()
    return server


def _handlers(library: Any, service: Service, allowed: Callable[[Metadata], bool]) -> Any:
    """The protocol's methods, each between its two messages."""
    sent = messages()
    return library.method_handlers_generic_handler(
        SERVICE,
        {
            name: library.unary_unary_rpc_method_handler(
                partial(_called, library, service, allowed, name),
                response_serializer=sent[f"{name}Response"].SerializeToString,
            )
            for name, method in METHODS.items()
        },
    )


async def _called(
    library: Any,
    service: Service,
    allowed: Callable[[Metadata], bool],
    name: str,
    sent: bytes,
    context: Any,
) -> Any:
    """Answer one call; whatever goes wrong is an answer too."""
    began, left = time.monotonic(), context.time_remaining()
    until = np.inf if left is None else began + left
    status, said, answer = 200, "", None
    try:
        _admit(allowed, context)
        answer = await METHODS[name](service, _parsed(name, sent), until)
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


def _admit(allowed: Callable[[Metadata], bool], context: Any) -> None:
    pairs = context.invocation_metadata() or ()
    sent = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in pairs
    }
    if not allowed(sent):
        raise Refused("no valid key", 401)


def _parsed(name: str, sent: bytes) -> Any:
    """A message; done here, where one that is none gets an answer that says so."""
    library = require("google.protobuf.message", extra="grpc", error=BundleError)
    try:
        return messages()[f"{name}Request"].FromString(sent)
    except library.DecodeError:
        raise Refused(f"no {name}Request of the Open Inference Protocol") from None


async def _live(_: Service, __: Any, ___: float) -> Any:
    return messages()["ServerLiveResponse"](live=True)


async def _ready(service: Service, _: Any, __: float) -> Any:
    return messages()["ServerReadyResponse"](ready=service.readiness.ready)


async def _model_ready(service: Service, request: Any, _: float) -> Any:
    _named(service, request.name, request.version)
    return messages()["ModelReadyResponse"](ready=service.readiness.ready)


async def _server(_: Service, __: Any, ___: float) -> Any:
    return messages()["ServerMetadataResponse"](
        name="surefoot", version=__version__, extensions=EXTENSIONS
    )


async def _model(service: Service, request: Any, _: float) -> Any:
    _named(service, request.name, request.version)
    return messages()["ModelMetadataResponse"](**metadata(service.signature, service.name))


async def _infer(service: Service, request: Any, until: float) -> Any:
    _named(service, request.model_name, request.model_version)
    _no_other(request)
    chosen: dict[str, None] = {}
    for output in request.outputs:
        _no_other(output)
        known(output.name, chosen)
        chosen[output.name] = None
    answered = await service.answered(_rows(request, service), until)
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
