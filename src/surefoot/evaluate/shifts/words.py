"""Words that are missing or stand there twice."""

import re

import numpy as np

INPUT = "text"
RATE = 0.03
KEPT = re.compile(
    r"(?<![^\W_])(?:not?|never|none|nothing|nobody|nowhere|nor|neither|without|hardly|cannot"
    r"|(?:ai|are|ca|could|did|do|does|had|has|have|is|should|was|were|wo|would)nt)(?![^\W_])"
    r"|n['\u2019]t",
    re.IGNORECASE,
)
"""Words that turn a meaning round, and therefore stay as they are."""
LITTLE = re.compile(
    r"a|an|the|of|to|in|on|at|and|is|are|was|were|be|been|am|its?|this|that|these|those|i|you|he|she"
    r"|we|they|my|your|his|her|our|their",
    re.IGNORECASE,
)
"""Words that can be missing and are understood; every other one is only ever doubled."""


def words(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Words that are missing or stand there twice, as in hasty writing.

    About 3 % of the words per unit of severity. Only little English words (the, of, is) go missing,
    never the one that a label hangs on; negations are not touched at all, and a text never loses
    its last word, so that what it says, and the label, stay the same.

    Args:
        inputs: (n,) texts.
        rng: Which words.
        severity: 0 (none) to 5 (15 %).
    """
    found = [_changed(text, rng, RATE * severity) for text in inputs.tolist()]
    return np.array(found, dtype=inputs.dtype)


def _changed(text: str, rng: np.random.Generator, rate: float) -> str:
    parts = re.split(r"(\s+)", text)
    chances, ways = rng.random((2, len(parts)))
    last = len(parts) - 1
    for at in range(0, len(parts), 2):
        if chances[at] >= rate or not parts[at] or KEPT.search(parts[at]):
            continue
        if at < last and ways[at] < 0.5 and LITTLE.fullmatch(parts[at]):
            parts[at] = parts[at + 1] = ""
        else:
            parts[at] = f"{parts[at]} {parts[at]}"
    return "".join(parts)
