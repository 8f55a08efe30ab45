from __future__ import annotations

import itertools
import math
import os
import shutil
import time
from dataclasses import replace
from functools import partial

import duckdb
import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError
from surefoot.core.plan import LatencyPlan
from surefoot.core.progress import Silent
from surefoot.evaluate.latency import AGAIN, WARM_UP, _rows, measure_latency, take_turns
from surefoot.gate import noise, summaries
from surefoot.store import Store

pytestmark = pytest.mark.usefixtures("quiet")

QUICK = LatencyPlan(batch=[1, 3], calls=12, seconds=20)


NUMBERED = Dataset(
    name="main", ids=np.array([str(i) for i in range(50)], np.dtypes.StringDType()),
    inputs=np.arange(50.0, dtype=np.float32)[:, None], labels=np.zeros(50, np.int64),
    classes=("a", "b"),
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


@pytest.fixture
def both(candidate):
    return [candidate(), candidate("vino", runtime="openvino", turned=1)]


def rounds(calls, count, seconds=60.0):
    """The rounds themselves, over plain functions in place of open models."""
    settings = LatencyPlan(calls=count, seconds=seconds)
    return take_turns(calls, NUMBERED, 1, settings, Silent())


def test_every_candidate_is_timed_at_every_batch_and_the_baseline_twice(
    both, tree_set, store, watch
):
    seen = watch()
    loads = measure_latency(both, tree_set(), store, replace(QUICK, threads=2), seen)
    assert [(load.candidate, load.batch, load.runtime) for load in loads] == [
        ("baseline", 1, "onnxruntime"), ("vino", 1, "openvino"),
        ("baseline" + AGAIN, 1, "onnxruntime"),
        ("baseline", 3, "onnxruntime"), ("vino", 3, "openvino"),
        ("baseline" + AGAIN, 3, "onnxruntime"),
    ]  # fmt: skip
    for load in loads:
        assert load.threads == 2
        assert len(load.wall_ms) == len(load.cpu_ms) == 12
        assert (load.wall_ms > 0).all()
    assert seen.units == {"latency at batch 1": 12, "latency at batch 3": 12}


def test_candidates_take_turns_on_the_same_rows_in_a_changing_order():
    log = []
    calls = {
        name: partial(lambda name, rows: log.append((rows.item(), name)), name) for name in "abc"
    }
    wall, cpu = rounds(calls, 40)
    turns = [log[i : i + 3] for i in range(0, len(log), 3)]
    assert len(turns) == WARM_UP + 40
    for turn in turns:
        assert sorted(turn) == [(turn[0][0], name) for name in "abc"]
    assert len({turn[0][0] for turn in turns}) > 15
    counted = ["".join(name for _, name in turn) for turn in turns[WARM_UP:]]
    assert set(counted) == set(map("".join, itertools.permutations("abc")))
    assert {name: len(values) for name, values in (wall | cpu).items()} == dict.fromkeys("abc", 40)


def test_beside_a_large_model_a_quick_one_is_called_before_it_counts():
    """On other rows; the large one fills its caches itself, and has no such calls."""
    log = []

    def work(name, seconds, rows):
        log.append((name, rows.item()))
        if seconds:
            time.sleep(seconds)

    calls = {"quick": partial(work, "quick", 0), "large": partial(work, "large", 4e-3)}
    wall, _ = rounds(calls, 20)
    names = [name for name, _ in log]
    assert names.count("large") == WARM_UP + 20
    assert names.count("quick") > WARM_UP + 2 * 20
    assert {len(values) for values in wall.values()} == {20}
    log.clear()
    rounds({"quick": calls["quick"]}, 20)
    assert len(log) == WARM_UP + 20


def test_a_machine_that_slows_down_slows_all_alike():
    """Timed one after the other, the first would seem four times as fast as the second."""
    started = []

    def work(_rows):
        started.append(None)
        time.sleep(0.001 if len(started) < 80 else 0.004)

    wall, _ = rounds({"a": work, "b": work}, 75)
    assert np.median(wall["a"][-20:]) > 2 * np.median(wall["a"][:20])
    ratios = np.array(wall["a"]) / np.array(wall["b"])
    assert np.median(ratios) == pytest.approx(1, abs=0.3)


def test_waiting_counts_on_the_clock_and_not_as_cpu_time():
    def busy(_rows):
        end = time.process_time() + 0.003
        while time.process_time() < end:
            pass

    wall, cpu = rounds({"busy": busy, "idle": lambda _: time.sleep(0.003)}, 10)
    assert min(wall["busy"]) >= 3
    assert min(cpu["busy"]) >= 3
    assert min(wall["idle"]) >= 3
    assert np.median(cpu["idle"]) < 1.5


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.0, 1, 1), (0.1, 1, 13)])
def test_time_that_is_up_ends_all_after_the_same_round(seconds, least, most):
    work = {name: lambda _: time.sleep(0.004) for name in "ab"}
    wall, cpu = rounds(work, 10_000, seconds)
    counts = {len(values) for values in (*wall.values(), *cpu.values())}
    assert len(counts) == 1
    assert least <= counts.pop() <= most


@pytest.mark.parametrize("batch", [1, 7])
def test_every_run_draws_the_same_rows_of_the_data(tree_set, batch):
    rows = tree_set(20)
    first, second = (list(itertools.islice(_rows(rows, batch), 30)) for _ in range(2))
    assert all(inputs.shape == (batch, 4) for inputs in first)
    np.testing.assert_array_equal(first, second)
    drawn = {row.tobytes() for inputs in first for row in inputs}
    assert drawn <= {row.tobytes() for row in rows.inputs}
    assert len(drawn) > 10


def test_a_batch_may_be_larger_than_the_data(candidate, tree_set, store):
    loads = measure_latency([candidate()], tree_set(2), store, replace(QUICK, batch=[5]))
    assert [load.batch for load in loads] == [5, 5]


def test_finished_latencies_are_not_measured_again(both, tree_set, store, watch):
    first = measure_latency(both, tree_set(), store, QUICK)
    shutil.rmtree(both[1].model.path)
    seen = watch()
    again = measure_latency(both, tree_set(), store, QUICK, seen)
    assert seen.totals == {}
    for old, new in zip(first, again, strict=True):
        assert (new.candidate, new.batch) == (old.candidate, old.batch)
        assert new.wall_ms.tolist() == old.wall_ms.tolist()
        assert new.cpu_ms.tolist() == old.cpu_ms.tolist()


@pytest.mark.parametrize("limit", ["NOISIEST", "MOST_FOREIGN"])
def test_what_a_noisy_machine_showed_is_measured_again(
    candidate, tree_set, store, watch, monkeypatch, limit
):
    """However noise shows; it is there for this run, and gone for the next."""
    # Long enough for Linux, which counts in ticks, to have seen anything.
    quick, seen = LatencyPlan(batch=[1], calls=100_000, seconds=0.1), watch()
    with monkeypatch.context() as noisy:
        noisy.setattr(f"surefoot.evaluate.machine.{limit}", -1.0)
        noisy.setattr("surefoot.evaluate.machine.FEWEST_TICKS", 1)
        first = measure_latency([candidate()], tree_set(), store, quick)
        assert len(first) == 2
        assert not (store.root / "latency").exists()
    again = measure_latency([candidate()], tree_set(), store, quick, seen)
    assert list(seen.totals) == ["latency at batch 1"]
    assert again[0].wall_ms.tolist() != first[0].wall_ms.tolist()
    kept = measure_latency([candidate()], tree_set(), store, quick, watch())
    assert kept[0].wall_ms.tolist() == again[0].wall_ms.tolist()
    assert kept[0].machine == again[0].machine


def test_a_run_stopped_midway_measures_only_the_batch_that_is_missing(both, tree_set, store, watch):
    with pytest.raises(KeyboardInterrupt):
        measure_latency(both, tree_set(), store, QUICK, watch(stop_at="batch 3"))
    assert len(list((store.root / "latency").iterdir())) == 1
    seen = watch()
    assert len(measure_latency(both, tree_set(), store, QUICK, seen)) == 6
    assert list(seen.totals) == ["latency at batch 3"]


@pytest.mark.parametrize("change", ["calls", "threads", "rows", "runtime", "candidates"])
def test_a_change_measures_all_candidates_anew_in_turns(both, tree_set, store, watch, change):
    settings = replace(QUICK, batch=[1])
    measure_latency(both, tree_set(), store, settings)
    rows = tree_set(seed=int(change == "rows"))
    if change in ("calls", "threads"):
        settings = replace(settings, **{change: 4})
    if change == "runtime":
        both = [both[0], replace(both[1], runtime="onnxruntime")]
    if change == "candidates":
        both = both[:1]
    seen = watch()
    loads = measure_latency(both, rows, store, settings, seen)
    assert list(seen.totals) == ["latency at batch 1"]
    assert len(loads) == len(both) + 1


def test_each_call_is_kept_with_its_time(candidate, tree_set, store):
    loads = measure_latency([candidate()], tree_set(), store, replace(QUICK, batch=[1]))
    (file,) = store.root.glob("latency/*/latency.parquet")
    kept = duckdb.sql(f"SELECT wall0, wall1 FROM '{file}'").fetchnumpy()
    assert kept["wall0"].tolist() == loads[0].wall_ms.tolist()
    assert kept["wall1"].tolist() == loads[1].wall_ms.tolist()


def test_a_percentile_never_comes_from_too_few_calls(candidate, tree_set, store):
    loads = measure_latency([candidate()], tree_set(), store, replace(QUICK, batch=[1]))
    for entry, load in zip(summaries(loads), loads, strict=True):
        assert entry["p99_ms"].high == math.inf
        assert entry["p99_ms"].n == 12
        # By hand: 2.5 % of binomial(12, 1/2) lie below 3, so the 3rd and the 10th value bound it.
        ordered = np.sort(load.wall_ms)
        median = entry["p50_ms"]
        assert (median.low, median.value, median.high) == (ordered[2], ordered[5], ordered[9])


def test_the_noise_floor_is_the_baseline_against_itself(both, tree_set, store):
    loads = measure_latency(both, tree_set(), store, QUICK)
    floor = noise(loads)
    assert [entry["batch"] for entry in floor] == [1, 3]
    ratios = np.sort(loads[5].wall_ms / loads[3].wall_ms)
    assert floor[1]["ratio"].value == ratios[5]
    assert floor[1]["ratio"].low <= ratios[5] <= floor[1]["ratio"].high


def test_a_model_that_no_longer_answers_as_it_did_is_not_timed(both, tree_set, store):
    """Weights of the one under the golden vectors of the other."""
    shutil.copyfile(both[0].model.path / "model.onnx", both[1].model.path / "model.onnx")
    with pytest.raises(ModelError, match=r"vino-model/golden.npz: golden row \d differs by"):
        measure_latency(both, tree_set(), store, QUICK)
    assert not list(store.root.rglob("*.parquet"))


@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_damaged_latencies_are_measured_again(candidate, tree_set, store, damage):
    first = measure_latency([candidate()], tree_set(), store, QUICK)
    (file, *_) = store.root.rglob("latency.parquet")
    if damage == "cut":
        os.truncate(file, 30)
    else:
        file.unlink()
    again = measure_latency([candidate()], tree_set(), store, QUICK)
    assert [len(load.wall_ms) for load in again] == [len(load.wall_ms) for load in first]
    assert file.stat().st_size > 30
