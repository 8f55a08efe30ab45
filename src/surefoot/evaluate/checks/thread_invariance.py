"""Whether an answer depends on the number of threads."""

import numpy as np

from surefoot.core.checks import Checked, Subject
from surefoot.evaluate.checks._common import changed

INPUTS = ("text", "image", "numeric")


def thread_invariance(subject: Subject, rng: np.random.Generator, *, batch: int = 32) -> Checked:
    """The same calls on one thread and on all of them: the answer must stay.

    Sums in another order round otherwise, so that probabilities may differ in their last digits;
    a row fails if its answer does.

    Args:
        subject: The model and the rows.
        rng: Not used.
        batch: Rows a call.
    """
    inputs, threads = subject.dataset.inputs, max(2, subject.threads)
    found = []
    for count in (1, threads):
        with subject.reopened(count) as model:
            found.append(model.predict(inputs, batch=batch))
    one, many = found
    return changed(subject.dataset.ids, subject.classes, one, {f"on {threads} threads": many})
