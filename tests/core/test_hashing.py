from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.hashing import hash_arrays, hash_file, hash_json

TEXT = np.dtypes.StringDType()
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4)


@given(texts, texts)
def test_texts_hash_alike_exactly_when_they_are_equal(one, other):
    hashes = [hash_arrays(np.array(t, TEXT)) for t in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)


def test_where_a_text_ends_counts_whatever_it_holds():
    one, other = ["a\x1fb", "c"], ["a", "b\x1fc"]
    assert hash_arrays(np.array(one, TEXT)) != hash_arrays(np.array(other, TEXT))


def test_numbers_hash_by_shape_type_and_value():
    a = np.arange(6.0)
    hashes = {hash_arrays(x) for x in (a, a.reshape(2, 3), a.astype("f4"), a + 1, a[::-1])}
    assert len(hashes) == 5
    assert hash_arrays(a[::2]) == hash_arrays(a[::2].copy())


def test_json_hashes_whatever_the_order_and_the_kind_of_sequence(tmp_path):
    one = {"a": (1, 2), "b": tmp_path, "c": np.float64(0.5)}
    assert hash_json(one) == hash_json({"c": 0.5, "b": str(tmp_path), "a": [1, 2]})
    assert hash_json(one) != hash_json({**one, "a": (2, 1)})
    with pytest.raises(TypeError, match="cannot hash a set"):
        hash_json({"a": {1}})


def test_a_file_hashes_by_its_bytes(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert hash_file(file).startswith("ba7816bf")
