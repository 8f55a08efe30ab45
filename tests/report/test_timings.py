"""Latencies of a bundle: quantiles counted by hand, their order, and the limits beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.report.conftest import EVIL
from tests.report.test_terminal import finding, verdict

from surefoot.core.evidence import Budget
from surefoot.data.columns import write_parquet
from surefoot.report.timings import SHARES, timings

ORDER = ("baseline", "int8")


def times(value, low=None, high=None, n=100):
    return {"value": value, "low": low, "high": high, "level": 0.95, "method": "order", "n": n}


def entry(candidate, batch=1, threads=1, **changes):
    known = {"p50_ms": times(3.0, 2.9, 3.2), "p99_ms": times(9.0, 8.0, 12.0)}
    return {"candidate": candidate, "batch": batch, "threads": threads, **known, **changes}


def load(candidate, name="web", invalid=""):
    return {**entry(candidate), "load": name, "invalid": invalid}


def calls(path, by, rows):
    """A file of calls: `{(candidate, batch or load): milliseconds}`."""
    flat = [(who, where, ms) for (who, where), values in rows.items() for ms in values]
    names, places, walls = (np.array(column) for column in zip(*flat, strict=True))
    kind = np.dtypes.StringDType()
    columns = {"candidate": names.astype(kind), by: places, "wall_ms": walls}
    if places.dtype.kind == "U":
        columns[by] = places.astype(kind)
    write_parquet(path, columns)


def found_in(folder, verdicts=(), order=ORDER, **data):
    return timings(folder, {"latencies": [], **data}, verdicts, order)


def limited(*budgets):
    return [verdict(*(finding(budget=b, paired=None) for b in budgets))]


def test_quantiles_are_calls_that_were_made(tmp_path):
    rng = np.random.default_rng(0)
    walls = rng.permutation(np.arange(1.0, 101.0))  # the k-th smallest of 100 calls took k ms
    calls(tmp_path / "latency.parquet", "batch", {("int8", 1): walls, ("int8", 8): walls * 10})
    one, eight = found_in(tmp_path, latencies=[entry("int8"), entry("int8", 8)])
    assert one.spreads[0].quantiles == dict(zip(SHARES, (5.0, 25.0, 75.0, 95.0), strict=True))
    assert eight.spreads[0].quantiles[0.75] == 750.0


def test_a_single_call_is_all_of_its_quantiles(tmp_path):
    calls(tmp_path / "latency.parquet", "batch", {("int8", 1): [7.5]})
    (one,) = found_in(tmp_path, latencies=[entry("int8")])
    assert set(one.spreads[0].quantiles.values()) == {7.5}


def test_requests_that_were_never_answered_are_no_quantile(tmp_path):
    walls = [1.0, 2.0, 3.0, 4.0, math.inf, math.inf]
    calls(tmp_path / "load.parquet", "load", {("int8", "web"): walls})
    (web,) = found_in(tmp_path, loads=[load("int8")])
    assert web.title == "under load web"
    assert list(web.spreads[0].quantiles.values()) == [1.0, 1.0, 3.0, 4.0]


def test_calls_of_others_are_not_mixed_in(tmp_path):
    rows = {("baseline", 1): [10.0] * 5, ("int8", 1): [1.0] * 5, ("int8", 4): [99.0] * 5}
    calls(tmp_path / "latency.parquet", "batch", rows)
    (one,) = found_in(tmp_path, latencies=[entry("int8"), entry("baseline")])
    assert [(s.name, s.quantiles[0.05]) for s in one.spreads] == [("baseline", 10.0), ("int8", 1.0)]


def test_candidates_stand_in_the_order_of_the_report_and_unknown_ones_do_not(tmp_path):
    entries = [entry(name) for name in ("baseline (again)", "c", "a", "baseline")]
    (one,) = found_in(tmp_path, order=("baseline", "a", "b", "c"), latencies=entries)
    assert [s.name for s in one.spreads] == ["baseline", "a", "c"]


@pytest.mark.parametrize(
    ("batch", "threads", "title"),
    [
        (1, 1, "1 row a call, 1 thread"),
        (1, 2, "1 row a call, 2 threads"),
        (32, 1, "32 rows a call, 1 thread"),
    ],
)
def test_what_was_timed_is_said(tmp_path, batch, threads, title):
    (one,) = found_in(tmp_path, latencies=[entry("int8", batch, threads)])
    assert one.title == title


def test_limits_are_those_of_that_batch_and_load(tmp_path):
    def of(name, limit, **more):
        return Budget(quantity=name, at_most=limit, **more)

    budgets = [
        of("p99_ms", 20), of("p50_ms", 5), of("p99_ms", 90, batch=8), of("size_mb", 7),
        of("p99_ms", 300, load="web"), Budget(quantity="speedup", at_least=2),
    ]  # fmt: skip
    entries = {"latencies": [entry("int8"), entry("int8", 8), entry("int8", 64)]}
    loads = [load("int8"), load("int8", "night")]
    found = found_in(tmp_path, limited(*budgets), loads=loads, **entries)
    assert [one.limits for one in found] == [
        {"p99": 20.0, "p50": 5.0}, {"p99": 90.0}, {}, {"p99": 300.0}, {},
    ]  # fmt: skip


def test_ends_that_json_lacks_are_infinite(tmp_path):
    few = entry("int8", p99_ms=times(None, 4.0), p50_ms=times(None, n=1))
    (one,) = found_in(tmp_path, latencies=[few])
    (spread,) = one.spreads
    assert spread.p99 == (math.inf, 4.0, math.inf)
    assert spread.p50 == (math.inf, 0.0, math.inf)
    assert (spread.n, spread.quantiles) == (1, {})


def test_no_latency_is_no_timing(tmp_path):
    assert found_in(tmp_path) == ()
    assert found_in(tmp_path, limited(Budget(quantity="p99_ms", at_most=3))) == ()


@pytest.mark.parametrize("content", [b"", b"PAR1PAR1", b"candidate,batch,wall_ms\nint8,1,3\n"])
def test_a_file_that_is_none_leaves_the_figures_of_the_verdict(tmp_path, content):
    (tmp_path / "latency.parquet").write_bytes(content)
    (one,) = found_in(tmp_path, latencies=[entry("int8")])
    assert one.spreads[0].quantiles == {}
    assert one.spreads[0].p50 == (3.0, 2.9, 3.2)


def test_a_file_of_an_older_layout_leaves_them_too(tmp_path):
    write_parquet(tmp_path / "latency.parquet", {"candidate": np.array([1.0]), "ms": np.ones(1)})
    (one,) = found_in(tmp_path, latencies=[entry("int8")])
    assert one.spreads[0].quantiles == {}


@pytest.mark.parametrize("name", ["it's", "a;b", "x' OR '1", "*"])
def test_a_folder_may_be_called_anything(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    calls(folder / "latency.parquet", "batch", {("int8", 1): [4.0]})
    (one,) = found_in(folder, latencies=[entry("int8")])
    assert one.spreads[0].quantiles[0.25] == 4.0


def test_candidates_and_loads_may_be_called_anything(tmp_path):
    calls(tmp_path / "load.parquet", "load", {(EVIL, "'; DROP TABLE x; --"): [4.0, 5.0]})
    (one,) = found_in(tmp_path, order=(EVIL,), loads=[load(EVIL, "'; DROP TABLE x; --")])
    assert one.spreads[0].quantiles[0.95] == 5.0
    assert one.title == "under load '; DROP TABLE x; --"
