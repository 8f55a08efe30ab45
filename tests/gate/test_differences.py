"""Differences in every place, with intervals that hold on their own."""

from __future__ import annotations

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.evidence import ConfirmationEvidence, Evidence, Paired
from surefoot.gate import differences


def paired(candidate="small", *, lost=12, won=5, n=400, **more):
    fields = {"metric": "accuracy", "slice": None, "other": 1, "baseline": 0.9}
    value = 0.9 + (won - lost) / n
    return Paired(
        candidate=candidate, dataset="main", n=n, lost=lost, won=won,
        **(fields | {"value": value} | more),
    )  # fmt: skip


def evidence(*places):
    names = tuple(dict.fromkeys(p.candidate for p in places))
    return ConfirmationEvidence(Evidence(baseline="big", candidates=names, paired=places))


def test_counts_give_tangos_interval_in_the_order_of_the_places():
    places = paired(), paired("tiny", lost=40, won=2), paired(slice="short", lost=0, won=0, n=50)
    found = differences(evidence(*places))
    for place, estimate in zip(places, found, strict=True):
        expected = stats.paired_proportions(place.lost, place.won, place.n, level=0.95)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
            (float(expected.value), float(expected.low), float(expected.high))
        )
        assert (estimate.n, estimate.level) == (place.n, 0.95)


def test_a_metric_that_falls_keeps_its_sign():
    rows = np.random.default_rng(0).normal(0.1, 0.02, 200)
    place = paired(
        metric="log_loss", higher_is_better=False, difference=rows, n=200, value=0.4, baseline=0.3
    )
    (found,) = differences(evidence(place))
    assert found.low < rows.mean() < found.high
    assert found.value == pytest.approx(rows.mean())
    assert found.low > 0


def test_rows_in_groups_have_a_wider_interval():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 10)
    rows = np.repeat(rng.choice([-1.0, 0.0, 0.0, 0.0, 1.0], 40), 10)
    lost, won = int((rows < 0).sum()), int((rows > 0).sum())
    alone = paired(lost=lost, won=won)
    together = paired("other", lost=lost, won=won, difference=rows, groups=groups, share=True)
    one, two = differences(evidence(alone, together))
    assert two.high - two.low > 1.5 * (one.high - one.low)


def test_what_cannot_be_computed_is_none():
    assert differences(evidence(paired(note="no positive rows"), paired("b")))[0] is None
    assert differences(evidence()) == []
