import json
import multiprocessing
from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import BundleError
from surefoot.data import sketch
from surefoot.ledger import planned_use, record_use
from surefoot.stats import spending


def texts(numbers):
    return np.array([f"row {number}" for number in numbers], np.dtypes.StringDType())


A, B = sketch(texts(range(2000))), sketch(texts(range(2000, 3000)))


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger.jsonl"


def test_the_first_use_spends_most_and_a_new_set_starts_afresh(ledger):
    first = record_use(ledger, "run 1", {"main": A})
    second = record_use(ledger, "run 2", {"main": A})
    other = record_use(ledger, "run 3", {"main": B})
    assert (first.count, second.count, other.count) == (1, 2, 1)
    assert first.share == pytest.approx(6 / pi**2) == other.share
    assert second.share == pytest.approx(first.share / 4)
    assert second.left == pytest.approx(1 - first.share - second.share)


def test_a_run_that_resumes_or_repeats_an_earlier_one_spends_nothing(ledger):
    uses = [record_use(ledger, key, {"main": A}) for key in ("one", "two", "one", "two")]
    assert [use.count for use in uses] == [1, 2, 1, 2]
    assert len(ledger.read_text().splitlines()) == 2


def test_sets_are_known_by_their_content_and_not_by_their_name(ledger):
    record_use(ledger, "one", {"main": A})
    assert record_use(ledger, "two", {"renamed": A}).count == 2


@pytest.mark.parametrize(
    ("rows", "use"),
    [
        (range(1, 2000), 2),  # one row left out
        (range(1000), 2),  # half of them
        (range(1999, -1, -1), 2),  # in another order
        (range(1000, 9000), 2),  # half of them among eight times as many
        (range(100), 2),  # a few of its own
        (range(20_000), 2),  # all of them among ten times as many
        (range(1600, 3600), 2),  # a fifth of them
        (range(2000, 4000), 1),  # none
    ],
)
def test_changing_some_rows_does_not_make_the_data_new(ledger, rows, use):
    record_use(ledger, "one", {"main": A})
    assert record_use(ledger, "two", {"main": sketch(texts(rows))}).count == use


def test_the_most_used_set_counts_for_all(ledger):
    for key in ("one", "two"):
        record_use(ledger, key, {"main": A})
    assert record_use(ledger, "three", {"main": A, "new": B}).count == 3


@given(st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=12))
def test_no_set_ever_spends_more_than_all_of_alpha(tmp_path_factory, runs):
    ledger, spent = tmp_path_factory.mktemp("ledger") / "l.jsonl", dict.fromkeys("abc", 0.0)
    for number, sets in enumerate(runs):
        share = record_use(
            ledger, str(number), {name: sketch(texts([name])) for name in sets}
        ).share
        for name in sets:
            spent[name] += share
    assert max(spent.values()) < 1


def test_what_is_planned_is_not_noted(ledger):
    assert planned_use(ledger, {"main": A}).count == 1
    assert not ledger.exists()
    record_use(ledger, "one", {"main": A})
    assert planned_use(ledger, {"main": A}).count == 2
    assert len(ledger.read_text().splitlines()) == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"use": 1, "key": "k"}', '{"use": "x"}', ""])
def test_a_line_that_is_none_is_named_and_nothing_is_added(ledger, line):
    good = json.dumps({"use": 1, "key": "one", "sets": {"main": {"rows": 1, "smallest": ["aaa"]}}})
    ledger.write_text(f"{good}\n{line}\n")
    before = ledger.read_text()
    with pytest.raises(BundleError, match=r"ledger\.jsonl: line 2 .* restore the file"):
        record_use(ledger, "two", {"main": A})
    assert ledger.read_text() == before


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(BundleError, match="ledger cannot be written: No such file"):
        record_use(tmp_path / "none" / "ledger.jsonl", "one", {"main": A})


def record(ledger, number):
    return record_use(ledger, f"run {number}", {"main": A}).count


def test_two_processes_never_share_a_use(ledger):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        counts = pool.starmap(record, [(ledger, number) for number in range(12)])
    assert sorted(counts) == list(range(1, 13))


def test_shares_add_up_to_one():
    assert sum(spending(k)[0] for k in range(1, 5000)) == pytest.approx(1, abs=2e-4)
