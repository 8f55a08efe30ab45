"""What a person reads of a bundle, held against the Parquet files that lie beside it."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pytest

from surefoot.bundle import read_bundle
from surefoot.core.errors import BundleError
from surefoot.plan import read_plan
from surefoot.report.bundle import bundle_exit_code, bundle_lines
from surefoot.report.terminal import verdict_line
from surefoot.run import run_plan

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"] }
[model]
path = "model.onnx"
classes = ["ash", "birch", "oak"]
[[candidate]]
name = "vino"
steps = []
runtime = "openvino"
[[candidate]]
name = "ruined"
steps = [{ use = "quantize_dynamic", per_channel = false, head = true }]
[evaluate]
slices = { left = "a < 0" }
latency = { batch = [1, 4], calls = 20, seconds = 10 }
[[budget]]
quantity = "accuracy"
max_drop = 0.05
[[budget]]
quantity = "log_loss"
max_drop = 2.0
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, linear):
    """The bundle of a real run: one candidate passes, one fails."""
    import onnx

    folder = tmp_path_factory.mktemp("report")
    proto = onnx.load(linear(folder / "model.onnx"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[3] = 1000  # on a column of zeros: leaves the other weights no place in 8 bits
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, folder / "model.onnx")
    inputs = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    inputs[:, 3] = 0
    labels = np.array(["ash", "birch", "oak"])[(inputs @ weight).argmax(axis=1)]
    with (folder / "test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", "d", "tree"])
        writer.writerows([*row, label] for row, label in zip(inputs.tolist(), labels, strict=True))
    (folder / "plan.toml").write_text(PLAN)
    bundle, _ = run_plan(read_plan(folder / "plan.toml"), folder / "run")
    return bundle.path


@pytest.fixture
def copied(made, tmp_path):
    """The same bundle at a place of the test's own."""
    return shutil.copytree(made, tmp_path / "bundle")


def edit(path, **changes):
    file = path / "verdict.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def told(path, key):
    return json.loads((path / "verdict.json").read_text())[key]


def row(lines, start, *, after=""):
    """The cells of the first line that starts so, behind the line `after`."""
    begin = lines.index(after) if after else 0
    return re.split(r"  +", next(line for line in lines[begin:] if line.startswith(start)))


def test_the_first_and_the_last_line_are_the_best_verdict(made):
    lines = bundle_lines(made)
    verdicts = {v.candidate: v for v in read_bundle(made).verdicts}
    assert {name: v.outcome for name, v in verdicts.items()} == {"vino": "PASS", "ruined": "FAIL"}
    assert lines[0] == lines[-1] == verdict_line(verdicts["vino"])
    assert bundle_exit_code(made) == 0


def test_the_matrix_says_what_the_rows_say(made):
    lines = bundle_lines(made)
    for where, place in (("main (n", "true"), ("main [left] (n", "b.slice_left")):
        shown = row(lines, where, after="accuracy, with answers lost/won:")
        n, baseline = duckdb.sql(
            "SELECT count(*), avg(b.correct::INT)"
            f" FROM '{made}/cells/baseline/main.parquet' b WHERE {place}"
        ).fetchall()[0]
        assert shown[:2] == [f"{where}={n})", f"{baseline:.3f}"]
        found = {}
        for name in ("vino", "ruined"):
            value, lost, won = duckdb.sql(
                "SELECT avg(c.correct::INT), count(*) FILTER (b.correct AND NOT c.correct),"
                " count(*) FILTER (c.correct AND NOT b.correct)"
                f" FROM '{made}/cells/baseline/main.parquet' b"
                f" JOIN '{made}/cells/{name}/main.parquet' c USING (id) WHERE {place}"
            ).fetchall()[0]
            found[name] = f"{value:.3f} ({lost}/{won})"
        order = sorted(found, key=told(made, "costs").__getitem__)
        assert shown[2:] == [found[name] for name in order]
    assert found["vino"].endswith("(0/0)")
    assert not found["ruined"].endswith("(0/0)")


def test_a_second_metric_has_a_table_of_its_own_without_counts(made):
    shown = row(bundle_lines(made), "main (n", after="log_loss:")
    means = duckdb.sql(
        f"SELECT candidate, avg(log_loss) FROM '{made}/cells/*/main.parquet' GROUP BY 1"
    ).fetchall()
    assert sorted(shown[1:]) == sorted(f"{mean:.3f}" for _, mean in means)


def test_candidates_stand_behind_the_baseline_the_cheapest_first(copied):
    for order in (["vino", "ruined"], ["ruined", "vino"]):
        edit(copied, costs=told(copied, "costs") | {n: float(i) for i, n in enumerate(order)})
        lines = bundle_lines(copied)
        head = next(i for i, line in enumerate(lines) if re.match("outcome +candidate", line))
        found = [line.split() for line in lines[head + 2 : head + 5]]
        assert found[0][0] == "baseline"
        assert [cells[1] for cells in found[1:]] == order
        assert {cells[1]: cells[0] for cells in found[1:]} == {"vino": "PASS", "ruined": "FAIL"}


def test_latencies_are_those_of_the_calls_and_no_percentile_comes_from_too_few(made):
    lines = bundle_lines(made)
    wall = duckdb.sql(
        f"SELECT list(wall_ms ORDER BY wall_ms) FROM '{made}/latency.parquet'"
        " WHERE candidate = 'vino' AND batch = 4"
    ).fetchall()[0][0]
    header = next(line for line in lines if line.startswith("milliseconds a call"))
    cells = next(
        found
        for line in lines[lines.index(header) :]
        if (found := re.split(r"  +", line))[:2] == ["vino", "4"]
    )
    # By hand: 2.5 % of binomial(20, 1/2) lie below 6, so the 6th and the 15th of 20 bound it.
    assert cells[2] == f"{wall[9]:.3g} [{wall[5]:.3g}, {wall[14]:.3g}]"
    assert cells[3].startswith("at least ")
    assert cells[5] == "20"


def test_the_noise_floors_are_shown(made):
    lines = [line for line in bundle_lines(made) if line.startswith("noise floor: ")]
    assert "asked again, the baseline gave 0 of 300 rows another answer" in lines[0]
    for line, batch in zip(lines[1:], (1, 4), strict=True):
        start = f"noise floor: the baseline against itself at batch {batch}: "
        figures = r"[\d.]+ \[[\d.]+, [\d.]+\] x(; others used [\d.]+% of the processors)?"
        assert re.fullmatch(re.escape(start) + figures, line)


def test_a_run_without_latencies_has_no_table_of_them(copied):
    edit(copied, latencies=[], noise=[], repeat=None)
    lines = bundle_lines(copied)
    assert not [line for line in lines if line.startswith(("milliseconds", "noise floor"))]
    assert lines[0] == lines[-1] == bundle_lines(copied)[0]


def test_what_a_reader_should_know_is_said(copied):
    edit(copied, warnings=["3 rows are odd"], failed={"deep": "no layers [0] to drop"})
    lines = bundle_lines(copied)
    assert "warning: 3 rows are odd" in lines
    assert "not made: deep: no layers [0] to drop" in lines
    assert "2 candidates were judged on the same rows and share their alpha (Holm)." in lines
    assert f"evidence: {copied}" in lines
    assert any(line.startswith("this was the first use of these test sets") for line in lines)


def test_how_much_the_seeds_matter_is_said_in_the_metrics_own_unit(copied):
    comparisons = told(copied, "comparisons")
    comparisons[0]["seeds"] = {"between_seeds": 0.0004, "between_rows": 0.09, "rest": 0.01}
    edit(copied, comparisons=comparisons)
    # By hand: the roots of the variances.
    said = f"{comparisons[0]['candidate']}: accuracy on main varies by 0.02 (standard deviation)"
    assert f"{said} between seeds and 0.3 between rows" in bundle_lines(copied)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (("PASS", "FAIL"), 0),
        (("FAIL", "PASS"), 0),
        (("INCONCLUSIVE", "FAIL"), 3),
        (("FAIL", "FAIL"), 1),
    ],
)
def test_the_exit_code_is_that_of_the_best_candidate(copied, outcomes, code):
    verdicts = told(copied, "verdicts")
    for verdict, outcome in zip(verdicts, outcomes, strict=True):
        verdict["outcome"] = outcome
    edit(copied, verdicts=verdicts)
    assert bundle_exit_code(copied) == code


def test_a_report_needs_the_bundle_alone_and_no_heavy_library(copied):
    """Cells and models are gone, and what runs models cannot be imported."""
    for part in ("cells", "models", "latency.parquet"):
        target = copied / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    gone = ["torch", "transformers", "sklearn", "pandas", "onnx", "onnxruntime", "openvino"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({gone}))\n"
        "from pathlib import Path; from surefoot.report.bundle import bundle_lines\n"
        f"print('\\n'.join(bundle_lines(Path({str(copied)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == bundle_lines(copied)


@pytest.mark.parametrize("ask", [bundle_lines, bundle_exit_code])
def test_no_bundle_and_an_unknown_version_are_refused(copied, ask):
    edit(copied, format=99)
    with pytest.raises(BundleError, match=r"format 99 .* use the surefoot that wrote it"):
        ask(copied)
    with pytest.raises(BundleError, match="no bundle that can be read"):
        ask(copied / "missing")
