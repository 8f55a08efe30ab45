from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError
from surefoot.data import fingerprint, split

TEXT = np.dtypes.StringDType()
SHARES = {"train": 0.7, "selection": 0.2, "calibration": 0.1}


def dataset(ids, groups=None):
    ids = np.array(list(ids), TEXT)
    return Dataset(
        name="d",
        ids=ids,
        inputs=ids,
        labels=np.zeros(len(ids), np.int64),
        classes=("a",),
        groups=None if groups is None else np.array(list(groups), TEXT),
    )


def part_of(parts):
    return {i: name for name, part in parts.items() for i in part.ids.tolist()}


@given(st.sets(st.text("abc", min_size=1), max_size=30), st.integers(0, 9))
def test_every_row_lands_in_one_part(ids, seed):
    parts = split(dataset(ids), shares=SHARES, seed=seed)
    assert list(parts) == list(SHARES)
    assert sorted(i for part in parts.values() for i in part.ids.tolist()) == sorted(ids)


@given(st.sets(st.text("abc", min_size=1), min_size=2, max_size=30), st.data())
def test_adding_and_moving_rows_moves_no_other_row(ids, data):
    some = data.draw(st.lists(st.sampled_from(sorted(ids)), unique=True))
    whole = part_of(split(dataset(sorted(ids)), shares=SHARES, seed=3))
    assert all(
        whole[i] == name for i, name in part_of(split(dataset(some), shares=SHARES, seed=3)).items()
    )


def test_groups_stay_together():
    groups = [f"g{i % 40}" for i in range(1000)]
    parts = split(dataset(map(str, range(1000)), groups), shares=SHARES, seed=0)
    found = [set(part.groups.tolist()) for part in parts.values()]
    assert sum(map(len, found)) == len(set.union(*found)) == 40


def test_shares_hold_and_seeds_are_independent():
    d = dataset(map(str, range(20_000)))
    parts = split(d, shares=SHARES, seed=0)
    assert {k: len(v) / len(d) for k, v in parts.items()} == pytest.approx(SHARES, abs=0.015)
    other = split(d, shares=SHARES, seed=1)
    both = len({*parts["train"].ids.tolist()} & {*other["train"].ids.tolist()})
    assert both / len(d) == pytest.approx(0.49, abs=0.015)


def test_parts_are_named_and_fingerprinted_and_keep_the_order():
    parts = split(dataset(map(str, range(100))), shares=SHARES, seed=0)
    for name, part in parts.items():
        assert part.name == name
        assert part.fingerprint == fingerprint(part)
        assert np.diff(part.ids.astype(np.int64)).min() > 0


@pytest.mark.parametrize(
    "shares", [{}, {"a": 0.5}, {"a": 0.5, "b": 0.6}, {"a": 1.0, "b": 0.0}, {"a": float("nan")}]
)
def test_shares_that_do_not_sum_to_one(shares):
    with pytest.raises(DataError, match="give positive shares that sum to 1"):
        split(dataset("ab"), shares=shares, seed=0)
