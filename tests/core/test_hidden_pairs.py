"""Hidden ids as a property: they pair exactly where the rows do, and tell nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.hidden import LENGTH, TEXT, Hider

HIDER = Hider(salt=b"kept at home")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
columns = st.lists(texts, min_size=1, max_size=8)


def column(values):
    return np.array(list(values), TEXT)


@settings(deadline=None)
@given(texts, columns)
def test_ids_are_equal_exactly_where_the_rows_are(dataset, ids):
    hidden = HIDER.ids(dataset, column(ids)).tolist()
    for one, its in zip(ids, hidden, strict=True):
        for other, that in zip(ids, hidden, strict=True):
            assert (one == other) == (its == that)


@settings(deadline=None)
@given(texts, texts, texts, texts)
def test_where_a_name_ends_and_an_id_begins_matters(dataset, one, other, id_):
    pairs = [(dataset, id_), (dataset + one, id_), (dataset, one + id_), (other, id_)]
    hidden = [HIDER.ids(name, column([row]))[0] for name, row in pairs]
    for i, pair in enumerate(pairs):
        for j, that in enumerate(pairs):
            assert (pair == that) == (hidden[i] == hidden[j])


@settings(deadline=None)
@given(columns, st.randoms())
def test_rows_in_another_order_keep_their_hash(ids, random):
    order = list(range(len(ids)))
    random.shuffle(order)
    hidden = HIDER.ids("main", column(ids))
    assert HIDER.ids("main", column(ids[i] for i in order)).tolist() == hidden[order].tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=8))
def test_an_answer_equals_a_label_exactly_where_the_classes_are_equal(rows):
    ids, labels, answers = (column(part) for part in zip(*rows, strict=True))
    equal = HIDER.answers("main", ids, labels) == HIDER.answers("main", ids, answers)
    assert equal.tolist() == [label == answer for _, label, answer in rows]


@settings(deadline=None)
@given(texts)
def test_a_text_has_another_hash_as_an_id_an_answer_or_a_group(text):
    one = column([text])
    hidden = {
        HIDER.ids(text, one)[0],
        HIDER.answers(text, one, one)[0],
        HIDER.groups(one)[0],
        HIDER.name[:LENGTH],
    }
    assert len(hidden) == 4


@settings(deadline=None)
@given(texts, columns)
def test_a_hash_is_hexadecimal_of_one_length_whatever_is_hidden(dataset, values):
    found = [
        *HIDER.ids(dataset, column(values)),
        *HIDER.answers(dataset, column(values), column(values)),
        *HIDER.groups(column(values)),
    ]
    assert all(re.fullmatch(rf"[0-9a-f]{{{LENGTH}}}", one) for one in found)


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), texts)
def test_another_salt_gives_another_hash_and_another_name(one, other, text):
    # A salt is filled with zeros to the length of a block, by the standard.
    same = one.rstrip(b"\0") == other.rstrip(b"\0")
    first, second = Hider(salt=one), Hider(salt=other)
    assert (first.name == second.name) == same
    assert (first.groups(column([text]))[0] == second.groups(column([text]))[0]) == same


def test_a_group_is_the_same_in_every_test_set_and_a_row_is_not():
    group = column(["ada"])
    assert HIDER.groups(group).tolist() == HIDER.groups(group).tolist()
    assert HIDER.ids("main", group)[0] != HIDER.ids("far", group)[0]
    one, other = (HIDER.answers(name, group, group)[0] for name in ("main", "far"))
    assert one != other


def test_answers_and_rows_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        HIDER.answers("main", column(["a", "b"]), column(["yes"]))
