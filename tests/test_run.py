"""The whole road on a real small model: run, run again, kill, resume, break."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import duckdb
import numpy as np
import pytest

from surefoot.bundle import read_bundle
from surefoot.core.errors import BundleError, DataError, ModelError
from surefoot.plan import read_plan
from surefoot.report.bundle import bundle_lines
from surefoot.run import run_plan

PLAN = """
[task]
kind = "text-classification"
train = { use = "csv", path = "train.csv", text = "text", label = "label" }
test.main = { use = "csv", path = "test.csv", text = "text", label = "label", id = "id" }
test.late = { use = "csv", path = "late.csv", text = "text", label = "label", id = "id" }

[model]
path = "bert"

[[candidate]]
name = "int8"
steps = ["export_onnx", { use = "quantize_dynamic", per_channel = true }]

[[candidate]]
name = "refitted"
steps = ["export_onnx", { use = "quantize_dynamic", per_channel = true }, "refit_head"]

[evaluate]
slices = { short = "length(text) < 60" }
latency = { batch = [1, 4], calls = 40, seconds = 20 }

[[budget]]
quantity = "accuracy"
max_drop = 0.1

[[budget]]
quantity = "accuracy"
slice = "short"
max_drop = 0.2

[[budget]]
quantity = "size_mb"
at_most = 50
"""


def write_rows(path, inputs, labels, first=0):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "text", "label"])
        rows = zip(inputs.tolist(), labels.tolist(), strict=True)
        writer.writerows([first + i, text, label] for i, (text, label) in enumerate(rows))


def prepare(folder, tiny_bert, text_task):
    """A plan with its data and its model, all in one folder."""
    classes = list(json.loads((tiny_bert / "config.json").read_text())["id2label"].values())
    names = np.array(classes)
    test = text_task.test[next(iter(text_task.test))]
    write_rows(folder / "train.csv", text_task.train.inputs, names[text_task.train.labels])
    write_rows(folder / "test.csv", test.inputs, names[test.labels])
    late = text_task.selection
    write_rows(folder / "late.csv", late.inputs, names[late.labels])
    shutil.copytree(tiny_bert, folder / "bert")
    (folder / "surefoot.toml").write_text(PLAN)


@pytest.fixture
def folder(tmp_path, tiny_bert, text_task):
    prepare(tmp_path, tiny_bert, text_task)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_bert, text_task):
    """A folder in which the plan was run."""
    folder = tmp_path_factory.mktemp("whole")
    prepare(folder, tiny_bert, text_task)
    _, new = run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    assert new
    return folder


def surefoot(folder, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "surefoot", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture
def finished(folder, whole):
    """The bundle of a finished run, moved to a folder of the test's own."""
    shutil.copytree(whole / "surefoot-run", folder / "surefoot-run")
    shutil.copy(whole / "surefoot-ledger.jsonl", folder)
    return read_bundle(folder / "surefoot-run" / "bundle")


def test_a_run_ends_in_a_verdict_that_anybody_can_query(folder, finished):
    assert {v.candidate: v.outcome for v in finished.verdicts} == {
        "int8": "PASS",
        "refitted": "PASS",
    }
    places = {f.subject for f in finished.verdicts[0].findings}
    assert places == {
        "accuracy on main",
        "accuracy on late",
        "accuracy on main [short]",
        "accuracy on late [short]",
        "size_mb",
    }
    rows = duckdb.sql(
        "SELECT candidate, count(*), sum(slice_short::int)"
        f" FROM '{finished.path}/cells/*/main.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert [row[:2] for row in rows] == [("baseline", 200), ("int8", 200), ("refitted", 200)]
    assert 0 < rows[0][2] < 200
    lines = bundle_lines(finished.path)
    assert lines[0] == lines[-1]
    assert lines[0].startswith("PASS  ")


def test_the_bundle_holds_what_its_manifest_says(finished):
    manifest = json.loads((finished.path / "manifest.json").read_text())
    files = {str(f.relative_to(finished.path)) for f in finished.path.rglob("*") if f.is_file()}
    assert set(manifest) == files - {"manifest.json"}
    assert f"models/{finished.winner}/model.onnx" in files
    assert read_bundle(finished.path) == finished


def test_an_unchanged_plan_has_nothing_to_do(folder, finished):
    started = time.perf_counter()
    done = surefoot(folder, "run")
    seconds = time.perf_counter() - started
    assert (done.returncode, "nothing to do" in done.stderr) == (0, True), done.stderr
    assert done.stdout.splitlines()[0].startswith("PASS  ")
    assert seconds < 5  # docs/measured.md holds the figure of an idle machine


def test_a_new_slice_measures_no_cell_again(folder, finished):
    cells = {p: p.stat().st_mtime_ns for p in (folder / "surefoot-run" / "cells").iterdir()}
    plan = read_plan(folder / "surefoot.toml", ['evaluate.slices.long="length(text) > 80"'])
    bundle, new = run_plan(plan, folder / "surefoot-run")
    assert new
    assert {p: p.stat().st_mtime_ns for p in (folder / "surefoot-run" / "cells").iterdir()} == cells
    assert len(bundle.verdicts[0].findings) == 5


def test_changed_data_are_measured_again(folder, finished):
    lines = (folder / "late.csv").read_text().splitlines(keepends=True)
    (folder / "late.csv").write_text("".join(lines[:-20]))
    bundle, new = run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    assert new
    late = next(f for f in bundle.verdicts[0].findings if f.subject == "accuracy on late")
    assert late.paired.n == 80


STAGES = ["reading data", "making int8", "filling ", "latency at batch 1"]


@pytest.fixture
def interruptible():
    """What a shell starts in the background ignores Ctrl-C, and passes that on to its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "ctrl-c"])
@pytest.mark.usefixtures("interruptible")
def test_a_run_that_was_stopped_resumes_to_the_same_verdict(folder, whole, stage, how):
    command = [sys.executable, "-u", "-m", "surefoot", "run"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith(stage):
                process.send_signal(how)
                break
        rest = process.stderr.read()
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in rest
    assert not (folder / "surefoot-run" / "bundle").exists()
    resumed = surefoot(folder, "run", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert not list((folder / "surefoot-run").rglob("*.surefoot-part"))
    undisturbed = (whole / "surefoot-run" / "bundle" / "verdict.json").read_text()
    assert _answers(json.loads(resumed.stdout)) == _answers(json.loads(undisturbed))


def _answers(data):
    kept = ("candidate", "dataset", "slice", "n", "lost", "won", "other", "value")
    outcomes = [(v["candidate"], v["outcome"]) for v in data["verdicts"]]
    return outcomes, [[c[k] for k in kept] for c in data["comparisons"]]


def test_two_runs_do_not_share_a_folder(folder):
    command = [sys.executable, "-u", "-m", "surefoot", "run"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr.readline()
        second = surefoot(folder, "run")
        first.kill()
    assert second.returncode == 2
    assert f"another run (process {first.pid})" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_a_full_disk_leaves_no_half_bundle(folder, finished):
    """The limit stands in for a full disk: every write beyond it fails as one."""
    before = {p: p.read_bytes() for p in finished.path.rglob("*") if p.is_file()}
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
    budget = 'budget=[{quantity="flips", at_most=0.5}]'
    code = f"{limit} sys.argv = {['surefoot', 'run', '--set', budget]!r};"
    done = subprocess.run(
        [sys.executable, "-c", f"{code} from surefoot.cli import main; main()"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert {p: p.read_bytes() for p in finished.path.rglob("*") if p.is_file()} == before
    assert not list((folder / "surefoot-run").rglob("*.surefoot-part"))


def test_a_candidate_that_cannot_be_made_is_said_and_the_others_go_on(folder):
    text = (folder / "surefoot.toml").read_text()
    extra = '[[candidate]]\nname = "two-many"\nsteps = [{ use = "drop_layers", keep = 7 }]\n\n'
    (folder / "surefoot.toml").write_text(text.replace("[evaluate]", f"{extra}[evaluate]"))
    bundle, _ = run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    assert [v.candidate for v in bundle.verdicts] == ["int8", "refitted"]
    assert any("not made: two-many: " in line for line in bundle_lines(bundle.path))


def test_rows_seen_in_training_are_counted(folder):
    train = (folder / "train.csv").read_text().splitlines()
    with (folder / "test.csv").open("a") as stream:
        stream.writelines(
            f"seen-{i},{line.partition(',')[2]}\n" for i, line in enumerate(train[1:6])
        )
    bundle, _ = run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    warnings = [line for line in bundle_lines(bundle.path) if line.startswith("warning: ")]
    assert any("rows of test.main also stand in task.train" in line for line in warnings)


@pytest.mark.parametrize(
    ("file", "change", "error", "said"),
    [
        ("test.csv", ",negative\n", DataError, "label 'negativ'"),
        ("test.csv", None, DataError, "has no rows"),
        ("late.csv", "one class", DataError, "only one class"),
        ("late.csv", "twice", DataError, "id '0'"),
    ],
    ids=["unknown label", "empty file", "one class only", "ids twice"],
)
def test_bad_data_stop_a_run_before_anything_is_made(folder, file, change, error, said):
    path = folder / file
    lines = path.read_text().splitlines(keepends=True)
    if change is None:
        lines = lines[:1]
    elif change == "one class":
        lines = lines[:1] + [line for line in lines[1:] if line.endswith("negative\n")]
    elif change == "twice":
        lines.append(lines[1])
    else:
        lines = [line.replace(change, ",negativ\n") for line in lines]
    path.write_text("".join(lines))
    with pytest.raises(error, match=said):
        run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    assert not (folder / "surefoot-run" / "bundle").exists()


def test_an_empty_slice_is_named(folder):
    plan = read_plan(folder / "surefoot.toml", ['evaluate.slices.none="length(text) > 9999"'])
    with pytest.raises(DataError, match="slice 'none' is empty"):
        run_plan(plan, folder / "surefoot-run")


def test_a_model_whose_outputs_do_not_match_the_classes(folder, tiny_onnx_text):
    plan = read_plan(
        folder / "surefoot.toml",
        [
            f'model.path="{tiny_onnx_text}"',
            'model.classes=["negative", "positive", "neutral"]',
            "candidate=[]",
        ],
    )
    with pytest.raises(ModelError, match="3 classes"):
        run_plan(plan, folder / "surefoot-run")


def test_a_folder_that_cannot_be_written(folder):
    (folder / "surefoot-run").write_text("a file")
    with pytest.raises(BundleError, match="cannot write"):
        run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")


@pytest.mark.slow
def test_init_writes_a_plan_that_runs(tmp_path, tiny_bert, folder):
    done = surefoot(
        folder, "init", str(tiny_bert), "test.csv", "--train", "train.csv", "--out", "x.toml"
    )
    assert done.returncode == 0, done.stderr
    again = surefoot(folder, "init", str(tiny_bert), "test.csv", "--out", "x.toml")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    ran = surefoot(folder, "run", "x.toml", "--set", "evaluate.latency.calls=20")
    assert ran.returncode in (0, 1, 3), ran.stderr
    assert ran.stdout.splitlines()[0] == ran.stdout.splitlines()[-1]


def again(folder):
    return run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")


def test_another_environment_makes_all_evidence_anew(folder, finished, monkeypatch):
    """What was measured with one library or setting says nothing about the next."""
    cells = folder / "surefoot-run" / "cells"
    before = len(list(cells.iterdir()))
    monkeypatch.setenv("SOME_LIBRARY_NUM_THREADS", "7")
    bundle, new = again(folder)
    assert new
    assert "SOME_LIBRARY" in (bundle.path / "environment.json").read_text()
    assert len(list(cells.iterdir())) == 2 * before


def test_a_bundle_that_lost_a_file_is_written_again(folder, finished):
    shutil.rmtree(finished.path / "cells")
    bundle, new = again(folder)
    assert new
    assert list((bundle.path / "cells").rglob("*.parquet"))


def test_what_overrode_the_plan_stands_in_the_bundle(folder, finished):
    plan = read_plan(folder / "surefoot.toml", ["budget.0.max_drop=0.3"])
    bundle, _ = run_plan(plan, folder / "surefoot-run")
    assert "# overridden: --set budget.0.max_drop=0.3" in (bundle.path / "plan.toml").read_text()


def test_the_ledger_counts_runs_that_ask_something_new(folder, finished):
    plan = read_plan(folder / "surefoot.toml", ["budget.0.max_drop=0.3"])
    bundle, _ = run_plan(plan, folder / "surefoot-run")
    assert (finished.verdicts[0].use.count, bundle.verdicts[0].use.count) == (1, 2)
    repeated, _ = run_plan(read_plan(folder / "surefoot.toml"), folder / "elsewhere")
    assert repeated.verdicts[0].use.count == 1
    assert len((folder / "surefoot-ledger.jsonl").read_text().splitlines()) == 2
