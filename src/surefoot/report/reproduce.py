"""How to do it again: commands, versions, and the fingerprints that must come out the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def reproduce_lines(environment: Mapping[str, Any], bundle: Path) -> tuple[str, ...]:
    """Commands for a shell, with what they do behind them.

    Args:
        environment: What the run was made with.
        bundle: What the user called the bundle.
    """
    libraries = environment.get("libraries") or {}
    pins = [shlex.quote(f"{name}=={version}") for name, version in libraries.items() if version]
    named = shlex.quote(str(bundle))
    first = f"pip install {' '.join(pins)}  # the versions of this run" if pins else ""
    return tuple(
        line
        for line in (
            first,
            f"surefoot verify {named}  # are the files whole, and do its claims come out again",
            "surefoot run plan.toml  # the bundle's plan, put where its data and model lie",
            f"surefoot report {named} --format json  # the numbers of this page",
        )
        if line
    )


def fingerprints(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What was measured on what: kind, name and SHA-256 of each.

    Args:
        data: As `verdict.json` holds it.
    """
    models = [("model", c["name"], c["fingerprint"]) for c in data["candidates"]]
    rows = (data.get("rows") or {}).items()
    return [*models, *(("test set", name, print_) for name, print_ in rows)]
