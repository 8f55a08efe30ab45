"""JSON of others, which must not be nested so deeply that reading it ends the process."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

DEEPEST = 500
"""Brackets inside each other."""
BLOCK = 1 << 20
STEPS = np.zeros(256, np.int8)
STEPS[[ord("["), ord("{")]] = 1
STEPS[[ord("]"), ord("}")]] = -1
TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A text of JSON, or one that has no end; brackets in it are no depth, whichever way they turn."""


def from_json(text: str | bytes) -> Any:
    """What JSON says.

    Python's own reader stops at the recursion limit, but libraries raise that beyond what the stack
    of the processor holds, and then it is the process that stops.

    Args:
        text: The JSON, from a file or a server that is not ours.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        raise RecursionError(f"JSON is nested more than {DEEPEST} deep")
    return json.loads(text)


def _depth(text: str) -> int:
    """How deep brackets stand inside each other, those in texts left out."""
    raw = TEXT.sub("", text).encode("utf-8", "surrogatepass")
    depth = deepest = 0
    for start in range(0, len(raw), BLOCK):
        codes = np.frombuffer(raw, np.uint8, count=min(BLOCK, len(raw) - start), offset=start)
        steps = STEPS[codes]
        deepest = max(deepest, depth + int(np.cumsum(steps, dtype=np.int32).max()))
        depth += int(steps.sum(dtype=np.int32))
    return deepest
