"""Verdicts to JSON and back; an infinite end of an interval is written as null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget, Finding, Paired, Use, Verdict

ROW_COLUMNS = ("difference", "values", "groups", "change", "drawn", "span")
"""Fields of `Paired` that the cells and the metric tell already."""


def encode(value: Any) -> Any:
    """Dataclasses, tuples and numbers as JSON-able data, per-row columns left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f.name for f in dataclasses.fields(value) if f.name not in ROW_COLUMNS]
        return {name: encode(getattr(value, name)) for name in fields}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value


def decode_verdict(data: Mapping[str, Any]) -> Verdict:
    """A verdict from what `encode` made of it."""
    use = data["use"]
    findings = tuple(map(_finding, data["findings"]))
    return Verdict(**{**data, "findings": findings, "use": None if use is None else Use(**use)})


def _finding(data: Mapping[str, Any]) -> Finding:
    paired = data["paired"]
    return Finding(
        **{
            **data,
            "budget": Budget(**data["budget"]),
            "estimate": decode_estimate(data["estimate"]),
            "paired": None if paired is None else Paired(**paired),
        }
    )


def decode_estimate(data: Mapping[str, Any]) -> Estimate:
    """An estimate from what `encode` made of it; what is null there is infinite."""
    value, low, high = data["value"], data["low"], data["high"]
    return Estimate(
        **{
            **data,
            "value": math.inf if value is None else value,  # answers that never came
            "low": -math.inf if low is None else low,
            "high": math.inf if high is None else high,
        }
    )
