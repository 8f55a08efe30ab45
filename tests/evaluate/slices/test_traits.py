"""What can be seen of a row's input."""

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.evaluate.slices.traits import _of_inputs, traits

T = np.dtypes.StringDType()


def made(inputs, labels=None, classes=("a", "b"), **more):
    n = len(inputs)
    labels = np.arange(n) % 2 if labels is None else np.asarray(labels)
    ids = np.array([f"r{i}" for i in range(n)], T)
    return Dataset(name="main", ids=ids, inputs=inputs, labels=labels, classes=classes, **more)


def seen(dataset):
    """Every condition on inputs, those that hold for the same rows included."""
    return {t.name: np.flatnonzero(t.mask).tolist() for t in _of_inputs(dataset, ())}


TEXTS = [
    "a plain 1",
    "Is it 7 yet?",
    "I don\u2019t like it",
    "we should NOT go!",
    "see https://x.org",
    "thanks @anna, caf\u00e9",
]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("digits", [0, 1]),
        ("question mark", [1]),
        ("negation", [2, 3]),
        ("no negation", [0, 1, 4, 5]),
        ("exclamation mark", [3]),
        ("link or @name", [4, 5]),
        ("non-ASCII", [2, 5]),
    ],
)
def test_texts(name, rows):
    assert seen(made(np.array(TEXTS, T)))[name] == rows


def test_quarters_of_a_number_share_the_rows_out():
    values = np.random.default_rng(0).permutation(400).astype(np.float32)
    found = traits(made(values[:, None], np.repeat([0, 1], 200)), ["age"])
    quarters = [t for t in found if t.about == "age"]
    assert [int(t.mask.sum()) for t in quarters] == [100] * 4
    assert sum(t.mask.astype(int) for t in quarters).tolist() == [1] * 400
    assert [t.name for t in quarters] == [
        "age <= 99.75",
        "99.75 < age <= 199.5",
        "199.5 < age <= 299.2",
        "299.2 < age",
    ]
    assert (values[quarters[0].mask] <= 99.75).all()


def test_many_equal_numbers_give_fewer_parts_and_none_twice():
    values = np.array([0.0] * 90 + [1.0] * 10, np.float32)[:, None]
    found = traits(made(values))
    assert [t.name for t in found if t.about == "column 1"] == ["column 1 <= 0", "0 < column 1"]
    masks = [t.mask.tobytes() for t in traits(made(np.hstack([values, values])))]
    assert len(masks) == len(set(masks))


@pytest.mark.parametrize("shape", [(40, 8, 8), (40, 8, 8, 3)])
def test_images(shape):
    rng = np.random.default_rng(1)
    images = rng.integers(100, 110, shape).astype(np.uint8)
    images[:10] = 250
    images[10:20, ::2] = 40  # stripes
    images[20:30, :4] = 0  # one half dark
    images[20:30, 4:] = 200
    top = {name.split()[-1]: rows for name, rows in seen(made(images)).items() if "<=" not in name}
    assert top == {
        "brightness": [*range(10)],
        "edges": [*range(10, 20)],
        "contrast": [*range(20, 30)],
    }


def test_declared_slices_and_classes_once_each_and_nothing_that_holds_everywhere():
    some = np.arange(6) < 2
    slices = {"mine": some, "all": np.ones(6, bool), "class=a": np.arange(6) % 2 == 0}
    found = traits(made(np.array(TEXTS, T), slices=slices))
    names = [t.name for t in found]
    assert names[:2] == ["mine", "class=a"]
    assert "all" not in names
    assert names.count("class=a") == 1
    assert {t.about for t in found if t.name.startswith("class=")} == {"class"}
