"""What confidence is worth: temperatures, reliability and abstention, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from surefoot import stats
from surefoot.core.confidence import Calibrated, Calibration, Temperature
from surefoot.core.dataset import Dataset, Examples, Task
from surefoot.core.errors import DataError
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Cell, place
from surefoot.core.progress import Progress, Silent
from surefoot.evaluate.calibration.looks import looked
from surefoot.evaluate.calibration.reliability import LEVEL, Rows, Seen
from surefoot.store import Store

FEW_ROWS = 50
"""With fewer calibration rows a temperature is not to be trusted."""
WORTH_SAYING = 0.01
"""A calibration error that rose by less is no news, however sure the rise is."""


def beside_tests(task: Task) -> dict[str, Dataset]:
    """The sets of a task that are measured beside its test sets, by name."""
    found = {"calibration": task.calibration, "out_of_scope": task.out_of_scope}
    return {
        name: dataset for name, dataset in found.items() if dataset is not None and len(dataset)
    }


def fit_temperature(
    scores: np.ndarray, labels: np.ndarray, *, groups: np.ndarray | None = None
) -> Temperature:
    """Fit the temperature that calibration rows ask for, and say how far to trust it.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks".

    Args:
        scores: (n, classes) probabilities of rows that the model did not learn from.
        labels: (n,) class indices.
        groups: (n,) which cluster a row belongs to; None when rows are independent.

    Returns:
        The temperature, for `apply_temperature`; 1 where the rows do not tell one.
    """
    note = _untold(scores, labels)
    if note:
        return _unfitted(note, len(labels))
    try:
        found = stats.temperature_interval(scores, labels, groups=groups, level=LEVEL)
    except DataError as error:
        return _unfitted(str(error), len(labels))
    value = float(found.value)
    if value == 0:
        return _unfitted(
            "the answers are right so often that no temperature is too low", len(labels)
        )
    if np.isinf(value):
        return _unfitted("confidence says nothing of which answers are right", len(labels))
    low, high = float(found.low), float(found.high)
    estimate = Estimate(
        value=value, low=low, high=high, level=LEVEL, method="generalised score", n=len(labels)
    )
    return Temperature(estimate=estimate, note=_doubt(scores, labels))


def apply_temperature(scores: np.ndarray, temperature: Temperature) -> np.ndarray:
    """The probabilities of a model at its temperature; the answers stay as they are.

    Args:
        scores: (n, classes) probabilities.
        temperature: What `fit_temperature` returned.

    Returns:
        (n, classes) float64 probabilities.
    """
    return stats.apply_temperature(scores, temperature.estimate.value)


def calibration_evidence(
    cells: Mapping[str, Sequence[Cell]],
    sets: Mapping[str, Examples],
    beside: Mapping[str, Sequence[Cell]],
    others: Mapping[str, Dataset],
    store: Store,
    progress: Progress | None = None,
) -> Calibration:
    """What the confidence of each candidate is worth on every test set; what is kept is not redone.

    Args:
        cells: The cells of each candidate, the baseline first, in the order of `sets`.
        sets: The test sets, as they came and under shifts; they give the groups.
        beside: The cells of each candidate on the sets of `beside_tests`, in their order.
        others: The sets of `beside_tests`.
        store: Where finished looks are kept.
        progress: Told of every cell.

    Returns:
        Temperatures, figures before and after them, and warnings.
    """
    watch, own, outside = (
        progress or Silent(),
        others.get("calibration"),
        others.get("out_of_scope"),
    )
    watch.start("calibration", sum(map(len, cells.values())))
    temperatures = {name: _unfitted("no calibration rows", 0) for name in cells}
    seen: dict[str, list[_Pair]] = {name: [] for name in cells}
    for name, filled in cells.items():
        also = dict(zip(others, beside[name], strict=True))
        if own is not None:
            found = also["calibration"]
            temperatures[name] = fit_temperature(found.scores, found.labels, groups=_codes(own))
        for cell, dataset in zip(filled, sets.values(), strict=True):
            rows = Rows(
                scores=cell.scores,
                labels=cell.labels,
                groups=_codes(dataset),
                strangers=None if outside is None else also["out_of_scope"].scores,
                their_groups=None if outside is None else _codes(outside),
            )
            seen[name].append(_before_and_after(cell, rows, temperatures[name], store))
            watch.advance()
    doubts = (
        f"temperature of {name}: {temperature.note}"
        for name, temperature in temperatures.items()
        if temperature.note and own is not None
    )
    return Calibration(
        rows=0 if own is None else len(own),
        temperatures=temperatures,
        places=tuple(found for pairs in seen.values() for found, _ in pairs),
        warnings=(*doubts, *_worse(seen)),
    )


_Pair = tuple[Calibrated, Seen]
"""One candidate in one place, and what was seen of its probabilities as they came."""


def _before_and_after(cell: Cell, rows: Rows, temperature: Temperature, store: Store) -> _Pair:
    before, after = looked(rows, 1.0, store), None
    if temperature.fitted:
        after = looked(rows, temperature.estimate.value, store).reliability
    found = Calibrated(
        candidate=cell.candidate,
        dataset=cell.dataset,
        shift=cell.shift,
        severity=cell.severity,
        before=before.reliability,
        after=after,
    )
    return found, before


def _worse(seen: Mapping[str, Sequence[_Pair]]) -> Iterator[str]:
    """Where a candidate's calibration error is above the baseline's by more than chance.

    The same draws reweighted the rows of both, so that the difference of their replicates is a
    paired bootstrap. All comparisons of a run share 5 % (Bonferroni), and a rise has to matter.
    """
    from scipy.special import ndtri

    baseline, *others = seen.values()
    count = len(others) * len(baseline)
    for theirs in others:
        found = []
        for (_, one), (new, other) in zip(baseline, theirs, strict=True):
            if one.error is None or other.error is None:
                continue
            rise = float(other.error.value - one.error.value)
            spread = float((other.error.replicates - one.error.replicates).std())
            chance = float(ndtri(1 - (1 - LEVEL) / count)) * spread
            if rise > max(chance, WORTH_SAYING):
                where = place(new.dataset, new.shift, new.severity, None)
                figures = f"{float(other.error.value):.3f} against {float(one.error.value):.3f}"
                found.append((rise, f"{where}: ece {figures}"))
        if found:
            several = f" in {len(found)} places, most" if len(found) > 1 else ""
            name, other_name = theirs[0][0].candidate, baseline[0][0].candidate
            yield f"{name} is worse calibrated than {other_name}{several} on {max(found)[1]}"


def _untold(scores: np.ndarray, labels: np.ndarray) -> str:
    """Why rows cannot tell a temperature, whatever the method."""
    if len(np.unique(labels)) < 2:
        return f"the {len(labels)} calibration rows are of one class only"
    if np.isin(scores, (0, 1)).all():
        return "the probabilities are all 0 or 1, which no temperature changes"
    return ""


def _doubt(scores: np.ndarray, labels: np.ndarray) -> str:
    """Why a temperature is not to be trusted, if it is not."""
    found, zeros = [], int((scores[np.arange(len(labels)), labels] == 0).sum())
    if len(labels) < FEW_ROWS:
        found.append(f"{len(labels)} calibration rows are too few to trust it")
    if zeros:
        found.append(
            f"{zeros} calibration rows give the right class a probability of 0, and it hangs on"
            " what that counts as"
        )
    return "; ".join(found)


def _unfitted(note: str, rows: int) -> Temperature:
    estimate = Estimate(value=1.0, low=0.0, high=np.inf, level=LEVEL, method="none", n=rows)
    return Temperature(estimate=estimate, fitted=False, note=note)


def _codes(dataset: Examples) -> np.ndarray | None:
    return None if dataset.groups is None else np.unique(dataset.groups, return_inverse=True)[1]
