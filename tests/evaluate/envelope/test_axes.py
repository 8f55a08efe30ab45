"""What fails first, of real linear models on real rows, asked through the store."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.envelope import Envelope, Probe
from surefoot.core.plan import EnvelopePlan, EvaluatePlan
from surefoot.evaluate import fill_cells
from surefoot.evaluate.envelope.axes import LEVEL, measure_envelopes, ratio
from surefoot.evaluate.envelope.timed import (
    NEVER,
    Timed,
    Times,
    _side,
    pooled_calls,
    requests_needed,
    served,
    values,
)
from surefoot.store import Store

SLIPS = EnvelopePlan(axis="unit_slip", max_drop=0.03)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


@pytest.fixture
def trio(candidate, tree_set, answers):
    """A baseline that is always right, its equal, and one of other weights; and their rows."""
    baseline, equal, turned = candidate(), candidate("equal"), candidate("turned", turned=1)
    dataset = tree_set(3_000)
    labels = answers(baseline, dataset.inputs).argmax(axis=1)
    return [baseline, equal, turned], replace(dataset, labels=labels, fingerprint="")


def measured(trio, store, watch, *axes, watcher=None, **options):
    candidates, dataset = trio
    sets = {"main": dataset}
    cells = {c.name: fill_cells(c, sets, store) for c in candidates}
    plan = EvaluatePlan(envelope=list(axes), **options)
    return measure_envelopes(plan, candidates, sets, cells, store, watcher or watch())


def test_equal_models_have_equal_crossings_and_a_ruined_one_holds_nowhere(trio, store, watch):
    baseline, equal, turned = measured(trio, store, watch, SLIPS)
    assert (baseline.candidate, equal.candidate, turned.candidate) == (
        "baseline", "equal", "turned",
    )  # fmt: skip
    assert 0 < baseline.holds_to < baseline.estimate < baseline.fails_at < 5
    assert (baseline.limit, baseline.level, baseline.hardest) == (0.03, LEVEL, 5.0)
    assert baseline.ratio is None
    for name in ("holds_to", "fails_at", "estimate", "probes"):
        assert getattr(equal, name) == getattr(baseline, name)
    assert equal.ratio.value == 1
    assert equal.ratio.low < 1 < equal.ratio.high
    assert (turned.holds_to, turned.fails_at) == (None, 0.0)
    assert (turned.ratio.low, turned.ratio.high) == (0, 0)
    assert turned.asked == 0  # its answers to the rows as they came were known


def test_the_crossing_is_where_all_rows_put_it(trio, store, watch, answers):
    """Every row at every severity, in pieces as the envelope asks them, by numpy alone."""
    from surefoot.evaluate.envelope.severity import SEVERITIES, Asked, in_random_order

    baseline, _, _ = measured(trio, store, watch, SLIPS)
    (one, *_), dataset = trio
    order = in_random_order(dataset)
    with Asked(one, dataset, "unit_slip", np.ones(3_000, bool), store, 32) as asked:
        pieces = [order.rows[first:upto] for first, upto in order.looks()]
        drops = [
            1 - np.concatenate([asked.right(float(s), rows) for rows in pieces]).mean()
            for s in SEVERITIES
        ]
    assert drops[0] == 0
    truth = float(np.interp(0.03, drops, SEVERITIES))
    assert baseline.holds_to <= truth <= baseline.fails_at
    assert baseline.estimate == pytest.approx(truth, abs=0.5)
    assert baseline.grid == 50 * 3_000
    assert baseline.asked < 0.2 * baseline.grid
    for probe in baseline.probes:
        if probe.side == "undecided":
            at = int(np.flatnonzero(np.isclose(SEVERITIES, probe.at))[0])
            assert probe.value == pytest.approx(drops[at])
            assert probe.n == 3_000


def test_all_statements_share_the_level(trio, store, watch):
    """With more axes each needs more rows, so its ends are never closer together."""
    alone = measured(trio, store, watch, SLIPS)[0]
    axes = [SLIPS, *(EnvelopePlan(axis=a, max_drop=0.03) for a in ("missing", "rounding"))]
    among = measured(trio, store, watch, *axes)
    assert [one.axis for one in among] == [a.axis for a in axes for _ in range(3)]
    assert among[0].holds_to <= alone.holds_to
    assert among[0].fails_at >= alone.fails_at
    costs = {probe.at: probe.n for probe in alone.probes}
    assert all(probe.n >= costs.get(probe.at, 0) for probe in among[0].probes)


def test_an_interrupted_one_goes_on_where_it_was(trio, store, watch):
    class Stopped(KeyboardInterrupt):
        pass

    class Stop(watch):
        def advance(self, units=1):
            super().advance(units)
            if self.units.get("baseline along unit_slip") == 4:
                raise Stopped

    with pytest.raises(Stopped):
        measured(trio, store, watch, SLIPS, watcher=Stop())
    folder = store.root / "envelope"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before
    found = measured(trio, store, watch, SLIPS)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    whole = {path.name for path in folder.iterdir()}
    assert measured(trio, store, watch, SLIPS) == found
    assert {path.name for path in folder.iterdir()} == whole


def test_too_few_rows_are_said_before_one_is_asked(trio, store, watch):
    candidates, dataset = trio
    notes = []

    class Noting(watch):
        def note(self, line):
            notes.append((line, dict(self.units)))

    few = (candidates[:1], replace(dataset.rows(np.arange(60)), fingerprint=""))
    (one,) = measured(few, store, watch, SLIPS, watcher=Noting())
    assert (one.holds_to, one.fails_at) == (None, None)
    line, units = notes[0]
    assert line.startswith("60 rows or groups of main are too few to show that anything holds")
    assert not units


@pytest.fixture
def few_suffice(monkeypatch):
    """Slow calls that stand together, on a busy machine, are worth few."""
    monkeypatch.setattr("surefoot.evaluate.envelope.axes.LEVEL", 0.5)


@pytest.mark.usefixtures("quiet", "few_suffice")
def test_batches_and_threads_are_timed_and_kept(trio, store, watch, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    candidates, dataset = trio
    two = (candidates[:2], dataset)
    axes = [
        EnvelopePlan(axis="batch", at_most=1e6, up_to=6, seconds=120.0),
        EnvelopePlan(axis="threads", at_most=1e-6, seconds=120.0),
    ]
    wide, _, narrow, _ = measured(two, store, watch, *axes)
    assert (wide.holds_to, wide.fails_at, wide.hardest) == (4.0, None, 4.0)
    assert (wide.harder_is, narrow.harder_is) == ("more", "less")
    assert (narrow.holds_to, narrow.fails_at, narrow.hardest) == (None, 2.0, 1.0)
    assert [probe.n for probe in wide.probes] == [2_000, 2_000]
    assert wide.asked == 4_000
    assert wide.grid == 0
    assert measured(two, store, watch, *axes)[0] == wide  # from the store: times are the same


def timed(trio, store, wanted):
    (baseline, *_), dataset = trio
    return Timed(wanted=wanted, candidate=baseline, dataset=dataset, store=store, threads=1)


@pytest.mark.usefixtures("quiet", "few_suffice")
def test_a_deadline_is_a_quantile_of_the_times(trio, store, watch):
    wanted = EnvelopePlan(axis="deadline", at_most=0.1, seconds=10.0)
    candidates, dataset = trio
    one, other = measured((candidates[:2], dataset), store, watch, wanted)
    times = pooled_calls(timed(trio, store, wanted), 1, 1).slow
    assert one.estimate == np.sort(times)[math.ceil(0.9 * len(times)) - 1]
    assert one.fails_at < one.estimate < one.holds_to
    assert (times <= one.holds_to).mean() > 0.9 > (times <= one.fails_at).mean()
    assert other.ratio.low <= one.estimate / other.estimate <= other.ratio.high


NOISE = {
    "NOISIEST": (1.0, "times as long as itself"),
    "MOST_FOREIGN": (-1.0, "other processes used"),
}


@pytest.mark.usefixtures("quiet", "few_suffice")
@pytest.mark.parametrize("limit", NOISE)
def test_on_a_noisy_machine_what_holds_holds_and_nothing_fails(
    trio, store, watch, monkeypatch, limit
):
    """Whether it shows in the model against itself or only in what others used."""
    most, said = NOISE[limit]
    monkeypatch.setattr(f"surefoot.evaluate.machine.{limit}", most)
    monkeypatch.setattr("surefoot.evaluate.machine.FEWEST_TICKS", 1)  # the calls are quick
    one = (trio[0][:1], trio[1])
    (slow,) = measured(one, store, watch, EnvelopePlan(axis="batch", at_most=1e-6, up_to=2))
    assert (slow.holds_to, slow.fails_at) == (None, None)
    assert slow.probes[0].reason.startswith("this machine is too noisy")
    assert said in slow.probes[0].reason
    (fast,) = measured(one, store, watch, EnvelopePlan(axis="batch", at_most=1e6, up_to=2))
    assert (fast.holds_to, fast.probes[0].reason) == (2.0, "")
    (wait,) = measured(one, store, watch, EnvelopePlan(axis="deadline", at_most=0.1))
    assert wait.fails_at is None
    assert wait.holds_to > 0
    assert said in wait.probes[0].reason


def test_a_short_time_decides_nothing(trio, store, watch):
    one = (trio[0][:1], trio[1])
    short = EnvelopePlan(axis="deadline", at_most=0.1, seconds=1e-6)
    (hasty,) = measured(one, store, watch, short)
    assert (hasty.holds_to, hasty.fails_at) == (None, None)
    few = "2 calls are too few to bound a quantile; give it more `seconds`"
    assert hasty.probes[0].reason == few
    (hasty,) = measured(one, store, watch, EnvelopePlan(axis="batch", at_most=1e6, seconds=1e-6))
    assert hasty.probes[0].reason == few


@pytest.mark.usefixtures("quiet")
def test_where_no_more_calls_are_made_more_seconds_are_not_the_advice(
    trio, store, watch, monkeypatch
):
    monkeypatch.setattr("surefoot.evaluate.envelope.timed.ROUNDS", 60)
    one = (trio[0][:1], trio[1])
    (wide,) = measured(one, store, watch, EnvelopePlan(axis="batch", at_most=1e6, up_to=2))
    most = "120 calls are too few to bound a quantile, and no more are made; ask for "
    assert (wide.holds_to, wide.probes[0].reason) == (None, f"{most}fewer axes or candidates")
    (wait,) = measured(one, store, watch, EnvelopePlan(axis="deadline", at_most=0.001))
    assert wait.holds_to is None
    less = f"{most}fewer axes or candidates, or a larger `at_most`"
    assert wait.probes[0].reason == less


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("rounds", "judged"), [(49, False), (50, True)])
def test_a_deadline_is_bounded_by_no_fewer_calls_than_any_latency(
    trio, store, watch, monkeypatch, rounds, judged
):
    monkeypatch.setattr("surefoot.evaluate.envelope.timed.ROUNDS", rounds)
    one = (trio[0][:1], trio[1])
    (wait,) = measured(one, store, watch, EnvelopePlan(axis="deadline", at_most=0.5))
    assert (wait.holds_to is not None) == judged


@pytest.mark.usefixtures("quiet")
def test_too_few_calls_lie_on_no_side():
    """With 99 nobody knows how alike neighbours are; 100 of them out of 100 show that it fails."""
    for n, side in [(99, "undecided"), (100, "fails")]:
        times = np.full(n, 10.0)
        assert _side(Times(slow=times, fast=times), 5.0, 0.001) == side


def test_rates_start_where_the_seconds_can_show_anything(trio, store, watch):
    rate = EnvelopePlan(axis="arrival_rate", at_most=20.0, seconds=20.0)
    tried = values(timed(trio, store, rate), 0.001)
    assert tried[0] * 20 >= requests_needed(0.001) > (tried[0] - 7) * 20
    assert tried[-1] == 256
    assert all(1 < b / a < 1.25 for a, b in itertools.pairwise(tried))
    longer = EnvelopePlan(axis="arrival_rate", at_most=20.0, seconds=2_000.0, up_to=10)
    assert list(values(timed(trio, store, longer), 0.001)) == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    notes = []

    class Noting(watch):
        def note(self, line):
            notes.append(line)

    hasty = EnvelopePlan(axis="arrival_rate", at_most=20.0, seconds=0.5, up_to=2)
    (one,) = measured((trio[0][:1], trio[1]), store, watch, hasty, watcher=Noting())
    assert (one.holds_to, one.fails_at) == (None, None)
    assert notes[0].startswith("0.5 seconds at 2 requests a second are too few to show that")


@pytest.mark.usefixtures("quiet")
def test_arrivals_are_put_on_the_model_and_kept(trio, store, watch, monkeypatch):
    one = (trio[0][:1], trio[1])
    # Few requests suffice, and those of a machine that stalled too: where late ones stand side by
    # side, all together are worth no more than ten.
    monkeypatch.setattr("surefoot.evaluate.envelope.axes.LEVEL", 0.05)
    rate = {"axis": "arrival_rate", "seconds": 1.5, "up_to": 150}
    # A limit that even an answer that never comes keeps: a stall of the machine is no failure here.
    (calm,) = measured(one, store, watch, EnvelopePlan(at_most=2 * NEVER, **rate))
    assert (calm.holds_to, calm.fails_at, calm.hardest) == (150.0, None, 150.0)
    for probe in calm.probes:
        assert probe.n == pytest.approx(1.5 * probe.at, rel=0.2)
        assert probe.value > 0
    folder = store.root / "envelope"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (late,) = measured(one, store, watch, EnvelopePlan(at_most=1e-6, **rate))
    assert (late.holds_to, late.fails_at) == (None, calm.probes[0].at)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    monkeypatch.setattr("surefoot.evaluate.machine.MOST_FOREIGN", -1.0)
    monkeypatch.setattr("surefoot.evaluate.machine.FEWEST_TICKS", 1)
    (busy,) = measured(one, store, watch, EnvelopePlan(at_most=1e-6, **rate))
    assert busy.fails_at is None
    assert "of the processors' time" in busy.probes[0].reason


@pytest.mark.usefixtures("quiet")
def test_what_a_noisy_machine_showed_of_an_axis_is_not_kept(trio, store, monkeypatch):
    rate = EnvelopePlan(axis="arrival_rate", at_most=20.0, seconds=0.2)
    calls = EnvelopePlan(axis="batch", at_most=20.0, seconds=0.2)
    kept = (lambda: served(timed(trio, store, rate), 100), store.root / "envelope")
    turns = (lambda: pooled_calls(timed(trio, store, calls), 1, 1), store.root / "latency")
    for measure, folder in (kept, turns):
        monkeypatch.setattr("surefoot.evaluate.machine.MOST_FOREIGN", -1.0)
        monkeypatch.setattr("surefoot.evaluate.machine.FEWEST_TICKS", 1)
        assert measure().slow.tolist() != measure().slow.tolist()
        assert not folder.exists()
        monkeypatch.setattr("surefoot.evaluate.machine.MOST_FOREIGN", 1.0)
        assert measure().slow.tolist() == measure().slow.tolist()
        assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(("limit", "side"), [(12.0, "holds"), (9.0, "fails"), (10.0, "undecided")])
def test_a_percentile_is_only_decided_where_it_is_certain(limit, side):
    """True 99th percentile 10: one call in a hundred takes longer."""
    times = np.tile([*[1.0] * 98, 10.0, 11.0], 30)
    assert _side(Times(slow=times, fast=times), limit, 0.001) == side


def test_lateness_of_the_generator_is_held_against_nobody():
    slow = np.full(2_000, 10.0)
    assert _side(Times(slow=slow, fast=slow), 5.0, 0.001) == "fails"
    assert _side(Times(slow=slow, fast=slow - 6), 5.0, 0.001) == "undecided"


def envelope(holds, fails, estimate=None, harder="more"):
    return Envelope(
        axis="a", candidate="c", dataset="d", limit=0.1, holds_to=holds, fails_at=fails,
        estimate=estimate, hardest=5.0, harder_is=harder, level=0.95, asked=10, grid=0,
        probes=(Probe(at=0.0, side="holds", value=0.0, n=10),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "first", "harder", "low", "high"),
    [
        ((2.0, 3.0), (4.0, 5.0), "more", 2 / 5, 3 / 4),
        ((2.0, 3.0), (5.0, None), "more", 0, 3 / 5),
        ((5.0, None), (2.0, 4.0), "more", 5 / 4, math.inf),
        ((None, 0.0), (2.0, 4.0), "more", 0, 0),
        ((None, 1.0), (None, 1.0), "more", 0, math.inf),
        ((None, None), (None, None), "more", 0, math.inf),
        ((8.0, 6.0), (4.0, 3.0), "less", 3 / 8, 4 / 6),
        ((None, 6.0), (4.0, 3.0), "less", 0, 4 / 6),
        ((8.0, None), (4.0, 3.0), "less", 3 / 8, math.inf),
        ((4.0, 3.0), (None, 6.0), "less", 6 / 4, math.inf),
    ],
)
def test_the_ratio_is_bounded_by_the_ends(one, first, harder, low, high):
    found = ratio(envelope(*one, harder=harder), envelope(*first, harder=harder))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.n == 20


def test_the_ratio_contains_every_pair_of_crossings_within_the_ends():
    for a, b in itertools.product(np.linspace(2, 3, 5), np.linspace(4, 6, 5)):
        more = ratio(envelope(2.0, 3.0, a), envelope(4.0, 6.0, b))
        less = ratio(envelope(3.0, 2.0, a, "less"), envelope(6.0, 4.0, b, "less"))
        assert more.low <= more.value == a / b <= more.high
        assert less.low <= less.value == b / a <= less.high


def test_whoever_does_not_run_along_an_axis_keeps_nobody_from_it(trio, store, watch):
    (baseline, equal, turned), dataset = trio
    sets = {"main": dataset}
    cells = {c.name: fill_cells(c, sets, store) for c in (baseline, equal, turned)}
    broken = replace(equal, runtime="torch")
    plan = EvaluatePlan(envelope=[SLIPS])
    everyone = [baseline, broken, turned]
    first, second, third = measure_envelopes(plan, everyone, sets, cells, store, watch())
    assert (second.holds_to, second.fails_at, second.asked) == (None, None, 0)
    assert "runtime 'torch' does not read the format 'onnx'" in second.probes[0].reason
    assert first.asked > 0
    assert third.fails_at == 0
