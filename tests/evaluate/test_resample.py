"""Shifts that choose rows: what stays is paired, sliced and kept as any other rows are."""

import numpy as np
import pytest

from surefoot.core.errors import DataError, PluginError
from surefoot.core.model import StepCall
from surefoot.data import fingerprint
from surefoot.evaluate import confirmation_evidence, fill_cells
from surefoot.evaluate.resample import chooses_rows, resampled
from surefoot.evaluate.shifted import under_shifts
from surefoot.store import Store


def shifted(dataset, call):
    return under_shifts({dataset.name: dataset}, [call])[f"{dataset.name} + {call.use} 3"]


CALL = StepCall(use="covariate_shift", options=(("severity", 3.0),))


def test_rows_stay_what_they_were(tree_set):
    groups = np.array([f"g{i % 7}" for i in range(400)], np.dtypes.StringDType())
    before = tree_set(400, groups=groups, slices={"even": np.arange(400) % 2 == 0})
    after = shifted(before, CALL)
    assert (after.shift, after.severity, after.name) == ("covariate_shift", 3.0, "main")
    assert 80 < len(after) < 250
    assert len(set(after.ids.tolist())) == len(after)
    where = {name: i for i, name in enumerate(before.ids.tolist())}
    rows = np.array([where[name] for name in after.ids.tolist()])
    assert (np.diff(rows) > 0).all()
    for column in ("inputs", "labels", "groups"):
        assert (getattr(after, column) == getattr(before, column)[rows]).all()
    assert (after.slices["even"] == (rows % 2 == 0)).all()
    assert fingerprint(after) != fingerprint(before)
    assert shifted(before, CALL).fingerprint == after.fingerprint


def test_candidates_are_measured_on_the_same_rows(tree_set, candidate, tmp_path):
    before, store = tree_set(400), Store(tmp_path / "store", "here")
    after = shifted(before, CALL)
    one, other = candidate(), candidate("turned", turned=1)
    cells = {c.name: fill_cells(c, {"main": after}, store) for c in (one, other)}
    (pair,) = confirmation_evidence(cells, {"main": after}, ["accuracy"]).paired
    (whole,) = fill_cells(one, {"main": before}, store)
    kept = np.isin(before.ids.tolist(), after.ids.tolist())
    assert pair.n == len(after) == kept.sum()
    assert pair.baseline == pytest.approx((whole.predicted == whole.labels)[kept].mean())
    assert pair.shift == "covariate_shift"


def test_only_shifts_that_say_so_choose_rows():
    assert chooses_rows(CALL)
    # The rows of its keyboard are no rows of the data.
    assert not chooses_rows(StepCall(use="typos"))


@pytest.mark.parametrize(
    "positions",
    [[3, 2], [1, 1], [-1, 2], [2, 100], [], [[1, 2]], [0.5, 1.0], [True, False]],
)
def test_positions_that_are_none_are_refused(tree_set, positions):
    with pytest.raises(PluginError, match=r"'covariate_shift' gave (no )?positions"):
        resampled(tree_set(100), np.array(positions), CALL)


def test_a_slice_that_loses_all_rows_is_named(tree_set):
    last = tree_set(100, slices={"last": np.arange(100) >= 97})
    with pytest.raises(DataError) as caught:
        resampled(last, np.arange(50), CALL)
    assert str(caught.value) == (
        "evaluate.shifts: slice 'last' of 'main' has no row left of 3 under shift"
        " 'covariate_shift'; lower its severity, or leave the shift or the slice out"
    )
    assert resampled(last, np.array([0, 99]), CALL).slices["last"].tolist() == [False, True]


def test_a_slice_that_was_empty_before_is_not_the_shifts_fault(tree_set):
    nobody = tree_set(10, slices={"nobody": np.zeros(10, bool)})
    assert len(resampled(nobody, np.arange(5), CALL)) == 5
