"""Severity by severity: what is said of a crossing that is known exactly, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from surefoot import stats
from surefoot.evaluate.envelope.severity import (
    FIRST,
    SEVERITIES,
    Asked,
    Order,
    can_decide,
    in_random_order,
    probe_severity,
)
from surefoot.store import Store

MARGIN, LAST = 0.05, len(SEVERITIES) - 1
ALPHA = 0.05 / stats.probes_needed(LAST)


def model(rng, rows, slope, group=None):
    """Right on four fifths of all rows, `slope` fewer per unit of severity, and some swapped.

    The drop is `slope` times the severity exactly, in the world that the rows are drawn from.
    """
    skill = rng.random(rows) if group is None else rng.random(group.max() + 1)[group]
    swapped = rng.random(rows) < 0.1
    luck = rng.random(rows) < 0.8

    def right(severity, chosen):
        able = skill < 0.8 - slope * severity
        return np.where(swapped, luck & (skill < 1 - slope * severity / 0.8), able)[chosen]

    return right(0.0, np.arange(rows)), right


def crossing(before, right, order, alpha=ALPHA):
    asked = []

    def decide(point):
        probe = probe_severity(right, float(SEVERITIES[point]), before, order, (MARGIN, alpha))
        asked.append(probe.n)
        return probe.side

    found = stats.bracket(decide, LAST)
    ends = (found.holds_to, found.fails_at)
    return *(None if end is None else float(SEVERITIES[end]) for end in ends), sum(asked)


@pytest.mark.parametrize(
    ("slope", "rows"),
    [
        (0.05, 400),
        pytest.param(0.02, 800, marks=pytest.mark.slow),
        pytest.param(0.012, 800, marks=pytest.mark.slow),
    ],
)
def test_the_crossing_lies_inside_as_often_as_stated(slope, rows):
    """500 data sets; the true crossing is where slope times severity is the margin."""
    truth, inside, asked = MARGIN / slope, 0, 0
    rng = np.random.default_rng(round(1000 * slope))
    for _ in range(500):
        before, right = model(rng, rows, slope)
        order = Order(rows=rng.permutation(rows), ends=np.arange(1, rows + 1))
        holds, fails, cost = crossing(before, right, order)
        # Up to the margin itself a model holds: the crossing is the last severity that does.
        inside += (holds is None or holds <= truth) and (fails is None or truth < fails)
        asked += cost
    assert inside / 500 >= 0.95
    assert asked / 500 < 0.3 * LAST * rows


def test_rows_of_one_group_count_as_one():
    """Ten rows of a group that fall together: taken for independent they are sure of too much."""
    truth, rng, lost = MARGIN / 0.02, np.random.default_rng(7), {"groups": 0, "rows": 0}
    for _ in range(150):
        group = np.repeat(np.arange(60), 10)
        before, right = model(rng, 600, 0.02, group)
        shuffled = rng.permutation(60)
        together = np.concatenate([np.flatnonzero(group == g) for g in shuffled])
        orders = {
            "groups": Order(rows=together, ends=np.arange(10, 601, 10)),
            "rows": Order(rows=rng.permutation(600), ends=np.arange(1, 601)),
        }
        for name, order in orders.items():
            holds, fails, _ = crossing(before, right, order, alpha=0.05)
            lost[name] += (holds or 0) > truth or (fails or 9) <= truth
    assert lost["groups"] / 150 <= 0.05
    assert lost["rows"] / 150 > 0.15


def test_a_steep_fall_is_found_closely_and_few_rows_are_asked():
    rng, rows = np.random.default_rng(8), 20_000
    before, right = model(rng, rows, 0.08)
    order = Order(rows=rng.permutation(rows), ends=np.arange(1, rows + 1))
    holds, fails, asked = crossing(before, right, order)
    assert holds <= MARGIN / 0.08 < fails
    assert fails - holds <= 0.3
    assert asked < 0.06 * LAST * rows


def test_a_model_that_never_falls_holds_to_the_end_and_one_that_always_does_nowhere():
    rng, order = np.random.default_rng(9), Order(rows=np.arange(900), ends=np.arange(1, 901))
    before, right = model(rng, 900, 0.0)
    assert crossing(before, right, order)[:2] == (5.0, None)
    assert crossing(before, lambda _, rows: ~before[rows], order)[:2] == (None, 0.0)


def test_the_drop_and_the_rows_are_what_a_count_gives():
    before, order = np.ones(300, bool), Order(rows=np.arange(300)[::-1], ends=np.arange(1, 301))
    seen = []

    def right(severity, rows):
        assert severity == 2.5
        seen.append(rows)
        return rows % 2 == 0

    probe = probe_severity(right, 2.5, before, order, (MARGIN, ALPHA))
    assert (probe.side, probe.at, probe.n, probe.value) == ("fails", 2.5, FIRST, 0.5)
    assert seen[0].tolist() == list(range(299, 299 - FIRST, -1))


def test_every_row_is_asked_once_where_nothing_can_be_shown():
    before, order = np.ones(500, bool), Order(rows=np.arange(500), ends=np.arange(1, 501))
    seen = []

    def right(_, rows):
        seen.extend(rows.tolist())
        return rows % 20 != 0

    probe = probe_severity(right, 1.0, before, order, (MARGIN, ALPHA))
    assert (probe.side, probe.n, probe.value) == ("undecided", 500, pytest.approx(0.05))
    assert seen == list(range(500))


@pytest.mark.parametrize("rows", [1, FIRST, FIRST + 1, 1_000])
def test_the_looks_cover_all_rows_without_a_gap(rows):
    order = Order(rows=np.arange(rows), ends=np.arange(1, rows + 1))
    looks = list(order.looks())
    assert [first for first, _ in looks] == [0, *(upto for _, upto in looks[:-1])]
    assert looks[-1][1] == rows
    assert looks[0][1] == min(rows, FIRST)


def test_groups_are_never_split(tree_set):
    groups = np.array([f"g{i % 37}" for i in range(500)], np.dtypes.StringDType())
    order = in_random_order(tree_set(500, groups=groups))
    assert sorted(order.rows.tolist()) == list(range(500))
    parts = np.split(groups[order.rows], order.ends[:-1])
    assert len(parts) == 37
    assert all(len(set(part.tolist())) == 1 for part in parts)
    assert len({part[0] for part in parts}) == 37


def test_too_few_rows_are_known_before_one_is_asked():
    def order(rows, group=1):
        return Order(rows=np.arange(rows), ends=np.arange(group, rows + 1, group))

    assert not can_decide(order(100), (MARGIN, ALPHA))
    assert can_decide(order(300), (MARGIN, ALPHA))
    assert not can_decide(order(300, group=10), (MARGIN, ALPHA))
    held = [can_decide(order(rows), (MARGIN, ALPHA)) for rows in range(90, 300)]
    fewest = 90 + held.index(True)
    before = np.ones(fewest, bool)
    everything = (lambda _, rows: np.ones(len(rows), bool), 1.0, before)
    assert probe_severity(*everything, order(fewest), (MARGIN, ALPHA)).side == "holds"
    less = (lambda _, rows: np.ones(len(rows), bool), 1.0, before[1:])
    assert probe_severity(*less, order(fewest - 1), (MARGIN, ALPHA)).side == "undecided"


@pytest.fixture
def asked(tree_set, candidate, answers, tmp_path):
    """Makes a candidate that can be asked, with the labels that it gives to rows as they came."""
    one, dataset = candidate(), tree_set(300)
    dataset = replace(dataset, labels=answers(one, dataset.inputs).argmax(axis=1))
    plain = np.ones(300, bool)

    def make(store=None, shift="unit_slip"):
        return Asked(one, dataset, shift, plain, store or Store(tmp_path / "run"), 32)

    return make


def test_more_severity_adds_to_less(asked):
    with asked() as one:
        rows = np.arange(300)
        right = [one.right(severity, rows) for severity in (0.0, 1.0, 3.0, 5.0)]
    shares = [float(r.mean()) for r in right]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.97


def test_what_was_asked_is_kept_and_not_asked_again(asked, tmp_path):
    rows = np.arange(40, 120)
    with asked() as one:
        first = one.right(2.0, rows)
    kept = list((tmp_path / "run" / "envelope").iterdir())
    assert len(kept) == 1
    with asked() as again:
        assert (again.right(2.0, rows) == first).all()
        assert again._predict is None  # the model was not even opened
        again.right(5.0, rows)
        again.right(2.0, rows[:-1])
    assert len(list((tmp_path / "run" / "envelope").iterdir())) == 3


def test_pieces_have_slips_of_their_own(asked, tree_set):
    """Else the first row of every piece had the same slip, and rows would not be independent."""
    with asked() as one:
        wrong = [~one.right(5.0, np.arange(start, start + 100)) for start in (0, 100, 200)]
    assert all(part.any() for part in wrong)
    assert not (wrong[0] == wrong[1]).all()
