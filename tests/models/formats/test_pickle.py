from __future__ import annotations

import pickle as standard
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.models.formats.pickle import pickle, save
from surefoot.models.formats.skops import skops


def test_pickles_of_joblib_and_of_python_are_read(tiny_sklearn: Path, tmp_path: Path) -> None:
    estimator = skops(tiny_sklearn)
    save(estimator, tmp_path / "a.joblib")
    (tmp_path / "b.pkl").write_bytes(standard.dumps(estimator))
    for path in (tmp_path / "a.joblib", tmp_path / "b.pkl"):
        np.testing.assert_array_equal(pickle(path).coef_, estimator.coef_)


@pytest.mark.parametrize("content", [b"", b"\x80\x04nonsense", b"hello", b"cnowhere\nNothing\n."])
def test_a_broken_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.pkl").write_bytes(content)
    with pytest.raises(ModelError, match=r"cut.pkl: not a readable pickle"):
        pickle(tmp_path / "cut.pkl")
