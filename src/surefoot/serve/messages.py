"""The messages of the Open Inference Protocol, as protobuf writes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.core.extras import require

MESSAGES: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool",
    "ModelReadyRequest": "name:string version:string",
    "ModelReadyResponse": "ready:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string version:string extensions:string*",
    "ModelMetadataRequest": "name:string version:string",
    "TensorMetadata": "name:string datatype:string shape:int64*",
    "ModelMetadataResponse": "name:string versions:string* platform:string"
    " inputs:TensorMetadata* outputs:TensorMetadata*",
    # One of these is set. Said as five plain fields it is the same on the wire.
    "InferParameter": "bool_param:bool int64_param:int64 string_param:string double_param:double"
    " uint64_param:uint64",
    "Parameter": "key:string value:InferParameter",
    "InferTensorContents": "bool_contents:bool* int_contents:int32* int64_contents:int64*"
    " uint_contents:uint32* uint64_contents:uint64* fp32_contents:float* fp64_contents:double*"
    " bytes_contents:bytes*",
    "InferTensor": "name:string datatype:string shape:int64* parameters:Parameter*"
    " contents:InferTensorContents",
    "InferRequestedOutput": "name:string parameters:Parameter*",
    "ModelInferRequest": "model_name:string model_version:string id:string parameters:Parameter*"
    " inputs:InferTensor* outputs:InferRequestedOutput* raw_input_contents:bytes*",
    "ModelInferResponse": "model_name:string model_version:string id:string parameters:Parameter*"
    " outputs:InferTensor* raw_output_contents:bytes*",
}
"""Fields by message, numbered as they stand, `*` for any number of them: the protocol numbers them
so. Names of inner messages are ours: they are not written."""


@cache
def messages() -> Mapping[str, Any]:
    """The classes of the messages, by name.

    They are in a pool of their own: a program may know the protocol's messages already.

    Raises:
        BundleError: protobuf is not installed.
    """
    descriptor = require("google.protobuf.descriptor_pb2", extra="grpc", error=BundleError)
    pools = require("google.protobuf.descriptor_pool", extra="grpc", error=BundleError)
    factory = require("google.protobuf.message_factory", extra="grpc", error=BundleError)
    file = descriptor.FileDescriptorProto(
        name="open_inference.proto", package="inference", syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, told in enumerate(fields.split(), 1):
            _add(descriptor.FieldDescriptorProto, message, number, told)
    pool = pools.DescriptorPool()
    pool.Add(file)
    return {
        name: factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in MESSAGES
    }


def _add(kinds: Any, message: Any, number: int, told: str) -> None:
    name, _, kind = told.partition(":")
    field = message.field.add(name=name, number=number)
    field.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    if kind in MESSAGES:
        field.type, field.type_name = kinds.TYPE_MESSAGE, f".inference.{kind}"
    else:
        field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
