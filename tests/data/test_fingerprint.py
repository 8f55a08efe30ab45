from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.dataset import Dataset
from surefoot.data import align, fingerprint
from surefoot.data.fingerprint import row_hashes

TEXT = np.dtypes.StringDType()


def dataset(n=4, **changes):
    base = Dataset(
        name="d",
        ids=np.array([f"r{i}" for i in range(n)], TEXT),
        inputs=np.array([f"text {i}" for i in range(n)], TEXT),
        labels=np.arange(n) % 2,
        classes=("no", "yes"),
        slices={"first": np.arange(n) == 0},
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"ids": np.array(["r0", "r1", "r2", "x"], TEXT)},
        {"inputs": np.array(["text 0", "text 1", "text 2", "x"], TEXT)},
        {"labels": np.array([0, 1, 0, 0])},
        {"classes": ("no", "maybe")},
        {"groups": np.array(["g"] * 4, TEXT)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_of_content_changes_it(change):
    assert fingerprint(dataset()) != fingerprint(dataset(**change))


def test_the_name_is_no_content():
    assert fingerprint(dataset(name="other", fingerprint="x")) == fingerprint(dataset())


def test_slices_are_no_content():
    assert fingerprint(dataset(slices={"other": np.arange(4) == 1})) == fingerprint(dataset())


@given(st.permutations(["no", "yes", "maybe", "never"]))
def test_counting_into_other_classes_changes_nothing(classes):
    moved = align(dataset(), classes, where="d")
    assert fingerprint(moved) == fingerprint(dataset())


def test_text_with_separators_is_told_apart():
    ids = np.array(["r0", "r1"], TEXT)
    one = dataset(2, ids=ids, inputs=np.array(["a\x1fb", "c"], TEXT))
    other = dataset(2, ids=ids, inputs=np.array(["a", "b\x1fc"], TEXT))
    assert fingerprint(one) != fingerprint(other)


def test_it_is_the_same_in_every_release():
    assert fingerprint(dataset(2)) == fingerprint(dataset(2))
    assert row_hashes(np.array(["a"], TEXT)).tolist() == [0xCA978112CA1BBDCA]  # SHA-256 of "a"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=20))
def test_different_texts_hash_differently(texts):
    assert len(np.unique(row_hashes(np.array(texts, TEXT)))) == len(texts)


def test_numbers_hash_by_value():
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]], np.float32)
    first, second, third = row_hashes(rows)
    assert first == second != third
    assert row_hashes(rows, salt="1")[0] != first
