from __future__ import annotations

import numpy as np
import pytest

from surefoot.core.errors import DataError
from surefoot.data.sources.npz import npz


@pytest.fixture
def save(tmp_path):
    def saved(**arrays):
        np.savez(tmp_path / "rows.npz", **arrays)
        return str(tmp_path / "rows.npz")

    return saved


def test_numbers(save):
    x = np.arange(6, dtype=np.float64).reshape(3, 2)
    month = np.array([1, 7, 8], dtype=">i4")
    d = npz(
        path=save(x=x, y=np.array([1, 0, 1]), month=month, key=np.array(["a", "b", "c"])),
        inputs="x",
        label="y",
        id="key",
        group="month",
        slices={"summer": "month > 6"},
    )
    assert d.inputs.dtype == np.float32
    assert (d.inputs == x).all()
    assert d.classes == ("0", "1")
    assert d.labels.tolist() == [1, 0, 1]
    assert d.ids.tolist() == ["a", "b", "c"]
    assert d.groups.tolist() == ["1", "7", "8"]
    assert d.slices["summer"].tolist() == [False, True, True]
    assert d.fingerprint


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 3)])
def test_images(save, shape):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    d = npz(path=save(x=images, y=np.array(["b", "a", "b"])), inputs="x", label="y")
    assert d.inputs.dtype == np.uint8
    assert (d.inputs == images).all()
    assert d.classes == ("a", "b")
    assert len({*d.ids.tolist()}) == 3


def test_texts_and_bytes(save):
    texts = np.array(["one", "zwei", "one"])
    d = npz(path=save(x=texts, y=np.array([b"p", b"q", b"p"])), inputs="x", label="y")
    assert d.inputs.tolist() == ["one", "zwei", "one"]
    assert d.classes == ("p", "q")
    assert d.ids[2] == f"{d.ids[0]}-1"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_non_finite(save, value):
    x = np.ones((4, 3))
    x[2, 1] = value
    with pytest.raises(DataError, match=r"row 3, column 2: .*not a finite number"):
        npz(path=save(x=x, y=np.array([0, 1, 0, 1])), inputs="x", label="y")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"inputs": np.ones((2, 2)), "y": np.zeros(2)}, "no array 'input'; did you mean 'inputs'"),
        ({"input": np.ones((2, 2)), "yy": np.zeros(2)}, "no array 'y'"),
        ({"input": np.ones((2, 2)), "y": np.zeros(3)}, r"'y' has the shape \(3,\).*2 rows"),
        ({"input": np.ones((2, 2)), "y": np.zeros((2, 2))}, r"'y' has the shape \(2, 2\)"),
        ({"input": np.ones(2), "y": np.zeros(2)}, r"shape \(2,\) and the type float64"),
        ({"input": np.ones((2, 2)) * 1j, "y": np.zeros(2)}, "complex128"),
        ({"input": np.ones((2, 2, 2)), "y": np.zeros(2)}, "inputs are"),
        ({"input": np.ones((0, 2)), "y": np.zeros(0)}, "has no rows"),
        ({"input": np.ones((2, 2)), "y": np.array(["a", None], dtype=object)}, "fixed-width text"),
    ],
)
def test_arrays_that_do_not_fit(save, arrays, reason):
    with pytest.raises(DataError, match=reason):
        npz(path=save(**arrays), inputs="input", label="y")


@pytest.mark.parametrize("content", [b"no zip", b"PK\x03\x04 cut off"])
def test_no_npz(write, content):
    with pytest.raises(DataError, match=r"rows.npz: cannot be read"):
        npz(path=write(content, "rows.npz"), inputs="x", label="y")


def test_a_bare_array(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(DataError, match="one bare array; write it with"):
        npz(path=str(tmp_path / "a.npy"), inputs="x", label="y")
