"""Waivers in a file beside the plan, which is reviewed as code is: nothing else makes one count."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from surefoot.core.budget import LIMITS
from surefoot.core.errors import BundleError, PlanError, nearest
from surefoot.core.waiver import LONGEST_DAYS, Waiver

WAIVERS = "surefoot-waivers.toml"
HEAD = """\
# Budgets that are not shown to hold and that somebody answers for until a day.
# `surefoot waive` adds to this file; take one back by deleting it.
"""
CHOICES = {"limit": LIMITS, "outcome": ("FAIL", "INCONCLUSIVE")}
KEYS = tuple(field.name for field in fields(Waiver))
OPTIONAL = tuple(field.name for field in fields(Waiver) if field.default is not MISSING)


def today() -> date:
    """Today, in UTC: a waiver ends everywhere at the same moment."""
    return datetime.now(UTC).date()


def read_waivers(file: Path) -> tuple[Waiver, ...]:
    """The waivers of a file; none where there is no file.

    Args:
        file: `surefoot-waivers.toml` beside the plan.

    Raises:
        PlanError: It is no TOML, or a waiver is not as it has to be; every problem is told.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"cannot be read: {error}", where=str(file)) from error
    listed = tables.get("waiver", [])
    found = [f"{key}: unknown key; known: waiver" for key in tables if key != "waiver"]
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        found.append("waiver: must be tables, each beginning with [[waiver]]")
        listed = []
    found += [f"waiver[{i}].{p}" for i, one in enumerate(listed) for p in problems(one)]
    if found:
        raise PlanError(found, where=str(file))
    return tuple(Waiver(**one) for one in listed)


def decode_waivers(listed: Any, where: Path) -> tuple[Waiver, ...]:
    """Waivers as `verdict.json` holds them.

    Args:
        listed: What JSON gave.
        where: The bundle, for the error.

    Raises:
        BundleError: It is not as surefoot writes it.
    """
    known = listed if isinstance(listed, list) else [None]
    tables = [_dated(one) if isinstance(one, dict) else {} for one in known]
    found = [problem for table in tables for problem in problems(table)]
    if found:
        raise BundleError(
            f"verdict.json is not as surefoot writes it: waivers: {found[0]}",
            where=str(where),
            fix="run the plan again",
        )
    return tuple(Waiver(**table) for table in tables)


def problems(table: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong with one waiver, each as `key: what; fix`.

    Args:
        table: As TOML gives it.
    """
    yield from (f"{key}: unknown key; {nearest(key, KEYS)}" for key in table if key not in KEYS)
    yield from (f"{key}: missing" for key in KEYS if key not in table and key not in OPTIONAL)
    wrong = {key: _wrong(key, value) for key, value in table.items() if key in KEYS}
    yield from (f"{key}: {what}" for key, what in wrong.items() if what)
    if "made" not in table or "until" not in table or wrong["made"] or wrong["until"]:
        return
    if not table["made"] <= table["until"] <= table["made"] + timedelta(days=LONGEST_DAYS):
        yield (
            f"until: must lie within {LONGEST_DAYS} days of {table['made']}, when it was made;"
            " what has to be waived for longer is another budget in the plan"
        )


def add_waiver(file: Path, waiver: Waiver) -> None:
    """Write a waiver behind those that stand in a file; comments in it stay.

    Args:
        file: `surefoot-waivers.toml` beside the plan; made where there is none.
        waiver: What to add.

    Raises:
        BundleError: The file cannot be written.
    """
    values = {key: getattr(waiver, key) for key in KEYS}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    try:
        new = not file.exists()
        with file.open("a", encoding="utf-8") as stream:
            stream.write((HEAD if new else "") + "\n".join(["\n[[waiver]]", *lines, ""]))
    except OSError as error:
        raise BundleError(f"cannot write: {error.strerror or error}", where=str(file)) from error


def _wrong(key: str, value: Any) -> str:
    """What is wrong with one value; empty where nothing is."""
    if key in ("until", "made"):
        dated = isinstance(value, date) and not isinstance(value, datetime)
        return "" if dated else f"must be a day such as 2026-12-31, found {value!r}"
    if key == "worst":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if value is None or (number and math.isfinite(value)) else "must be a number"
    if not isinstance(value, str) or not value.strip():
        return "must be a text, and not an empty one"
    if key in CHOICES and value not in CHOICES[key]:
        return f"must be one of {', '.join(CHOICES[key])}, found '{value}'"
    return ""


def _dated(table: Mapping[str, Any]) -> dict[str, Any]:
    """A waiver of JSON, which has no dates, as TOML would give it."""
    found = dict(table)
    for key in ("until", "made"):
        try:
            found[key] = date.fromisoformat(found[key])
        except (KeyError, TypeError, ValueError):
            continue  # told as a problem
    return found


def _toml(value: str | float | date) -> str:
    if not isinstance(value, str):
        return str(value)
    # TOML reads JSON's strings, but that it has the control character DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
