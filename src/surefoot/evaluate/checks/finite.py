"""Whether every output is finite, for rows as they are and for spoiled ones."""

import numpy as np

from surefoot.core.checks import CRASHES, Checked, Opened, Subject
from surefoot.evaluate.checks._common import TEXT

INPUTS = ("text", "image", "numeric")
REPEATS = 50
FACTOR = np.float32(1e6)
RARE = "\u16a0\u2c32\ua66e\ufdfd\U00010400"
"""Letters of old scripts, which hardly a vocabulary has."""


def finite(subject: Subject, rng: np.random.Generator, *, batch: int = 32) -> Checked:
    """Each row as it is, emptied, blown up and made unreadable: every output must be finite.

    Texts are emptied, repeated 50 times, and written in rare letters; pictures are blackened,
    driven to full contrast and inverted; numbers are set to zero and multiplied by a million. A row
    fails if any of its forms gets an output that is not finite, or no output.

    Args:
        subject: The model and the rows.
        rng: Not used.
        batch: Rows a call.
    """
    inputs = subject.dataset.inputs
    failed, details = np.zeros(len(inputs), dtype=bool), [""] * len(inputs)
    for form, rows in {"as it is": inputs, **_forms(inputs, subject.kind)}.items():
        bad = ~_sound(subject.model, rows, batch)
        for row in np.flatnonzero(bad & ~failed).tolist():
            details[row] = f"no finite output {form}"
        failed |= bad
    return Checked(ids=subject.dataset.ids, failed=failed, details=tuple(details))


def _forms(inputs: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """By form, the rows in it; one row where all become the same."""
    if kind == "image":
        contrast = np.where(inputs > 127, 255, 0).astype(np.uint8)
        return {"black": inputs[:1] * 0, "at full contrast": contrast, "inverted": 255 - inputs}
    if kind == "numeric":
        with np.errstate(over="ignore"):
            limits = np.finfo(np.float32)
            large = np.clip(inputs * FACTOR, limits.min, limits.max)
        return {"set to zero": inputs[:1] * 0, "times a million": large}
    texts = inputs.tolist()
    letters = str.maketrans({chr(97 + i): RARE[i % len(RARE)] for i in range(26)})
    forms = {
        "emptied": [""],
        "repeated": [" ".join([text] * REPEATS) for text in texts],
        "in rare letters": [text.lower().translate(letters) for text in texts],
    }
    return {form: np.array(rows, TEXT) for form, rows in forms.items()}


def _sound(model: Opened, rows: np.ndarray, batch: int) -> np.ndarray:
    """(n,) bool: rows with a finite output; where a call fails, its rows are asked alone."""
    found = np.ones(len(rows), dtype=bool)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        try:
            found[start : start + batch] = np.isfinite(model.one_call(part)).all(axis=1)
        except CRASHES:
            if len(part) == 1:
                found[start] = False
            else:
                found[start : start + batch] = _sound(model, part, 1)
    return found
