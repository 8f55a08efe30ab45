"""Reads a bundle back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.bundle.encode import decode_verdict
from surefoot.bundle.intact import MANIFEST, read_manifest
from surefoot.bundle.write import FORMAT
from surefoot.core.errors import BundleError, MachineError, MismatchError
from surefoot.core.evidence import Bundle
from surefoot.core.nested import from_json
from surefoot.data.columns import read_parquet
from surefoot.evaluate.machine import worth_keeping

READABLE = (2, FORMAT)
"""Older layouts that are read too; docs/bundle.md says what they lack."""
READS = ", ".join(map(str, READABLE))
KEYS = (
    "key", "winner", "batch", "costs", "candidates", "failed", "warnings", "verdicts",
    "comparisons", "latencies", "noise", "repeat", "memory", "calibration",
)  # fmt: skip


def read_verdict_json(path: Path) -> dict[str, Any]:
    """The content of a bundle's verdict.json.

    Raises:
        BundleError: There is no bundle, or a newer surefoot wrote it.
    """
    try:
        data: dict[str, Any] = from_json((path / "verdict.json").read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"no bundle that can be read: {error}", where=str(path)) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found not in READABLE:
        raise (MismatchError if isinstance(found, int) else BundleError)(
            f"format {found} of verdict.json is none that this surefoot reads: {READS}",
            where=str(path),
            fix="use the surefoot that wrote it, or run the plan again",
        )
    missing = [key for key in KEYS if key not in data]
    if missing or not data["verdicts"]:
        lacks = ", ".join(missing) or "a verdict"
        raise BundleError(
            f"verdict.json is not as surefoot writes it: it lacks {lacks}",
            where=str(path),
            fix="run the plan again",
        )
    return data


def open_for_noise(data: Mapping[str, Any]) -> bool:
    """Whether a budget or an envelope is undecided that a quieter machine may decide.

    Args:
        data: The content of a bundle's verdict.json.
    """
    reasons = [found["reason"] for verdict in data["verdicts"] for found in verdict["findings"]]
    reasons += [probe["reason"] for one in data.get("envelopes", ()) for probe in one["probes"]]
    return not all(map(worth_keeping, reasons))


def read_environment(path: Path) -> dict[str, Any]:
    """What a bundle was made with.

    Args:
        path: The bundle.

    Raises:
        BundleError: There is nothing that can be read.
    """
    made = _object(path / "environment.json", "environment")
    if not isinstance(made.get("libraries", {}), dict):
        raise _other_form(path / "environment.json")
    return made


def read_plan_json(path: Path) -> dict[str, Any]:
    """The plan of a bundle, defaults filled in.

    Args:
        path: The bundle.

    Raises:
        BundleError: There is none that can be read.
    """
    return _object(path / "plan.json", "plan")


def recorded_environment(path: Path) -> dict[str, Any]:
    """What a bundle was made with, where something is to be concluded from it.

    Args:
        path: The bundle.

    Raises:
        MachineError: It does not say, so that nothing can be concluded.
    """
    file = str(path / "environment.json")
    try:
        found = read_environment(path)
    except BundleError as error:
        raise MachineError(
            f"the environment of the evidence cannot be read: {error.what}", where=file
        ) from error
    if "libraries" not in found:
        raise MachineError("does not describe an environment", where=file)
    return found


def _object(file: Path, what: str) -> dict[str, Any]:
    """The table that a JSON file of a bundle holds."""
    try:
        found = from_json(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"no {what} that can be read: {error}", where=str(file.parent)) from error
    if not isinstance(found, dict):
        raise _other_form(file)
    return found


def _other_form(file: Path) -> BundleError:
    return BundleError(f"{file.name} is not as surefoot writes it", where=str(file.parent))


def missing_files(path: Path) -> tuple[str, ...]:
    """The files that a bundle's manifest names and that are not there."""
    manifest = read_manifest(path)
    if manifest is None:
        return (MANIFEST,)
    return tuple(name for name in manifest if not (path / name).is_file())


def read_cell(file: Path, needed: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """The columns of a cell.

    Args:
        file: The Parquet file.
        needed: The names that must be among them, by the kinds of their arrays.

    Raises:
        BundleError: One is missing or of another kind, or there are no rows.
        DataError: The file cannot be read.
    """
    columns = read_parquet(file)
    wrong = [
        name
        for kinds, names in needed.items()
        for name in names
        if name not in columns or columns[name].dtype.kind not in kinds
    ]
    wrong += [k for k in columns if k.startswith("slice_") and columns[k].dtype.kind != "b"]
    if wrong or not len(columns["id"]):
        raise BundleError(
            f"a cell without {', '.join(wrong) or 'rows'}",
            where=str(file),
            fix="take the folder as its run left it, or run its plan again",
        )
    return columns


def read_bundle(path: Path) -> Bundle:
    """A bundle's verdict; its cells lie in Parquet beside it.

    Raises:
        BundleError: There is no bundle, or a newer surefoot wrote it.
    """
    return bundle_of(path, read_verdict_json(path))


def bundle_of(path: Path, data: Mapping[str, Any]) -> Bundle:
    """A bundle's verdict from what `read_verdict_json` gave, for who needs both.

    Args:
        path: The folder.
        data: The content of its verdict.json.

    Raises:
        BundleError: It is not as surefoot writes it.
    """
    try:
        return Bundle(
            path=path,
            key=data["key"],
            verdicts=tuple(map(decode_verdict, data["verdicts"])),
            winner=data["winner"],
        )
    except (KeyError, TypeError) as error:
        raise BundleError(
            f"verdict.json is not as surefoot writes it: {error}",
            where=str(path),
            fix="run the plan again",
        ) from error
