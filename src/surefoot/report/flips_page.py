"""The answers that a candidate changed, as one page that needs no server, network or script."""

from __future__ import annotations

import base64
import io
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import DataError, PlanError
from surefoot.core.extras import require
from surefoot.core.printable import printable
from surefoot.report.flips import KINDS, Flip, Flips
from surefoot.report.flips_lines import Columns, Inputs, input_text, share
from surefoot.store import whole_file

MOST = 200
"""Rows of each kind on a page."""
LONGEST = 2000
"""Characters of an input on a page."""
LARGEST = 160
"""Pixels of an image on a page, on its longer side."""
WORDS = {
    "lost": "right before, wrong now",
    "won": "wrong before, right now",
    "other": "wrong before, wrong in another way now",
}


def write_page(
    path: Path, flips: Flips, inputs: Inputs, columns: Columns, *, note: str = ""
) -> Path:
    """Write the page in place of an older one.

    Args:
        path: The file.
        flips: What changed.
        inputs: The rows.
        columns: The names of numeric columns.
        note: What a reader should know besides.

    Returns:
        The file.

    Raises:
        PlanError: The name is not that of an HTML file.
        BundleError: It cannot be written.
        DataError: The rows are images and Pillow is not installed.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise PlanError(f"--html: '{path}' is not called .html; give the page another name")
    text = page(flips, inputs, columns, note=note)
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def page(flips: Flips, inputs: Inputs, columns: Columns, *, note: str = "") -> str:
    """The page as HTML; whatever stands in a row is shown as text.

    Args:
        flips: What changed.
        inputs: The rows.
        columns: The names of numeric columns.
        note: What a reader should know besides.
    """
    from jinja2 import Environment, StrictUndefined

    source = resources.files("surefoot.report").joinpath("flips.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"line": printable, "share": share}
    sections = []
    for kind in KINDS:
        found = flips.of(kind)
        rows = [_row(flip, flips, inputs, columns) for flip in found[:MOST]]
        sections.append({"kind": kind, "words": WORDS[kind], "count": len(found), "rows": rows})
    return environment.from_string(source).render(
        flips=flips, sections=sections, kinds=KINDS, note=note, longest=LONGEST
    )


def _row(flip: Flip, flips: Flips, inputs: Inputs, columns: Columns) -> dict[str, Any]:
    place = flips.places[flip.place]
    captions = [f"as shifted by {place.shift}", "as it came"] if place.shift else [""]
    shown = [
        {"caption": caption, **_input(flip, inputs, columns, came=came)}
        for came, caption in zip((False, True), captions, strict=False)
    ]
    return {"flip": flip, "place": place.name, "inputs": shown}


def _input(flip: Flip, inputs: Inputs, columns: Columns, *, came: bool) -> dict[str, str | None]:
    text = input_text(flip, inputs, columns, came=came)
    if text is None:
        return {"image": _image(inputs[flip.place][came].inputs[flip.row]), "text": ""}
    return {"image": None, "text": _kept_lines(text)}


def _kept_lines(text: str) -> str:
    """A text with its lines, and nothing else that is acted upon rather than seen."""
    return "\n".join(map(printable, text.splitlines()))


def _image(pixels: np.ndarray) -> str:
    """A small PNG as a data URI."""
    library = require("PIL.Image", extra="image", error=DataError)
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        pixels = pixels[:, :, 0]
    image = library.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((LARGEST, LARGEST))
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
