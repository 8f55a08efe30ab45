"""Whether a model keeps its head when it is given what no test set holds."""

import numpy as np

from surefoot.core.checks import CRASHES, Checked, Opened, Subject
from surefoot.evaluate.checks._common import TEXT

INPUTS = ("text", "image", "numeric")
EXACT = True
MATES = 7
COLUMNS = 100
"""Columns of which one alone is missing in turn, at most."""
TEXTS = {
    "empty": "",
    "blanks": " \t\n \u00a0",
    "emoji": "\U0001f600\U0001f62d\U0001f525\U0001f389",
    "very long": "word " * 20_000,
    "one long word": "a" * 20_000,
    "unknown script": "\u16a0\u16b1\u16a8 \u2c32\u2c35 \ua66e \U00010400\U00010428",
    "control characters": "\x01\x07\x1b[31m\x7f\u200b\ufeff",
    "stacked accents": "a" + "\u0301\u0323\u0308" * 60,
    "right to left": "\u202eabc\u202c \u05e9\u05dc\u05d5\u05dd",
    "digits": "0123456789 " * 20,
    "punctuation": "!?.,;:()[]{}<>/\\|@#$%^&*~`'\"" * 5,
    "markup": "<html><body onload='x()'>&amp;</body></html>",
    "special tokens": "[CLS] [SEP] [MASK] [PAD] <s> </s> <unk> <|endoftext|>",
}


def odd_inputs(subject: Subject, rng: np.random.Generator) -> Checked:
    """Empty, endless, unreadable or impossible inputs must get a finite answer, the same twice.

    A fixed list for each kind of input. An input fails if the model crashes on it, gives no finite
    output, gives another one the second time, or spoils the outputs of ordinary rows in its call.
    NaN and infinite numbers are on the list: a model that cannot take missing values fails there,
    and whoever feeds it has to fill them first.

    Args:
        subject: The model and ordinary rows.
        rng: The pixels of the noise.
    """
    odd = _odd(subject, rng)
    mates = subject.dataset.inputs[:MATES]
    details = [_complaint(subject.model, rows, mates) for rows in odd.values()]
    return Checked(
        ids=np.array(list(odd), TEXT),
        failed=np.array([bool(line) for line in details]),
        details=tuple(details),
    )


def _odd(subject: Subject, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """By name, odd inputs of one row each."""
    inputs = subject.dataset.inputs
    if subject.kind == "text":
        return {name: np.array([text], TEXT) for name, text in TEXTS.items()}
    shape = (1, *inputs.shape[1:])
    if subject.kind == "image":
        board = np.indices(shape).sum(axis=0) % 2 * 255
        noise = rng.integers(0, 256, shape)
        pictures = {"black": np.zeros(shape), "white": np.full(shape, 255)}
        pictures |= {"chequered": board, "noise": noise}
        return {name: picture.astype(np.uint8) for name, picture in pictures.items()}
    limits = np.finfo(np.float32)
    values = {"zeros": 0, "largest": limits.max, "smallest": limits.min, "tiny": limits.tiny}
    values |= {"missing": np.nan, "infinite": np.inf}
    rows = {name: np.full(shape, value, np.float32) for name, value in values.items()}
    for column in range(min(shape[1], COLUMNS) if len(inputs) else 0):
        one = inputs[:1].copy()
        one[0, column] = np.nan
        rows[f"column {column} missing"] = one
    return rows


def _complaint(model: Opened, rows: np.ndarray, mates: np.ndarray) -> str:
    """What is wrong with the answer to one odd row; nothing where all is well."""
    try:
        once, again = model.one_call(rows), model.one_call(rows)
        beside = model.one_call(np.concatenate([mates, rows]))
    except CRASHES as error:
        return f"crashes: {str(error).partition(chr(10))[0] or type(error).__name__}"
    if not np.isfinite(once).all():
        return "no finite output"
    if not np.array_equal(once, again):
        return "another output the second time"
    if not np.isfinite(beside).all():
        return "no finite output for the rows in its call"
    return ""
