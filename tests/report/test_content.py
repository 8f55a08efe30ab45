"""What a report says, held against the bundle that it is about."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import duckdb
import numpy as np
import pytest

from surefoot import stats
from surefoot.bundle import read_bundle
from surefoot.core.errors import BundleError
from surefoot.report.content import read_content
from surefoot.report.places import shown_change
from surefoot.report.timings import SHARES


@pytest.fixture(scope="module")
def content(rich):
    return read_content(rich)


def told(path, key):
    return json.loads((path / "verdict.json").read_text())[key]


def gaps_of(path):
    return [gap.what for gap in read_content(path).gaps]


def test_the_verdict_is_that_of_the_bundle(content, rich):
    verdicts = {v.candidate: v for v in read_bundle(rich).verdicts}
    assert content.outcome == verdicts[content.candidate].outcome
    assert content.standings[0].outcome is None
    assert {s.name: s.outcome for s in content.standings[1:]} == {
        name: verdict.outcome for name, verdict in verdicts.items()
    }
    assert [len(s.budgets) for s in content.standings[1:]] == [4, 4]


def test_reasons_of_a_failure_are_its_failed_budgets(own, edit):
    verdicts = [v for v in told(own, "verdicts") if v["candidate"] == "ruined"]
    edit(own, verdicts=verdicts, winner=None)
    content = read_content(own)
    assert content.outcome == "FAIL"
    failed = [f for f in verdicts[0]["findings"] if f["outcome"] == "FAIL"]
    assert failed
    assert all(any(r.startswith(f["subject"]) for r in content.reasons) for f in failed)
    assert content.reasons[-1].startswith("worst slice: ")


def test_every_place_has_a_difference_with_an_interval_and_an_outcome_where_it_was_judged(content):
    findings = {
        (v["candidate"], f["paired"]["dataset"], f["paired"]["shift"], f["paired"]["slice"]): f
        for v in content.data["verdicts"]
        for f in v["findings"]
        if f["paired"]
    }
    assert len(content.places) == len(content.data["comparisons"]) == 24
    for line in content.places:
        finding = findings.get((line.candidate, line.dataset, line.shift, line.slice))
        assert line.delta is not None
        assert line.delta.value == pytest.approx(line.value - line.baseline)
        assert (line.outcome is None) == (finding is None)
        if finding:
            assert line.outcome == finding["outcome"]
            assert line.delta.low == finding["estimate"]["low"]
        else:
            assert line.delta.level == 0.95


def test_where_nothing_was_judged_the_interval_is_tangos_or_that_of_groups(content):
    methods = {p.dataset: p.delta.method for p in content.places if p.outcome is None}
    assert methods["main"] in ("Tango score", "exact, few changes")
    assert methods["far"].startswith("clustered")
    line = next(
        p for p in content.places
        if (p.dataset, p.candidate, p.shift, p.slice) == ("main", "ruined", "rounding", None)
    )  # fmt: skip
    expected = stats.paired_proportions(line.lost, line.won, line.n, level=0.95)
    assert line.delta.low == pytest.approx(float(expected.low))


def test_an_older_bundle_gives_intervals_from_its_counts_and_none_for_rows_in_groups(own, edit):
    new = {p.name: p for p in read_content(own).places if p.candidate == "ruined"}
    data = json.loads((own / "verdict.json").read_text())
    del data["differences"]
    (own / "verdict.json").write_text(json.dumps(data))
    old = {p.name: p for p in read_content(own).places if p.candidate == "ruined"}
    assert old["main + rounding 1"].delta.high == pytest.approx(new["main + rounding 1"].delta.high)
    assert old["far + rounding 1"].delta is None
    assert shown_change(old["far + rounding 1"]).endswith("(no interval)")
    assert old["far"].delta == new["far"].delta  # the verdict's own


def test_quantiles_of_the_calls_are_those_of_the_parquet_file(content, rich):
    timing = content.timings[0]
    assert timing.title == "1 row a call, 1 thread"
    assert timing.limits == {"p99": 1000.0}
    assert [s.name for s in timing.spreads] == [s.name for s in content.standings]
    for spread in timing.spreads:
        wall = duckdb.sql(
            f"SELECT wall_ms FROM '{rich}/latency.parquet' WHERE batch = 1"
            f" AND candidate = '{spread.name}'"
        ).fetchnumpy()["wall_ms"]
        expected = np.quantile(wall, SHARES, method="inverted_cdf")
        assert list(spread.quantiles.values()) == pytest.approx(expected.tolist())
        assert math.isinf(spread.p99[2])  # 40 calls bound no 99th percentile from above


def test_a_load_has_its_latencies_too(content):
    load = content.timings[-1]
    assert load.title == "under load web"
    assert load.limits == {}
    assert all(s.quantiles for s in load.spreads)


def test_the_front_takes_each_candidate_where_its_budget_is_most_in_doubt(content):
    points = {p.name: p for p in content.front.points}
    assert content.front.limit == pytest.approx(-5.0)
    assert (points["baseline"].gain, points["baseline"].low) == (0, 0)
    verdict = next(v for v in content.data["verdicts"] if v["candidate"] == "ruined")
    drops = [f for f in verdict["findings"] if f["budget"]["max_drop"]]
    worst = max(drops, key=lambda f: (f["p_pass"], -f["p_fail"]))
    assert points["ruined"].subject == worst["subject"]
    assert points["ruined"].gain == pytest.approx(100 * worst["estimate"]["value"])
    for one in points.values():
        better = [
            p for p in points.values()
            if p.cost <= one.cost and p.gain >= one.gain and p is not one
        ]  # fmt: skip
        assert one.on_front == (not better)


def test_changed_answers_are_those_of_the_cells_and_no_row_is_shown(content, rich):
    found = content.gallery
    shown = read_content(rich).gallery
    assert shown == found
    if content.candidate == "ruined":
        assert found.shown
    assert all("input" not in name for name in found.__dataclass_fields__)


def test_changed_answers_of_the_loser(own, edit):
    edit(own, verdicts=[v for v in told(own, "verdicts") if v["candidate"] == "ruined"])
    found = read_content(own).gallery
    worst = found.places[0].split(" ")[0]
    lost = sum(found.counts.values())
    assert lost > 0
    assert found.counts["lost"] >= len([s for s in found.shown if s.kind == "lost"]) > 0
    moved = [s.moved for s in found.shown if s.kind == "lost"]
    assert moved == sorted(moved, reverse=True)
    row = next(s for s in found.shown if s.where == found.places[0])
    base, new = (
        duckdb.execute(
            f"SELECT predicted FROM read_parquet('{own}/cells/{who}/{worst}*.parquet') WHERE id = ?"
            f" AND dataset = ?",
            [row.id, worst],
        ).fetchall()
        for who in ("baseline", "ruined")
    )
    assert (row.before,) in base
    assert (row.after,) in new


def test_a_bundle_without_cells_or_whose_answers_are_hashed_says_so(own, edit):
    edit(own, verdicts=[v for v in told(own, "verdicts") if v["candidate"] == "ruined"])
    edit(own, evidence={"kind": "hashed", "salt": "s"})
    found = read_content(own).gallery
    assert (found.shown, found.counts) == ((), {})
    assert "the evidence is hashed" in found.note
    edit(own, evidence={"kind": "rows"})
    assert read_content(own).gallery.shown
    for file in own.glob("cells/*/*.parquet"):
        file.unlink()
    assert "lacks the cells" in read_content(own).gallery.note


def test_what_was_not_tested_is_what_the_bundle_lacks(content, own, edit):
    found = [gap.what for gap in content.gaps]
    assert any("measured under rounding, but no budget judges it" in what for what in found)
    assert "memory was not measured" in found
    assert any("other seeds" in what for what in found)
    assert any("checks that no budget judges: finite" in what for what in found)
    assert not any("no shift was measured" in what for what in found)
    assert not any("taken as independent" in what for what in found)
    plain = [c for c in told(own, "comparisons") if not c["shift"] and c["slice"] is None]
    one = [c for c in plain if c["dataset"] == "main"]
    edit(
        own, comparisons=one, differences=[None] * len(one), checks=[], loads=[], latencies=[],
        envelopes=[], failed={"deep": "no layers"}, calibration=None,
    )  # fmt: skip
    bare = gaps_of(own)
    for words in (
        "no shift was measured", "no axis was followed", "'main' is the only test set",
        "no slice was declared", "latency was not measured", "calls were timed one at a time",
        "no check was asked for", "no temperature was fitted", "could not be made: deep",
    ):  # fmt: skip
        assert any(words in what for what in bare), words


def test_few_rows_and_a_load_that_proves_nothing_are_gaps(own, edit):
    comparisons = told(own, "comparisons")
    for one in comparisons:
        one["n"] = 60 if one["slice"] is None else 20
    loads = told(own, "loads")
    for one in loads:
        one["invalid"] = "the generator was late"
    edit(own, comparisons=comparisons, loads=loads)
    found = gaps_of(own)
    assert "test sets with few rows: main (n=60), far (n=60)" in found
    assert "slices with few rows: left (n=20)" in found
    assert any(what.startswith("load web proves nothing for baseline, vino") for what in found)


def test_how_to_reproduce_names_the_bundle_as_the_user_did(rich, tmp_path):
    said = read_content(rich, shown=tmp_path / "a b.zip").reproduce
    assert f"surefoot verify '{tmp_path}/a b.zip'" in "\n".join(said)
    assert f"numpy=={np.__version__}" in said[0]


def test_without_latencies_the_front_is_by_size(own, edit):
    edit(own, latencies=[], noise=[])
    front = read_content(own).front
    assert front.cost == "MB"
    assert all(p.cost == p.cost_low == p.cost_high > 0 for p in front.points)


def test_it_needs_no_heavy_library_and_no_model(own):
    gone = ["torch", "transformers", "sklearn", "pandas", "onnx", "onnxruntime", "openvino"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({gone}))\n"
        "from pathlib import Path; from surefoot.report.forms import in_form\n"
        f"b = Path({str(own)!r})\n"
        "print([len(in_form(f, b, shown=b)) > 1000 for f in "
        "('html', 'plain', 'markdown', 'json', 'junit')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str([True] * 5), done.stderr


def test_a_bundle_without_a_plan_is_refused(own):
    (own / "plan.json").unlink()
    with pytest.raises(BundleError, match="no plan that can be read"):
        read_content(own)
