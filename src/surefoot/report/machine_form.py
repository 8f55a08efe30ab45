"""The report as JSON; `report.schema.json` beside this file says what stands where."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from surefoot.bundle.encode import encode
from surefoot.report.content import Content

FORMAT = 1
"""The version of the report's JSON."""


def report_json(content: Content) -> str:
    """The report for machines: its numbers, and the words that the page has.

    All of verdict.json stands under `data`, so that nothing needs a second file.

    Args:
        content: What it says.

    Returns:
        JSON in ASCII, without infinities: an end that an interval lacks is null.
    """
    fields: dict[str, Any] = {
        field.name: encode(getattr(content, field.name)) for field in dataclasses.fields(content)
    }
    whole = {"format": FORMAT, **fields}
    return json.dumps(whole, indent=1, ensure_ascii=True, allow_nan=False, default=str)
