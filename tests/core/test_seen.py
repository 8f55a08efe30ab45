"""Rows are counted by whoever asked, wherever in the work they are told."""

import threading
from contextlib import suppress

from surefoot.core.seen import rows_counted, saw


def test_nobody_counts_without_being_asked():
    saw(10)
    with rows_counted() as rows:
        assert rows() == 0


def test_the_count_can_be_read_on_the_way_and_stays_when_it_is_over():
    with rows_counted() as rows:
        saw(3)
        on_the_way = rows()
        saw(3)  # the same rows once more
    saw(100)
    assert (on_the_way, rows()) == (3, 6)


def test_an_inner_count_keeps_its_rows_to_itself_though_it_ends_in_an_error():
    with rows_counted() as outer:
        saw(1)
        with suppress(ValueError), rows_counted() as inner:
            saw(20)
            raise ValueError("odd")
        saw(2)
    assert (outer(), inner()) == (3, 20)


def test_another_thread_has_a_count_of_its_own():
    """Two pieces of work at a time are not told each other's rows."""
    found = {}

    def work(name: str, rows: int) -> None:
        with rows_counted() as counted:
            saw(rows)
            ready.wait(5)
            found[name] = counted()

    ready = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=each) for each in (("a", 5), ("b", 7))]
    with rows_counted() as outside:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"a": 5, "b": 7}
    assert outside() == 0
