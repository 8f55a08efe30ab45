"""Slices that nobody declared: found in one half, asked of the other."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot.bundle.encode import encode
from surefoot.core.dataset import Dataset
from surefoot.core.evidence import Cell
from surefoot.core.plan import SliceSearchPlan
from surefoot.evaluate import find_slices
from surefoot.report.slices import found_lines

T = np.dtypes.StringDType()
LOSS, GAIN, MORE = 0.03, 0.02, 0.10


def made(rng, where=None, *, n=2000, groups=None, name="main"):
    """2,000 rows of six numbers and two declared slices; in `where` 10 points more are lost."""
    inputs = rng.standard_normal((n, 6)).astype(np.float32)
    halves = rng.random((2, n)) < 0.45
    data = Dataset(
        name=name,
        ids=np.array([f"{value}" for value in rng.integers(2**60, size=n)], T),
        inputs=inputs,
        labels=rng.integers(0, 2, n),
        classes=("a", "b"),
        slices={"left": halves[0], "upper": halves[1]},
        groups=groups,
    )
    planted = np.zeros(n, bool) if where is None else where(data)
    right = rng.random(n) < 0.9
    turned = np.where(right, (LOSS + MORE * planted) / 0.9, GAIN / 0.1)
    before = np.where(right, data.labels, 1 - data.labels)
    after = np.where(rng.random(n) < turned, 1 - before, before)
    cells = [cell(data, "base", before), cell(data, "lean", after)]
    return data, cells, planted


def cell(data, candidate, predicted):
    return Cell(
        candidate=candidate, dataset=data.name, ids=data.ids, labels=data.labels,
        predicted=predicted, scores=np.zeros((len(data), 2), np.float32),
    )  # fmt: skip


def fifth(data):
    """The lowest fifth of a column: a slice that no condition hits exactly."""
    return data.inputs[:, 0] < np.quantile(data.inputs[:, 0], 0.2)


def both(data):
    """Two conditions at once: 0.45 squared is a fifth."""
    return data.slices["left"] & data.slices["upper"]


def search(made_, settings=None):
    data, cells, _ = made_
    return find_slices(cells, {data.name: data}, settings or SliceSearchPlan())


def share(runs, where, seed, *, names=()):
    """How often a slice is confirmed; with names, one about these."""
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(runs):
        found = search(made(rng, where)).slices
        hits += any(one.confirmed and all(name in one.slice for name in names) for one in found)
    return hits / runs


def test_where_nothing_is_to_be_found_next_to_nothing_is_confirmed():
    assert share(40, None, 0) <= 0.05


@pytest.mark.parametrize(
    ("where", "names"), [(fifth, ["column 1"]), (both, ["left", "upper"])], ids=["fifth", "both"]
)
def test_a_planted_slice_is_found_and_confirmed(where, names):
    assert share(15, where, 1, names=names) >= 0.8


@pytest.mark.slow
def test_of_500_runs_without_a_slice_at_most_5_percent_confirm_one():
    assert share(500, None, 2) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("where", "names"), [(fifth, ["column 1"]), (both, ["left", "upper"])])
def test_of_200_runs_with_one_at_least_80_percent_confirm_it(where, names):
    assert share(200, where, 3, names=names) >= 0.8


def test_what_is_found_is_told_in_numbers_that_add_up():
    data, cells, planted = made(np.random.default_rng(4), both)
    found = find_slices(cells, {"main": data}, SliceSearchPlan())
    (first, *_) = found.slices
    assert (first.candidate, first.dataset, first.confirmed) == ("lean", "main", True)
    assert first.slice == "left and upper"
    assert first.found.rows + first.held.rows == planted.sum()
    lost = (cells[0].predicted == data.labels) & (cells[1].predicted != data.labels)
    won = (cells[0].predicted != data.labels) & (cells[1].predicted == data.labels)
    assert first.found.lost + first.held.lost == (lost & planted).sum()
    assert first.found.won + first.held.won == (won & planted).sum()
    assert first.held.elsewhere < 0.08
    assert [s.p_adjusted for s in found.slices] == sorted(s.p_adjusted for s in found.slices)


def test_depth_and_least_rows_are_kept():
    one = made(np.random.default_rng(5), both)
    shallow = search(one, SliceSearchPlan(depth=1))
    deep = search(one, SliceSearchPlan(depth=3))
    assert shallow.looked_at < search(one).looked_at < deep.looked_at
    assert not any(" and " in s.slice for s in shallow.slices)
    large = search(one, SliceSearchPlan(least_rows=300))
    assert all(min(s.found.rows, s.held.rows) >= 300 for s in large.slices)
    assert search(one, SliceSearchPlan(least_rows=5000)).looked_at == 0


def test_rows_of_a_group_stay_in_one_half_and_count_together():
    """Whole groups have many losses, but no condition has to do with it."""
    rng, confirmed, runs = np.random.default_rng(6), 0, 25
    for _ in range(runs):
        groups = np.array([f"g{i // 25}" for i in range(2000)], T)
        bad = np.repeat(rng.random(80) < 0.2, 25)
        data, cells, _ = made(rng, lambda d, bad=bad: bad, groups=groups)
        noise = np.repeat(rng.standard_normal(80), 25).astype(np.float32)
        data = replace(data, inputs=np.hstack([data.inputs, noise[:, None]]))
        confirmed += any(
            s.confirmed for s in find_slices(cells, {"main": data}, SliceSearchPlan()).slices
        )
    assert confirmed <= 3


def test_the_halves_do_not_depend_on_the_order_of_rows():
    data, cells, _ = made(np.random.default_rng(7), both)
    order = np.random.default_rng(8).permutation(len(data))
    turned = [
        replace(c, ids=c.ids[order], labels=c.labels[order], predicted=c.predicted[order])
        for c in cells
    ]
    again = find_slices(turned, {"main": data.rows(order)}, SliceSearchPlan())
    assert again == find_slices(cells, {"main": data}, SliceSearchPlan())


def test_shifted_cells_and_further_seeds_are_not_looked_at():
    data, cells, _ = made(np.random.default_rng(9))
    bad = np.where(data.inputs[:, 0] < 0, 1 - cells[1].predicted, cells[1].predicted)
    more = [
        replace(cells[0], shift="typos", severity=1.0),
        replace(cells[1], shift="typos", severity=1.0, predicted=bad),
        replace(cells[1], predicted=bad),  # a second seed of the same candidate
    ]
    found = find_slices([*cells, *more], {"main": data}, SliceSearchPlan())
    assert found == find_slices(cells, {"main": data}, SliceSearchPlan())


def test_the_lines_say_what_was_explored_and_what_was_not_confirmed():
    found = search(made(np.random.default_rng(4), both))
    lines = found_lines(json.loads(json.dumps(encode(found))))
    confirmed = sum(s.confirmed for s in found.slices)
    assert lines[0].startswith(
        f"explored, no part of the verdict: {found.looked_at:,} slices were looked at"
    )
    assert f"confirms {confirmed} of them" in lines[0]
    assert len(lines) == 3 + len(found.slices)
    assert lines[3].startswith("confirmed")
    assert sum(line.startswith("not confirmed") for line in lines) == len(found.slices) - confirmed
    assert found_lines(None) == []


def test_nothing_found_is_a_line_of_its_own():
    data, cells, _ = made(np.random.default_rng(10), n=60)
    same = [cells[0], replace(cells[0], candidate="lean")]
    found = find_slices(same, {"main": data}, SliceSearchPlan())
    assert found.slices == ()
    (line,) = found_lines(encode(found))
    assert "0 lost more there" in line
