"""Whether a model file still gives what it gave when it was made."""

import numpy as np

from surefoot.core.checks import Checked, Subject
from surefoot.evaluate.checks._common import TEXT, furthest

INPUTS = ("text", "image", "numeric")
EXACT = True


def golden(subject: Subject, rng: np.random.Generator) -> Checked:
    """The golden vectors beside the weights must still hold, alone and together.

    A row fails if a probability moved by more than rounding explains, on one thread or on all,
    alone or in one call with the other golden rows.

    Args:
        subject: The model and its golden vectors.
        rng: Not used.
    """
    known = subject.golden
    if known is None or not len(known.inputs):
        nothing = np.zeros(0, dtype=bool)
        return Checked(
            ids=np.array([], TEXT), failed=nothing, details=(), note="the model has none"
        )
    failed = np.zeros(len(known.inputs), dtype=bool)
    details, largest = [""] * len(failed), 0.0
    for threads in dict.fromkeys((1, subject.threads)):
        with subject.reopened(threads) as model:
            for batch, how in ((1, "alone"), (len(failed), "together")):
                found = model.predict(known.inputs, batch=batch)
                broken = known.broken(found)
                for row in np.flatnonzero(broken & ~failed).tolist():
                    far = furthest(known.probabilities[row : row + 1], found[row : row + 1])
                    details[row] = f"moved by {far:.3g}, asked {how} on {threads} threads"
                failed |= broken
                largest = max(largest, furthest(known.probabilities, found))
    ids = np.array([f"golden-{i}" for i in range(len(failed))], TEXT)
    return Checked(ids=ids, failed=failed, details=tuple(details), largest=largest)
