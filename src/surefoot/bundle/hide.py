"""Evidence for data that may not leave the house: hashes of ids and answers, and no words of rows.

The salt lies beside the plan and stays there. With it the same rows can be paired again; without
it, what stands in the bundle cannot be told from noise.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.checks import CheckResult
from surefoot.core.errors import BundleError
from surefoot.core.hidden import TEXT, Hider
from surefoot.core.plan import Plan
from surefoot.store import whole_file

SALT = "surefoot-salt"
"""The file beside the plan."""
CHECKED = "rows that checks asked about"
"""Stands for a test set's name where ids are `SET/ID` already."""


def hider_for(plan: Plan) -> Hider | None:
    """What hides the rows of a plan's bundle; None where the plan lets them be named.

    The salt is made when it is first needed.

    Args:
        plan: The plan.

    Raises:
        BundleError: The salt cannot be read or written, or is none.
    """
    if plan.evaluate.evidence != "hashed":
        return None
    file = plan.path.parent / SALT
    if not file.exists():
        with whole_file(file) as part:
            part.touch(mode=0o600)
            part.write_text(secrets.token_hex(32) + "\n")
    return read_salt(plan.path.parent)


def read_salt(folder: Path) -> Hider | None:
    """What hides rows by the salt that lies in a folder; None where there is none.

    Args:
        folder: The folder of a plan.

    Raises:
        BundleError: It cannot be read, or is none.
    """
    file = folder / SALT
    if not file.exists():
        return None
    try:
        salt = bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise BundleError("is no salt that can be read", where=str(file)) from error
    if len(salt) < 16:
        raise BundleError("is too short for a salt", where=str(file))
    return Hider(salt=salt)


def hidden_by(data: Mapping[str, Any], folder: Path) -> tuple[Hider | None, str]:
    """What hid the rows of a bundle, or why that is not at hand; neither where nothing did.

    Args:
        data: The content of its verdict.json.
        folder: Where its plan lies, or would.

    Raises:
        BundleError: The salt there cannot be read.
    """
    evidence = data.get("evidence") or {}
    if evidence.get("kind") != "hashed":
        return None, ""
    hider = read_salt(folder)
    if hider is None:
        return None, f"its ids are hashes, and their salt, {folder / SALT}, is not at hand"
    if hider.name != evidence.get("salt"):
        return None, f"its ids are hashes, and {folder / SALT} is not their salt"
    return hider, ""


def described_hidden(data: Mapping[str, Any], hider: Hider) -> dict[str, Any]:
    """The content of verdict.json without ids, and without conditions that were found in rows.

    Args:
        data: What `described` gave.
        hider: What hides ids.
    """
    checks = [
        {**entry, "ids": _ids(hider, entry["ids"])} if "ids" in entry else entry
        for entry in data["checks"]
    ]
    return {
        **data,
        "checks": checks,
        "found_slices": None,  # its conditions may hold words of rows
        "evidence": {"kind": "hashed", "salt": hider.name},
    }


def hidden_check(result: CheckResult, hider: Hider) -> CheckResult:
    """What a check found, without ids and without words about single rows.

    Args:
        result: What it found.
        hider: What hides ids.
    """
    checked = result.checked
    if checked is None:
        return result
    ids = hider.ids(CHECKED, checked.ids)
    return replace(result, checked=replace(checked, ids=ids, details=("",) * len(ids)))


def hidden_ledger(text: str) -> str:
    """A ledger without the hashes of rows, which are not salted.

    Args:
        text: Its lines.
    """
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line["sets"] = {name: {**one, "smallest": []} for name, one in line["sets"].items()}
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _ids(hider: Hider, ids: list[str]) -> list[str]:
    return [str(one) for one in hider.ids(CHECKED, np.array(ids, TEXT)).tolist()]
