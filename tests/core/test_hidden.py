"""Hashes that pair rows and say nothing of them."""

import hashlib
import hmac

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.hidden import LENGTH, TEXT, Hider

ONE, OTHER = Hider(salt=b"1" * 32), Hider(salt=b"2" * 32)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def column(*values):
    return np.array(values, TEXT)


@given(st.lists(texts, min_size=1, unique=True), texts)
def test_ids_stay_apart_and_pair_with_themselves(ids, dataset):
    hidden = ONE.ids(dataset, column(*ids))
    assert len(np.unique(hidden)) == len(ids)
    assert np.array_equal(hidden, ONE.ids(dataset, column(*ids)))
    assert not np.isin(hidden, OTHER.ids(dataset, column(*ids))).any()
    assert not np.isin(hidden, ONE.ids(dataset + "x", column(*ids))).any()


def test_answers_to_one_row_compare_and_those_to_two_do_not():
    ids = column("a", "b", "c")
    labels = ONE.answers("main", ids, column("yes", "yes", "no"))
    answers = ONE.answers("main", ids, column("yes", "no", "no"))
    assert (labels == answers).tolist() == [True, False, True]
    assert len(np.unique(labels)) == 3


def test_a_hash_is_that_of_the_standard_over_parts_with_their_lengths():
    parts = b"".join(len(p).to_bytes(8, "little") + p for p in (b"id", b"main", "ö".encode()))
    digest = hmac.new(b"1" * 32, parts, hashlib.sha256).hexdigest()
    assert ONE.ids("main", column("ö")).tolist() == [digest[:LENGTH]]
    assert ONE.ids("mai", column("nö")).tolist() != [digest[:LENGTH]]


def test_the_name_of_a_salt_tells_salts_apart_and_nothing_else():
    assert ONE.name != OTHER.name
    assert ONE.name == Hider(salt=b"1" * 32).name
    assert ONE.salt.hex() not in ONE.name


def test_no_rows_are_no_hashes():
    assert ONE.ids("main", column()).tolist() == []
    assert ONE.groups(column("g", "g")).tolist()[0] == ONE.groups(column("g")).tolist()[0]
