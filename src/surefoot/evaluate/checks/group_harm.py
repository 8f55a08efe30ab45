"""Whether compression costs some class or slice more right answers than it seems."""

import numpy as np

from surefoot.core.checks import Checked, Subject
from surefoot.core.dataset import Dataset
from surefoot.evaluate.checks._common import halves

INPUTS = ("text", "image", "numeric")
FEWEST = 20
"""With fewer rows in the half that it is chosen on, a group is not looked at."""


def group_harm(subject: Subject, rng: np.random.Generator) -> Checked:
    """The share of right answers lost in the class or slice that compression harms most.

    It is chosen on one half of the rows and measured on the other, so that the choice does not
    flatter the figure or blacken it. A row of the group fails if the baseline has it right and the
    candidate wrong. Source: Hooker et al. (2020), "Characterising bias in compressed models".

    Args:
        subject: The answers of the candidate and the baseline.
        rng: The halves.
    """
    rows, labels = subject.dataset, subject.dataset.labels
    right, before = (s.argmax(axis=1) == labels for s in (subject.scores, subject.baseline_scores))
    lost = before & ~right
    first, second = halves(rows, rng)
    rates = {
        name: float(lost[first][mask[first]].mean())
        for name, mask in _groups(rows).items()
        if mask[first].sum() >= FEWEST and mask[second].any()
    }
    if not rates:
        none = np.zeros(0, dtype=bool)
        note = f"no class or slice has {FEWEST} rows to choose on"
        return Checked(ids=rows.ids[:0], failed=none, details=(), note=note)
    worst = max(rates, key=rates.__getitem__)
    judged = second[_groups(rows)[worst][second]]
    failed = lost[judged]
    share, all_lost = rates[worst], float(lost.mean())
    return Checked(
        ids=rows.ids[judged],
        failed=failed,
        details=tuple("right before, wrong now" if bad else "" for bad in failed.tolist()),
        note=f"{worst}, which lost {share:.1%} where it was chosen; all rows {all_lost:.1%}",
    )


def _groups(rows: Dataset) -> dict[str, np.ndarray]:
    """Classes and declared slices, each as a mask over the rows."""
    classes = {f"class {name}": rows.labels == i for i, name in enumerate(rows.classes)}
    return classes | {f"slice {name}": mask for name, mask in rows.slices.items()}
