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
