from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.models.formats.skops import noted, save, skops, trust


class Stranger:
    """A type that skops has never heard of."""


def test_what_is_saved_is_loaded(tiny_sklearn: Path, tmp_path: Path) -> None:
    estimator = skops(tiny_sklearn)
    save(estimator, tmp_path / "again.skops")
    np.testing.assert_array_equal(skops(tmp_path / "again.skops").coef_, estimator.coef_)


def test_unknown_types_are_refused_by_name(tiny_sklearn: Path, tmp_path: Path) -> None:
    estimator = skops(tiny_sklearn)
    estimator.extra = Stranger()
    save(estimator, tmp_path / "odd.skops")
    with pytest.raises(ModelError, match=r"does not know to be safe: .*Stranger; set trust"):
        skops(tmp_path / "odd.skops")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file(tiny_sklearn: Path, tmp_path: Path, share: float) -> None:
    content = tiny_sklearn.read_bytes()
    (tmp_path / "cut.skops").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cut.skops: not a readable skops file"):
        skops(tmp_path / "cut.skops")


def test_a_note_beside_the_file_trusts_nothing(tiny_sklearn: Path, tmp_path: Path) -> None:
    estimator = skops(tiny_sklearn)
    estimator.extra = Stranger()
    save(estimator, tmp_path / "odd.skops")
    trust(tmp_path / "odd.skops", tmp_path)
    with pytest.raises(ModelError, match=r"does not know to be safe: .*Stranger"):
        skops(tmp_path / "odd.skops")
    assert type(skops(tmp_path / "odd.skops", trusted=noted(tmp_path)).extra) is Stranger


def test_a_broken_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "trusted.json").write_text("3")
    with pytest.raises(ModelError, match=r"trusted.json: is no list of types"):
        noted(tmp_path)
