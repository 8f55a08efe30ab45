"""What it costs to read a request and to write its answer: `python benchmarks/bodies.py`.

One row of 784 floats, as a client sends it that writes them in full, in each form; microseconds of
the quickest of 7 times 2,000 calls. `--texts` asks for a text of 120 letters instead.
"""

from __future__ import annotations

import argparse
import json
import timeit
from collections.abc import Callable, Mapping

import numpy as np

from surefoot.core.model import Signature
from surefoot.serve.flow import Answered
from surefoot.serve.requests import decoded, plain_answer, plain_request, plain_rows
from surefoot.serve.tensors import tensor_answer, tensor_request

NUMBERS = Signature(input="numeric", classes=tuple("abcdefghij"), width=784)
TEXT = Signature(input="text", classes=("no", "yes"))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", action="store_true", help="texts instead of numbers")
    for name, call in calls(TEXT if parser.parse_args().texts else NUMBERS).items():
        best = min(timeit.repeat(call, number=2_000, repeat=7)) / 2_000 * 1e6
        print(f"{name:40} {best:7.1f} µs")


def calls(signature: Signature) -> Mapping[str, Callable[[], object]]:
    """What is timed.

    Args:
        signature: Of the model that is asked.
    """
    if signature is TEXT:
        row = ["x" * 120]
        plain, raw, kind = row, len(row[0]).to_bytes(4, "little") + row[0].encode(), "BYTES"
    else:
        values = np.random.default_rng(0).random((1, 784), np.float32)
        row, plain, raw, kind = values[0].tolist(), values.tolist(), values.tobytes(), "FP32"
    shape = [1] if signature is TEXT else [1, 784]
    one = {"name": "input", "shape": shape, "datatype": kind}
    body = json.dumps({"inputs": plain}).encode()
    tensor = json.dumps({"inputs": [one | {"data": row}]}).encode()
    told = {"parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [one | told]}).encode()
    header = str(len(head)).encode()
    asked = tensor_request(head + raw, header, signature)
    n = len(signature.classes)
    found = Answered(
        scores=np.full((1, n), 1 / n), predicted=np.zeros(1, np.int64), routes=("lean",),
        promises=("held",),
    )  # fmt: skip
    return {
        "read /predict": lambda: plain_request(body, signature),
        "read /predict, the road that says why": lambda: plain_rows(decoded(body), signature),
        "read /infer, JSON": lambda: tensor_request(tensor, None, signature),
        "read /infer, bytes": lambda: tensor_request(head + raw, header, signature),
        "write /predict": lambda: plain_answer(found, signature.classes, "a" * 64, "PASS"),
        "write /infer": lambda: tensor_answer(found, signature.classes, "lean", "PASS", asked),
    }


if __name__ == "__main__":
    main()
