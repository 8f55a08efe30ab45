from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import duckdb
import numpy as np
import pytest

from surefoot.bundle import environment, read_bundle, write_bundle
from surefoot.bundle.write import FORMAT, costs
from surefoot.core.errors import BundleError
from surefoot.models import open_model, read_model


@pytest.fixture
def bundle(contents, tmp_path):
    return write_bundle(tmp_path / "bundle", "key", contents)


def files_of(folder):
    """Name to SHA-256 of every file, by hashlib alone."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def with_loads(contents, *loads):
    return replace(contents, evidence=replace(contents.evidence, loads=loads))


def test_a_bundle_holds_the_evidence_and_the_two_models_it_is_about(bundle):
    models = {
        f"models/{name}/{file}"
        for name in ("baseline", "same")
        for file in ("model.onnx", "signature.json", "golden.npz")
    }
    cells = {f"cells/{name}/main.parquet" for name in ("baseline", "same", "turned")}
    told = {"plan.toml", "plan.json", "environment.json", "verdict.json", "manifest.json"}
    assert set(files_of(bundle.path)) == models | cells | told
    assert bundle.winner == "same"


def test_the_plan_and_the_environment_are_those_of_the_run(bundle, contents):
    assert (bundle.path / "plan.toml").read_text() == contents.plan.path.read_text()
    plan = json.loads((bundle.path / "plan.json").read_text())
    assert plan["model"]["path"] == "baseline.onnx"
    assert plan["budgets"][0]["at_most"] == 0.05
    assert json.loads((bundle.path / "environment.json").read_text()) == environment()


def test_each_row_stands_there_with_what_the_model_really_answered(bundle, contents):
    rows = contents.task.test["main"]
    names = np.array(contents.task.classes, dtype=object)
    for candidate in contents.candidates:
        with open_model(candidate.model) as predict:
            scores = predict(rows.inputs, batch=1)
        file = bundle.path / "cells" / candidate.name / "main.parquet"
        found = duckdb.sql(f"SELECT * FROM '{file}' ORDER BY id").fetchnumpy()
        assert found["id"].tolist() == rows.ids.tolist()
        assert found["label"].tolist() == names[rows.labels].tolist()
        assert found["predicted"].tolist() == names[scores.argmax(axis=1)].tolist()
        assert found["slice_early"].tolist() == [i < 30 for i in range(120)]
        np.testing.assert_allclose(found["confidence"], scores.max(axis=1), atol=1e-6)
        right = scores[np.arange(120), rows.labels]
        np.testing.assert_allclose(found["score"], right, atol=1e-6)
        np.testing.assert_allclose(found["log_loss"], -np.log(right), atol=1e-4)
        assert found["accuracy"].tolist() == found["correct"].tolist()
        assert set(found["candidate"]) == {candidate.name}
        assert set(found["dataset"]) == {"main"}


def test_the_comparisons_can_be_counted_again_from_the_rows(bundle):
    told = json.loads((bundle.path / "verdict.json").read_text())["comparisons"]
    for one in (c for c in told if c["metric"] == "accuracy"):
        folder, part = bundle.path / "cells", "slice_early" if one["slice"] else "true"
        query = (
            f"SELECT count(*), count(*) FILTER (b.correct AND NOT c.correct),"
            " count(*) FILTER (c.correct AND NOT b.correct), avg(c.correct::INT)"
            f" FROM '{folder}/baseline/main.parquet' b JOIN"
            f" '{folder}/{one['candidate']}/main.parquet' c USING (id) WHERE b.{part}"
        ).replace("b.true", "true")
        n, lost, won, value = duckdb.sql(query).fetchall()[0]
        assert (one["n"], one["lost"], one["won"]) == (n, lost, won)
        assert one["value"] == pytest.approx(value)
    assert len(told) == 8


def test_the_models_in_a_bundle_answer_as_the_measured_ones(bundle, contents):
    rows = contents.task.test["main"].inputs
    for candidate in contents.candidates[:2]:
        packed = read_model(bundle.path / "models" / candidate.name)
        assert packed.fingerprint == candidate.model.fingerprint
        with open_model(packed) as inside, open_model(candidate.model) as outside:
            assert inside(rows).tobytes() == outside(rows).tobytes()


def test_every_call_is_kept_in_its_order(contents, load, tmp_path):
    loads = [load("baseline", 1, 3.0, 20), load("same", 8, 2.0, 31)]
    path = write_bundle(tmp_path / "bundle", "key", with_loads(contents, *loads)).path
    found = duckdb.sql(
        f"SELECT candidate, runtime, batch, threads, list(wall_ms ORDER BY call),"
        f" list(cpu_ms ORDER BY call) FROM '{path}/latency.parquet' GROUP BY ALL ORDER BY batch"
    ).fetchall()
    assert found == [
        (x.candidate, x.runtime, x.batch, x.threads, x.wall_ms.tolist(), x.cpu_ms.tolist())
        for x in loads
    ]


def test_the_noise_floor_is_recorded(contents, load, tmp_path):
    loads = load("baseline", 1, 2.0), load("baseline (again)", 1, 3.0)
    path = write_bundle(tmp_path / "bundle", "key", with_loads(contents, *loads)).path
    data = json.loads((path / "verdict.json").read_text())
    (floor,) = data["noise"]
    assert (floor["batch"], floor["ratio"]["n"]) == (1, 30)
    assert floor["ratio"]["value"] == pytest.approx(1.5, abs=0.01)
    assert data["repeat"] == {"rows": 120, "flips": 0, "largest": pytest.approx(0, abs=1e-6)}


def test_a_percentile_that_the_calls_are_too_few_for_has_no_upper_end(contents, load, tmp_path):
    few = with_loads(contents, load("baseline", 1, 2.0, 300), load("same", 1, 2.0, 2000))
    path = write_bundle(tmp_path / "bundle", "key", few).path
    told = json.loads((path / "verdict.json").read_text())["latencies"]
    assert [entry["p99_ms"]["high"] is None for entry in told] == [True, False]


def test_the_leanest_is_the_fastest_at_the_smallest_batch_else_the_smallest(contents, load):
    loads = [
        load(n, b, ms) for b, n, ms in [(8, "same", 1.0), (1, "same", 9.0), (1, "turned", 4.0)]
    ]
    sizes = {c.name: c.model.size_bytes for c in contents.candidates}
    found = costs(sizes, loads)
    assert found["baseline"] == contents.candidates[0].model.size_bytes
    assert (found["same"], found["turned"]) == pytest.approx((9, 4), abs=0.02)


@pytest.mark.parametrize("outcomes", ["PASS PASS", "FAIL PASS", "PASS FAIL", "FAIL FAIL"])
def test_the_winner_is_the_leanest_that_passed_or_nobody(contents, load, tmp_path, outcomes):
    judged = zip(contents.verdicts, outcomes.split(), strict=True)
    verdicts = tuple(replace(v, outcome=outcome) for v, outcome in judged)
    found = replace(with_loads(contents, load("turned", 1, 1.0)), verdicts=verdicts)
    found = with_loads(found, load("same", 1, 2.0), load("turned", 1, 1.0))
    bundle = write_bundle(tmp_path / "bundle", "key", found)
    expected = {"PASS PASS": "turned", "FAIL PASS": "turned", "PASS FAIL": "same"}.get(outcomes)
    assert bundle.winner == expected == read_bundle(bundle.path).winner
    packed = {path.name for path in (bundle.path / "models").iterdir()}
    assert packed == {"baseline", expected or "baseline"}


@pytest.mark.parametrize("change", ["changed", "missing", "extra", "nothing"])
def test_the_manifest_tells_which_file_is_not_as_it_was_written(bundle, change):
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    file = bundle.path / "cells" / "same" / ("new.parquet" if change == "extra" else "main.parquet")
    if change == "missing":
        file.unlink()
    elif change != "nothing":
        file.write_bytes((b"" if change == "extra" else file.read_bytes()) + b"x")
    found = files_of(bundle.path)
    del found["manifest.json"]
    wrong = {name for name in manifest | found if manifest.get(name) != found.get(name)}
    expected = set() if change == "nothing" else {file.relative_to(bundle.path).as_posix()}
    assert wrong == expected


def test_the_same_contents_make_the_same_bundle_byte_by_byte(bundle, contents, tmp_path):
    again = write_bundle(tmp_path / "elsewhere" / "bundle", "key", contents)
    differ = {
        name for name, told in files_of(again.path).items() if files_of(bundle.path)[name] != told
    }
    assert differ <= {"verdict.json", "manifest.json"}  # they may have been written in two seconds
    told, there = (json.loads((b.path / "verdict.json").read_text()) for b in (again, bundle))
    assert {**told, "written": None} == {**there, "written": None}


def test_an_older_bundle_is_replaced_as_a_whole(bundle, contents):
    (bundle.path / "cells" / "dropped").mkdir()
    (bundle.path / "cells" / "dropped" / "main.parquet").touch()
    write_bundle(bundle.path, "newer", contents)
    assert read_bundle(bundle.path).key == "newer"
    assert not (bundle.path / "cells" / "dropped").exists()
    assert [path.name for path in bundle.path.parent.iterdir()] == ["bundle"]


def test_what_was_not_made_and_what_to_know_are_told(bundle, contents):
    data = json.loads((bundle.path / "verdict.json").read_text())
    assert data["format"] == FORMAT
    assert data["failed"] == {"gone": "no such step"}
    assert data["warnings"] == ["3 rows are odd"]
    turned = data["candidates"][2]
    assert (turned["steps"], turned["seed"]) == ([["roll", {"by": 1}]], 7)
    cost = {"wall_s": 1.5, "cpu_s": 3.0, "rows": 20, "peak_mb": 7.0, "energy_j": None}
    assert turned["made_in"] == cost
    assert turned["step_costs"] == [cost]
    assert turned["fingerprint"] == contents.candidates[2].model.fingerprint


FULL = """
import pickle, resource, sys
from pathlib import Path
from surefoot.bundle import write_bundle
from surefoot.core.errors import BundleError
limit = int(sys.argv[2])
contents = pickle.loads(Path(sys.argv[1], "contents").read_bytes())
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_bundle(Path(sys.argv[1], "bundle"), "newer", contents)
except BundleError as error:
    sys.exit(str(error))
"""


def with_a_large_model(contents, folder):
    """The baseline's folder with 50 kB more than it needs."""
    baseline, *others = contents.candidates
    shutil.copytree(baseline.model.path, folder)
    (folder / "more.bin").write_bytes(bytes(50_000))
    baseline = replace(baseline, model=replace(baseline.model, path=folder))
    return replace(contents, candidates=[baseline, *others])


@pytest.mark.parametrize(
    ("fails", "limit"),
    [("plan.toml", 300), ("verdict.json", 4000), ("cells", 3000), ("model", 20_000)],
)
@pytest.mark.parametrize("before", [True, False])
def test_a_full_disk_leaves_the_older_bundle_or_nothing(contents, tmp_path, fails, limit, before):
    """A limit on the size of files stands in for the disk: a write beyond it fails as one."""
    if before:
        write_bundle(tmp_path / "bundle", "older", contents)
    kept = files_of(tmp_path / "bundle")
    if fails == "cells":  # leaves verdict.json smaller than a cell
        contents = replace(contents, verdicts=(), evidence=replace(contents.evidence, paired=()))
    if fails == "model":
        contents = with_a_large_model(contents, tmp_path / "large")
    (tmp_path / "contents").write_bytes(pickle.dumps(contents))
    command = [sys.executable, "-c", FULL, str(tmp_path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"{tmp_path / 'bundle'}: cannot write: ")
    assert "File too large" in done.stderr
    assert done.stderr.endswith("; finished stages are kept\n")
    assert files_of(tmp_path / "bundle") == kept
    assert (tmp_path / "bundle").exists() == before
    assert not list(tmp_path.glob("*.surefoot-part"))


def test_a_place_that_cannot_be_written_is_one_line(contents, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=r"cannot write: Not a directory; .*--out") as caught:
        write_bundle(tmp_path / "file" / "bundle", "key", contents)
    assert "\n" not in str(caught.value)
