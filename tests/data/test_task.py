from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError
from surefoot.data import align, check, overlap

TEXT = np.dtypes.StringDType()


def dataset(inputs, labels=None, classes=("no", "yes")):
    inputs = np.array(inputs, TEXT) if isinstance(inputs, list) else inputs
    n = len(inputs)
    return Dataset(
        name="tweets",
        ids=np.array([str(i) for i in range(n)], TEXT),
        inputs=inputs,
        labels=np.arange(n) % 2 if labels is None else np.array(labels),
        classes=classes,
    )


def test_align_keeps_the_names():
    moved = align(dataset(["a", "b", "c"]), ("yes", "maybe", "no"), where="test.main")
    assert moved.classes == ("yes", "maybe", "no")
    assert moved.labels.tolist() == [2, 0, 2]


def test_align_names_an_unknown_label_with_its_count_and_the_nearest_class():
    d = dataset(["a", "b", "c"], [0, 1, 0], ("cards", "transfer"))
    with pytest.raises(DataError) as caught:
        align(d, ("card", "transfer"), where="task.test.main")
    assert str(caught.value) == (
        "task.test.main: label 'cards' (2 rows) is unknown to the task; did you mean 'card'?"
    )


def test_align_counts_the_other_unknown_labels():
    with pytest.raises(DataError, match="1 more labels are unknown"):
        align(dataset(["a", "b"]), ("x",), where="w")


def test_align_ignores_classes_without_rows():
    moved = align(dataset(["a", "b"], [1, 1]), ("yes",), where="w")
    assert moved.labels.tolist() == [0, 0]


def test_overlap_of_texts():
    assert overlap(dataset(["a", "b ", "c"]), dataset(["b", "c", "A", "a", "a"])).tolist() == [
        1,
        3,
        4,
    ]


def test_overlap_of_numbers_and_images():
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    assert overlap(dataset(x[:3]), dataset(x[2:])).tolist() == [0]
    images = x.reshape(6, 2, 2).astype(np.uint8)
    assert overlap(dataset(images[4:]), dataset(images)).tolist() == [4, 5]


def test_no_overlap():
    assert overlap(dataset(["a"]), dataset(["b"])).tolist() == []


def test_check_refuses_no_rows():
    with pytest.raises(DataError, match="w: data set 'tweets' has no rows"):
        check(dataset([]), "w")


def test_check_refuses_one_class():
    with pytest.raises(DataError, match="only one class 'yes' in the 2 rows of data set 'tweets'"):
        check(dataset(["a", "b"], [1, 1]), "task.test.tweets")


def test_check_refuses_an_empty_slice():
    slices = {"some": np.array([True, False]), "none": np.array([False, False])}
    d = replace(dataset(["a", "b"]), slices=slices)
    with pytest.raises(DataError, match=r"slice 'none' is empty.*2 rows of data set 'tweets'"):
        check(d, "task.test.tweets")


def test_check_passes_what_can_be_judged():
    check(replace(dataset(["a", "b"]), slices={"some": np.array([True, False])}), "w")
