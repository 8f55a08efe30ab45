"""A plan with loads from end to end: in process, at an endpoint, in the bundle and the report."""

from __future__ import annotations

import csv
import json

import duckdb
import numpy as np
import pytest

from surefoot.bundle import read_bundle
from surefoot.core.errors import ModelError
from surefoot.plan import read_plan
from surefoot.report.bundle import bundle_lines
from surefoot.run import run_plan

PLAN = """
[task]
kind = "tabular-classification"
test.main = {{ use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"] }}
[model]
path = "model.onnx"
classes = ["ash", "birch", "oak"]
[[candidate]]
name = "vino"
steps = []
runtime = "openvino"
[evaluate]
latency = {{ batch = [1], calls = 20, seconds = 10 }}
[evaluate.load.peak]
scenario = "server"
target_qps = 200
seconds = 2.5
deadlines_ms = [0.001, 10000]
[evaluate.load.bulk]
scenario = "offline"
seconds = 0.1
[evaluate.load.live]
scenario = "server"
target_qps = 200
seconds = 2.5
url = "{url}"
candidate = "vino"
[[budget]]
quantity = "p99_ms"
at_most = 5000
load = "peak"
[[budget]]
quantity = "p99_ms"
at_most = 5000
load = "live"
[[budget]]
quantity = "rows_per_s"
at_least = 1
load = "bulk"
"""


@pytest.fixture
def folder(tmp_path, linear):
    """A linear model and 100 rows, of which it answers all but each tenth right."""
    import onnx

    weight = onnx.numpy_helper.to_array(
        onnx.load(linear(tmp_path / "model.onnx")).graph.initializer[0]
    )
    inputs = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    labels = (inputs @ weight).argmax(axis=1)
    labels[::10] = (labels[::10] + 1) % 3
    with (tmp_path / "test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", "d", "tree"])
        names = np.array(["ash", "birch", "oak"])[labels]
        writer.writerows([*row, name] for row, name in zip(inputs.tolist(), names, strict=True))
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_a_plan_with_loads_ends_in_a_bundle_that_tells_of_each_request(folder, serving, watch):
    seen = watch()
    with serving() as server:
        (folder / "plan.toml").write_text(PLAN.format(url=server.url))
        plan = read_plan(folder / "plan.toml")
        bundle, _ = run_plan(plan, folder / "run", seen)
    assert [title for title in seen.totals if title.startswith("load")] == [
        "load peak: baseline", "load peak: vino", "load peak: baseline (again)",
        "load bulk: baseline", "load bulk: vino", "load bulk: baseline (again)",
        "load live: vino",
    ]  # fmt: skip
    # The endpoint is gone, and nothing is missing.
    assert run_plan(plan, folder / "run") == (bundle, False)
    told = json.loads((bundle.path / "verdict.json").read_text())
    _check_requests(bundle.path, told)
    _check_deadlines(bundle.path, told)
    findings = read_bundle(bundle.path).verdicts[0].findings
    assert [f.subject for f in findings] == [
        "p99_ms under peak",
        "p99_ms under live",
        "rows_per_s under bulk",
    ]
    # What the endpoint answers has nothing to do with the candidate that it is said to serve.
    assert findings[1].outcome == "INCONCLUSIVE"
    assert "the endpoint does not serve 'vino'" in " ".join(bundle_lines(bundle.path))
    _check_report(bundle_lines(bundle.path), server.url)


def _check_requests(path, told):
    table = f"'{path}/load.parquet'"
    counts = duckdb.sql(
        f"SELECT load, candidate, count(DISTINCT request) FROM {table} GROUP BY 1, 2"
    )
    found = {(load, name): n for load, name, n in counts.fetchall()}
    for name in ("baseline", "vino", "baseline (again)"):
        assert found["peak", name] == 500
        assert found["bulk", name] >= 1
    assert found["live", "vino"] == 500
    assert ("live", "baseline") not in found
    for entry in told["loads"]:
        where = f"load = '{entry['load']}' AND candidate = '{entry['candidate']}'"
        (median,) = duckdb.sql(
            f"SELECT quantile_disc(wall_ms, 0.5) FROM {table} WHERE {where}"
        ).fetchall()[0]
        assert entry["p50_ms"]["value"] == pytest.approx(median)
        assert entry["requests"] == found[entry["load"], entry["candidate"]]
    # The answers under load are those of the cell, row by row.
    ((differ,),) = duckdb.sql(
        f"SELECT count(*) FROM {table} l JOIN '{path}/cells/vino/main.parquet' c USING (id)"
        " WHERE l.load = 'peak' AND l.candidate = 'vino' AND"
        " (l.answer <> c.predicted OR l.correct <> c.correct)"
    ).fetchall()
    assert differ == 0


def _check_deadlines(path, told):
    """Nothing comes within a microsecond, and all within ten seconds."""
    of_peak = [d for d in told["deadlines"] if d["load"] == "peak"]
    assert [(d["candidate"], d["deadline_ms"]) for d in of_peak] == [
        ("baseline", 0.001), ("baseline", 10000), ("vino", 0.001), ("vino", 10000),
    ]  # fmt: skip
    for name in ("baseline", "vino"):
        never, always = (d for d in of_peak if d["candidate"] == name)
        ((right,),) = duckdb.sql(
            f"SELECT avg(correct::INT) FROM '{path}/load.parquet'"
            f" WHERE load = 'peak' AND candidate = '{name}'"
        ).fetchall()
        assert (never["in_time"]["value"], never["accuracy"]["value"]) == (0, 0)
        assert never["fallback"]["value"] == always["accuracy"]["value"] == pytest.approx(right)
        assert always["in_time"]["value"] == 1
    assert not [d for d in told["deadlines"] if d["load"] == "bulk"]


def _check_report(lines, url):
    assert "load peak (server: 200 requests a second, 1 row a request, 1 thread):" in lines
    assert f"load live (server: 200 requests a second, 1 row a request at {url}):" in lines
    assert "load bulk (offline: all rows at once, 32 rows a request, 1 thread):" in lines
    assert "accuracy under load peak by deadline:" in lines


def test_an_endpoint_that_is_not_there_is_said_before_anything_is_measured(folder, serving, watch):
    with serving() as server:
        (folder / "plan.toml").write_text(PLAN.format(url=server.url))
    seen = watch()
    with pytest.raises(ModelError, match="does not answer: connection refused; start it"):
        run_plan(read_plan(folder / "plan.toml"), folder / "run", seen)
    assert not [title for title in seen.totals if "on main" in title]
