"""All loads of a plan: who takes a turn, what is kept, and what is run again."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.plan import LoadPlan
from surefoot.core.progress import Silent
from surefoot.evaluate.latency import AGAIN
from surefoot.evaluate.load.all import compared, find_endpoints, measure_loads
from surefoot.store import Store

pytestmark = pytest.mark.usefixtures("quiet")

PEAK = {"peak": LoadPlan(scenario="server", target_qps=100, seconds=0.1)}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


@pytest.fixture
def both(candidate):
    return [candidate(), candidate("turned", turned=1)]


def same(one, two):
    for name in type(one).__dataclass_fields__:
        np.testing.assert_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_everybody_is_put_under_load_and_the_baseline_twice(both, tree_set, store, watch, answers):
    rows, seen = tree_set(), watch()
    found = measure_loads(both, rows, store, PEAK, {}, seen)
    assert [(p.load, p.candidate) for p in found] == [
        ("peak", "baseline"), ("peak", "turned"), ("peak", "baseline" + AGAIN),
    ]  # fmt: skip
    for profile, candidate in zip(found, [*both, both[0]], strict=True):
        expected = answers(candidate, rows.inputs).argmax(axis=1)[profile.rows]
        assert profile.answers.tolist() == expected.tolist()
        assert profile.arrival_ms.tolist() == found[0].arrival_ms.tolist()
        assert profile.cold_ms > 0
        assert profile.memory_bytes > 10_000_000
    assert list(seen.totals) == [f"load peak: {p.candidate}" for p in found]


@pytest.mark.slow
def test_a_finished_load_is_not_run_again(both, tree_set, store, watch):
    first = measure_loads(both, tree_set(), store, PEAK, {}, Silent())
    shutil.rmtree(both[1].model.path)
    seen = watch()
    again = measure_loads(both, tree_set(), store, PEAK, {}, seen)
    assert seen.totals == {}
    for one, two in zip(first, again, strict=True):
        same(one, two)
    renamed = measure_loads(both, tree_set(), store, {"noon": PEAK["peak"]}, {}, seen)
    assert seen.totals == {}
    assert {p.load for p in renamed} == {"noon"}


@pytest.mark.parametrize("limit", ["NOISIEST", "MOST_FOREIGN"])
def test_what_a_noisy_machine_showed_is_measured_again(
    both, tree_set, store, watch, monkeypatch, limit
):
    """Of a baseline unlike itself everybody's turn is in doubt; it is there for this run alone."""
    with monkeypatch.context() as noisy:
        noisy.setattr(f"surefoot.evaluate.machine.{limit}", -1.0)
        noisy.setattr("surefoot.evaluate.machine.FEWEST_TICKS", 1)
        first = measure_loads(both[:1], tree_set(), store, PEAK, {}, Silent())
    assert [p.candidate for p in first] == ["baseline", "baseline" + AGAIN]
    assert not list(store.root.glob("load/*"))
    seen = watch()
    again = measure_loads(both[:1], tree_set(), store, PEAK, {}, seen)
    assert len(seen.totals) == 2
    assert again[0].wall_ms.tolist() != first[0].wall_ms.tolist()
    kept = measure_loads(both[:1], tree_set(), store, PEAK, {}, watch())
    assert kept[0].wall_ms.tolist() == again[0].wall_ms.tolist()


def test_what_others_do_beside_an_endpoint_keeps_nothing_from_being_kept(
    serving, both, tree_set, store, monkeypatch
):
    monkeypatch.setattr("surefoot.evaluate.machine.MOST_FOREIGN", -1.0)
    rows = tree_set()
    with serving() as server:
        live = {"live": replace(PEAK["peak"], url=server.url, candidate="turned")}
        measure_loads(both, rows, store, live, find_endpoints(live, rows), Silent())
    assert len(list(store.root.glob("load/*"))) == 1


@pytest.mark.slow
def test_a_run_stopped_midway_goes_on_with_who_is_missing(both, tree_set, store, watch):
    longer = {"peak": replace(PEAK["peak"], seconds=1.2)}
    with pytest.raises(KeyboardInterrupt):
        measure_loads(both, tree_set(), store, longer, {}, watch(stop_at="turned"))
    seen = watch()
    assert len(measure_loads(both, tree_set(), store, longer, {}, seen)) == 3
    assert list(seen.totals) == ["load peak: turned", "load peak: baseline" + AGAIN]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"seconds": 0.4}, {"target_qps": 50.0}, {"threads": 2}, {"batch": 2}, {"rows": 1}]
)
def test_a_change_runs_it_again(both, tree_set, store, watch, change):
    measure_loads(both[:1], tree_set(), store, PEAK, {}, Silent())
    seed, seen = change.pop("rows", 0), watch()
    changed = {"peak": replace(PEAK["peak"], **change)}
    measure_loads(both[:1], tree_set(seed=seed), store, changed, {}, seen)
    assert len(seen.totals) == 2


@pytest.mark.slow
def test_other_deadlines_run_nothing_again(both, tree_set, store, watch):
    measure_loads(both[:1], tree_set(), store, PEAK, {}, Silent())
    seen = watch()
    other = {"peak": replace(PEAK["peak"], deadlines_ms=[5.0])}
    measure_loads(both[:1], tree_set(), store, other, {}, seen)
    assert seen.totals == {}


def test_an_endpoint_is_asked_for_the_one_that_it_serves(serving, both, tree_set, store, watch):
    rows = tree_set()
    with serving() as server:
        live = {"live": replace(PEAK["peak"], url=server.url, candidate="turned")}
        found = find_endpoints(live | PEAK, rows)
        assert list(found) == ["live"]
        (profile,) = measure_loads(both, rows, store, live, found, Silent())
        asked = len(server.asked)
        (again,) = measure_loads(both, rows, store, live, found, watch())
    assert len(server.asked) == asked
    same(profile, again)
    assert (profile.candidate, profile.url, profile.runtime) == ("turned", server.url, "")
    assert (profile.cold_ms, profile.memory_bytes) == (None, None)
    assert profile.errors == {}


def test_an_endpoint_that_says_it_is_another_is_asked_again(serving, both, tree_set, store, watch):
    rows = tree_set()
    with serving() as server:
        live = {"live": replace(PEAK["peak"], url=server.url, candidate="turned")}
        measure_loads(both, rows, store, live, find_endpoints(live, rows), Silent())
        server.metadata = server.metadata | {"versions": ["2"]}
        seen = watch()
        measure_loads(both, rows, store, live, find_endpoints(live, rows), seen)
    assert list(seen.totals) == ["load live: turned"]


def test_answers_of_an_endpoint_are_held_against_the_cell(serving, both, tree_set, store):
    """Of the rows that were answered, by hand."""
    rows = tree_set()
    with serving() as server:
        live = {"live": replace(PEAK["peak"], url=server.url, candidate="turned")}
        found = measure_loads(both, rows, store, live, find_endpoints(live, rows), Silent())
    said = found[0].answers[:, 0]
    of_row = np.zeros(len(rows), dtype=int)
    of_row[found[0].rows[:, 0]] = said
    (exact,) = compared(found, {"turned": of_row})
    assert exact.agree == 1.0
    (never,) = compared(found, {"turned": (of_row + 1) % 3})
    assert never.agree == 0.0
    silent = replace(found[0], answers=np.full_like(found[0].answers, -1))
    assert compared([silent], {"turned": of_row})[0].agree is None
    in_process = replace(found[0], url=None)
    assert compared([in_process], {})[0].agree is None
