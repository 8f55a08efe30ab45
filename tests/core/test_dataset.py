import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.dataset import Dataset


@given(st.lists(st.integers(0, 4), max_size=5), st.booleans())
def test_rows_chooses_every_column_alike(chosen, grouped):
    ids = np.array(list("abcde"), np.dtypes.StringDType())
    data = Dataset(
        name="main", ids=ids, inputs=np.arange(10.0).reshape(5, 2), labels=np.arange(5),
        classes=tuple("vwxyz"), slices={"even": np.arange(5) % 2 == 0},
        groups=ids if grouped else None, fingerprint="f",
    )  # fmt: skip
    part = data.rows(np.array(chosen, dtype=int), name="part")
    assert len(part) == len(chosen)
    assert part.ids.tolist() == ["abcde"[i] for i in chosen]
    assert part.labels.tolist() == chosen
    assert part.inputs[:, 0].tolist() == [2.0 * i for i in chosen]
    assert part.slices["even"].tolist() == [i % 2 == 0 for i in chosen]
    assert (part.groups is not None) == grouped
    assert (part.name, part.fingerprint, data.fingerprint) == ("part", "", "f")


@given(st.integers(0, 40), st.integers(0, 50))
def test_spread_takes_as_many_as_there_are_and_none_twice(there, rows):
    ids = np.array([f"{i:02}" for i in range(there)], np.dtypes.StringDType())
    data = Dataset(
        name="main", ids=ids, inputs=np.zeros((there, 1)), labels=np.arange(there), classes=("a",),
    )  # fmt: skip
    chosen = data.spread(rows).labels.tolist()
    assert len(chosen) == min(rows, there)
    assert chosen == sorted(set(chosen))
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, there - 1)
