"""What is read of a bundle, held against its cells and against other libraries."""

import json
import shutil

import duckdb
import numpy as np
import pytest
from scipy import stats

from surefoot.bundle import read_bundle
from surefoot.core.errors import BundleError, ModelError
from surefoot.core.hashing import hash_file
from surefoot.report.numbers import _mean
from surefoot.report.release import read_release


def figure(release, model, quantity, where):
    (found,) = (
        f for f in release.figures if (f.model, f.quantity, f.where) == (model, quantity, where)
    )
    return found.estimate


@pytest.mark.parametrize(("where", "mask"), [("main", "true"), ("main [left]", "slice_left")])
@pytest.mark.parametrize("model", ["same", "baseline"])
def test_an_accuracy_is_that_of_the_cells_with_the_exact_interval(
    release, bundle, model, where, mask
):
    right, n = duckdb.sql(
        f"SELECT count(*) FILTER (correct), count(*) FROM '{bundle}/cells/{model}/main.parquet'"
        f" WHERE {mask}"
    ).fetchall()[0]
    found = figure(release, model, "accuracy", where)
    exact = stats.binomtest(right, n).proportion_ci(0.95, method="exact")
    assert (found.value, found.n, found.level) == (right / n, n, 0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=1e-9)
    assert found.method == "Clopper-Pearson"


def test_a_mean_of_rows_has_the_interval_of_t(release, bundle):
    values = duckdb.sql(
        f"SELECT log_loss FROM '{bundle}/cells/same/main.parquet'"
    ).fetchnumpy()["log_loss"]  # fmt: skip
    found = figure(release, "same", "log_loss", "main")
    usual = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    # The end on the side of the longer tail is moved out, never in.
    assert found.low <= usual[0] + 1e-9
    assert found.high >= usual[1] - 1e-9
    assert (found.low, found.high) == pytest.approx(usual, rel=0.02)
    assert found.method == "t"


def test_rows_in_groups_widen_an_interval(release):
    found = figure(release, "same", "accuracy", "grouped")
    assert found.method == "clustered score"
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.8, 5).astype(float)  # five rows alike in each group
    clustered = _mean("accuracy", right, np.repeat(np.arange(40), 5))
    independent = _mean("accuracy", right)
    assert clustered.value == independent.value == right.mean()
    assert clustered.high - clustered.low > 1.8 * (independent.high - independent.low)
    assert 0 <= clustered.low < clustered.value < clustered.high <= 1


def test_a_metric_of_whole_sets_is_told_only_where_the_gate_gave_an_interval(release, bundle):
    verdict = next(v for v in read_bundle(bundle).verdicts if v.candidate == "same")
    judged = next(f for f in verdict.findings if f.budget.quantity == "macro_f1")
    assert figure(release, "same", "macro_f1", "main") == judged.estimate
    assert set(release.without_interval) == {
        "macro_f1 on main [left]",
        "macro_f1 on grouped",
        "macro_f1 on grouped [left]",
    }
    assert not [f for f in release.of(release.baseline) if f.quantity == "macro_f1"]


def test_a_change_against_the_baseline_is_no_figure(release):
    """`max_drop` findings are differences; taken for a metric they would read as 0 % accuracy."""
    assert figure(release, "same", "accuracy", "main").value > 0.5


def test_calls_sizes_and_what_is_unbounded(release):
    p50, p99 = (figure(release, "same", name, "batch 1") for name in ("p50_ms", "p99_ms"))
    assert 0 < p50.low <= p50.value <= p50.high < np.inf
    assert np.isinf(p99.high)  # 20 calls tell no upper end of a 99th percentile
    unbounded = [f.quantity for f in release.of(release.candidate) if not f.bounded]
    assert unbounded == ["p99_ms"]
    size = figure(release, "same", "size_mb", "")
    assert (size.value * 1e6, size.method) == (release.candidate.size_bytes, "exact")


def test_the_winner_is_taken_and_its_files_are_hashed(release, ruined, bundle):
    assert (release.candidate.name, release.winner) == ("same", True)
    assert (ruined.candidate.name, ruined.winner, ruined.candidate.folder) == (
        "ruined",
        False,
        None,
    )
    assert release.verdict.outcome == "PASS"
    assert ruined.verdict.outcome == "FAIL"
    folder = bundle / "models" / "same"
    assert release.candidate.files == {f.name: hash_file(f) for f in folder.iterdir()}


def test_data_sets_are_told_without_the_folders_above_them(release, bundle):
    rows = json.loads((bundle / "verdict.json").read_text())["rows"]
    main, grouped = release.data
    assert (main.name, main.role, main.rows, main.fingerprint) == (
        "main",
        "test",
        300,
        rows["main"],
    )
    assert main.columns == dict.fromkeys("abcd", "number") | {"tree": "label"}
    assert grouped.columns["id"] == "id"
    assert grouped.columns["author"] == "group"


@pytest.fixture
def copied(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "bundle")


def edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_an_unknown_candidate_is_named_with_the_nearest(bundle):
    with pytest.raises(BundleError, match=r"no verdict on a candidate 'sane'; did you mean 'same'"):
        read_release(bundle, "sane")


def test_a_model_that_was_changed_is_refused(copied):
    with (copied / "models" / "same" / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        read_release(copied)


def test_a_name_that_leads_out_of_the_bundle_is_refused(copied, tmp_path):
    def rename(data):
        data["candidates"][0]["name"] = "../../secret"

    (tmp_path / "secret").mkdir()
    edit(copied / "verdict.json", rename)
    with pytest.raises(BundleError, match="outside of the bundle"):
        read_release(copied)


def test_a_link_to_a_file_of_this_machine_is_not_exported(copied, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (copied / "models" / "same" / "golden.npz").unlink()
    (copied / "models" / "same" / "golden.npz").symlink_to(tmp_path / "secret")
    with pytest.raises((BundleError, ModelError)):
        read_release(copied)


@pytest.mark.parametrize("file", ["plan.json", "environment.json", "verdict.json"])
@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 3000])
def test_a_broken_file_is_one_clear_error(copied, file, content):
    if (file, content) == ("environment.json", "{}"):
        content = "nothing"
    (copied / file).write_text(content)
    with pytest.raises(BundleError):
        read_release(copied)


def test_cells_that_are_gone_leave_their_figures_out(copied):
    shutil.rmtree(copied / "cells")
    found = read_release(copied)
    assert "accuracy on main" in found.without_interval
    assert {f.quantity for f in found.figures} >= {"p50_ms", "size_mb", "macro_f1"}
