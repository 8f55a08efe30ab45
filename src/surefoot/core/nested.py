"""JSON of others, which must not be nested so deeply that reading it ends the process."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

DEEPEST = 500
"""Brackets inside each other."""


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
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _depth(raw) > DEEPEST:
        raise RecursionError(f"JSON is nested more than {DEEPEST} deep")
    return json.loads(text)


def _depth(raw: bytes) -> int:
    """How deep brackets stand inside each other; those in texts count, which makes it no less."""
    codes = np.frombuffer(raw, np.uint8)
    opened = (codes == ord("[")) | (codes == ord("{"))
    closed = (codes == ord("]")) | (codes == ord("}"))
    return int(np.cumsum(opened.astype(np.int32) - closed).max(initial=0))
