"""Whether a model's confidence tells which rows it was trained on."""

import numpy as np

from surefoot.core.checks import Checked, Opened, Subject
from surefoot.core.dataset import Dataset
from surefoot.evaluate.checks._common import TEXT, halves

INPUTS = ("text", "image", "numeric")
NEEDS_TRAIN = True


def membership(
    subject: Subject, rng: np.random.Generator, *, dataset: str | None = None
) -> Checked:
    """How often the confidence in the right class tells training rows from test rows; 0.5 is best.

    A threshold on it is fitted on half of the rows and guesses the other half, as many of either
    kind: a row fails if it is guessed right, so that 0.5 means that nothing leaks this way. The
    test rows must be of the same source as the training rows, or else what is told apart is the
    source; name such a set. Other attacks may tell more. Source: Yeom et al. (2018), "Privacy risk
    in machine learning: analyzing the connection to overfitting".

    Args:
        subject: The model, test rows and training rows.
        rng: The halves.
        dataset: The test set of the same source as the training rows; all of them by default.
    """
    assert subject.train is not None
    chosen = np.ones(len(subject.sets), dtype=bool) if dataset is None else subject.sets == dataset
    parts = [(subject.train, True), (subject.dataset.rows(np.flatnonzero(chosen)), False)]
    fitted, judged = [], []
    for rows, member in parts:
        sure = _confidence(subject.model, rows)
        first, second = (rng.permutation(half) for half in halves(rows, rng))
        fitted.append(sure[first])
        judged.append((rows.ids[second], sure[second], member))
    threshold = _threshold(*fitted)
    # As many of either kind, so that guessing always the same is right for half of them.
    count = min(len(ids) for ids, _, _ in judged)
    sure = np.concatenate([values[:count] for _, values, _ in judged])
    members = np.repeat([member for _, _, member in judged], count)
    right = (sure >= threshold) == members
    kinds = ("a test row", "a training row")
    details = [
        f"guessed right as {kinds[int(member)]}: confidence {value:.3f}" if good else ""
        for good, member, value in zip(right.tolist(), members.tolist(), sure.tolist(), strict=True)
    ]
    ids = np.concatenate([np.array(ids[:count], TEXT) for ids, _, _ in judged])
    note = f"a confidence of {threshold:.3f} or more was taken for a training row"
    return Checked(ids=ids, failed=right, details=tuple(details), note=note)


def _confidence(model: Opened, rows: Dataset) -> np.ndarray:
    """(n,) the probability of the right class; 0 where it is not finite."""
    scores = model.predict(rows.inputs)
    return np.asarray(np.nan_to_num(scores[np.arange(len(rows)), rows.labels], nan=0.0))


def _threshold(members: np.ndarray, others: np.ndarray) -> float:
    """The confidence from which on most rows of either kind are guessed right."""
    if not len(members) or not len(others):
        return 1.0
    values = np.unique(np.concatenate([members, others]))
    limits = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    caught = 1 - np.searchsorted(np.sort(members), limits) / len(members)
    spared = np.searchsorted(np.sort(others), limits) / len(others)
    return float(limits[int(np.argmax(caught + spared))])
