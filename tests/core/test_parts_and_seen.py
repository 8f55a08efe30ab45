"""Names of parts as properties, and rows that are counted inside each other."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.parts import is_part, part_name, speaks_of
from surefoot.core.seen import rows_counted, saw

NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5)


@settings(deadline=None)
@given(NAMES, NAMES, st.text())
def test_a_part_is_one_of_its_source_whatever_its_value(source, column, value):
    name = part_name(source, column, value)
    assert is_part(source, name)
    assert speaks_of(source, name)
    assert speaks_of(name, name)
    assert speaks_of(None, name)
    assert not is_part(name, source)
    assert not speaks_of(name, source)


@settings(deadline=None)
@given(NAMES, NAMES, NAMES, NAMES)
def test_a_part_of_one_source_is_none_of_another(source, other, column, value):
    assert is_part(other, part_name(source, column, value)) == (source == other)


def test_a_block_inside_another_counts_for_itself_alone():
    with rows_counted() as outer:
        saw(3)
        with rows_counted() as inner:
            saw(4)
            assert (inner(), outer()) == (4, 3)
        saw(5)
        assert (inner(), outer()) == (4, 8)
    saw(100)
    assert outer() == 8


def test_another_thread_does_not_count_here():
    with rows_counted() as count:
        thread = threading.Thread(target=saw, args=(7,))
        thread.start()
        thread.join()
        assert count() == 0
        saw(7)
        assert count() == 7
