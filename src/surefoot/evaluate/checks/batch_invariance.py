"""Whether an answer depends on the rows that share its call."""

import numpy as np

from surefoot.core.checks import Checked, Subject
from surefoot.evaluate.checks._common import TEXT, changed

INPUTS = ("text", "image", "numeric")
REPEATS = 40
"""How often the longest text of the sample is repeated, to make a mate that every batch pads to."""


def batch_invariance(subject: Subject, rng: np.random.Generator, *, batch: int = 32) -> Checked:
    """Each row alone, in a batch, among other mates, beside a long one: the answer must stay.

    A row fails if any of them changes its answer. Dynamic int8 takes one scale for all rows of a
    call and fails by design; an attention mask that leaks fails beside the long mate. Source: He
    (2025), "Defeating nondeterminism in LLM inference".

    Args:
        subject: The model and the rows.
        rng: Who shares a call with whom, the second time.
        batch: Rows a call.
    """
    inputs, model = subject.dataset.inputs, subject.model
    order = rng.permutation(len(inputs))
    others = np.empty_like(subject.scores)
    others[order] = model.predict(inputs[order], batch=batch)
    after = {
        f"in a batch of {batch}": model.predict(inputs, batch=batch),
        f"in another batch of {batch}": others,
    }
    if subject.kind == "text" and len(inputs):
        after["beside a very long row"] = _beside_long(subject, batch)
    return changed(subject.dataset.ids, subject.classes, model.predict(inputs, batch=1), after)


def _beside_long(subject: Subject, batch: int) -> np.ndarray:
    inputs = subject.dataset.inputs
    longest = max(inputs.tolist(), key=len) or "long"
    mate = np.array([" ".join([longest] * REPEATS)], TEXT)
    parts = [
        subject.model.one_call(np.concatenate([inputs[start : start + batch - 1], mate]))[:-1]
        for start in range(0, len(inputs), max(batch - 1, 1))
    ]
    return np.concatenate(parts)
