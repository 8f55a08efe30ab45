"""Why candidates are not faster, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def diagnosis_lines(diagnoses: Sequence[Mapping[str, Any]]) -> list[str]:
    """A paragraph for each candidate that is not shown to be faster.

    Args:
        diagnoses: As `verdict.json` holds them.
    """
    return [
        line
        for heading, *reasons in diagnosis_parts(diagnoses)
        for line in (heading, *(f"  - {reason}" for reason in reasons))
    ]


def diagnosis_parts(diagnoses: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each candidate that is not shown to be faster a heading, and the reasons.

    Args:
        diagnoses: As `verdict.json` holds them.
    """
    nothing = ["no operator stands out"]
    return [[_heading(found), *(found["reasons"] or nothing)] for found in diagnoses]


def _heading(found: Mapping[str, Any]) -> str:
    """`why int8 is not faster (0.29 x [0.29, 0.29] at batch 1, 1 thread, onnxruntime):`."""
    speedup, profile = found["speedup"], found["profile"]
    ends = ", ".join("none" if end is None else f"{end:.3g}" for end in _ends(speedup))
    threads = f"{profile['threads']} thread{'s' if profile['threads'] > 1 else ''}"
    where = f"at batch {profile['batch']}, {threads}, {found['runtime']}"
    return (
        f"why {found['candidate']} is not shown to be faster"
        f" ({speedup['value']:.3g} x [{ends}] {where}):"
    )


def _ends(estimate: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return estimate["low"], estimate["high"]
