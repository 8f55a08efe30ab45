"""Whether the same calls give the same answers when a model is opened again."""

from dataclasses import replace

import numpy as np

from surefoot.core.checks import Checked, Subject
from surefoot.evaluate.checks._common import changed

INPUTS = ("text", "image", "numeric")


def determinism(subject: Subject, rng: np.random.Generator, *, batch: int = 32) -> Checked:
    """The same calls in two fresh openings of the model: the answer must stay.

    A row fails if its answer differs; the note counts rows that differ in any bit.

    Args:
        subject: The model and the rows.
        rng: Not used.
        batch: Rows a call.
    """
    inputs, found = subject.dataset.inputs, []
    for _ in range(2):
        with subject.reopened(subject.threads) as model:
            found.append(model.predict(inputs, batch=batch))
    once, again = found
    checked = changed(subject.dataset.ids, subject.classes, once, {"when opened again": again})
    bits = int((once.view(np.uint32) != again.view(np.uint32)).any(axis=1).sum())
    return replace(checked, note=f"{bits} rows differ in some bit")
