"""Earlier evidence against the same models run here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import joblib
import numpy as np
import pytest
from tests.conftest import write_talks

from surefoot.bundle import environment
from surefoot.core.errors import BundleError, MachineError
from surefoot.core.evidence import Repeat
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.drift import drift
from surefoot.evaluate.moved import against_floor, difference
from surefoot.models import read_model, seal
from surefoot.plan import read_plan
from surefoot.report.drift import drift_exit_code, drift_lines
from surefoot.run import run_plan

PLAN = """
[task]
kind = "tabular-classification"
[task.test.main]
use = "csv"
path = "main.csv"
columns = ["a", "b", "c", "d"]
label = "label"
id = "id"
[task.test.talks]
use = "csv"
path = "talks.csv"
columns = ["a", "b", "c", "d"]
label = "label"
id = "id"
group = "speaker"
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "int8"
steps = [{ use = "quantize_dynamic", head = true }]
[[candidate]]
name = "vino"
steps = []
runtime = "openvino"
[evaluate]
batch = 16
shifts = ["rounding"]
latency = { batch = [1], calls = 20, seconds = 2 }
[[budget]]
quantity = "accuracy"
max_drop = 0.2
dataset = "main"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, linear) -> Path:
    """A folder with a plan and its run."""
    folder = tmp_path_factory.mktemp("drift")
    linear(folder / "linear.onnx")
    write_talks(folder / "main.csv", 300, 1)
    write_talks(folder / "talks.csv", 120, 2)
    (folder / "surefoot.toml").write_text(PLAN)
    run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """The same at a place of the test's own."""
    return shutil.copytree(made, tmp_path / "copy")


def measure(folder: Path, run: str = "surefoot-run", **changed):
    plan = read_plan(folder / "surefoot.toml", [f"{k}={v}" for k, v in changed.items()])
    found = drift(plan, folder / run, folder / "here")
    return found, {(cell.candidate, cell.place): cell for cell in found.cells}


def recorded(folder: Path, candidate: str, file: str = "main"):
    """An earlier cell, and what writes it back."""
    path = folder / "surefoot-run" / "bundle" / "cells" / candidate / f"{file}.parquet"
    columns = read_parquet(path)

    def write() -> None:
        path.unlink()
        write_parquet(path, columns)

    return columns, write


def test_on_the_same_machine_nothing_moves(folder):
    found, cells = measure(folder)
    assert {cell.status for cell in found.cells} == {"same"}
    assert len(cells) == 3 * 2 * 2
    assert [cell.candidate for cell in found.cells][::4] == ["baseline", "int8", "vino"]
    assert found.environment == ()
    assert found.batch == 16
    assert all(cell.moved.largest == 0 for cell in found.cells)
    assert drift_exit_code(found) == 0
    assert {name for name, _ in found.floors} == {"baseline", "int8", "vino"}
    assert all(floor.flips == 0 for _, floor in found.floors)


def test_it_measures_again_rather_than_reading_what_the_run_kept(folder):
    plan = read_plan(folder / "surefoot.toml")
    before = {p.name for p in (folder / "surefoot-run" / "cells").iterdir()}
    drift(plan, folder / "surefoot-run", folder / "surefoot-run")
    after = {p.name for p in (folder / "surefoot-run" / "cells").iterdir()}
    assert len(after - before) >= 3 * 2


def test_answers_that_differ_are_counted_where_they_differ(folder):
    columns, write = recorded(folder, "int8")
    for row in (3, 30, 33):
        right = columns["correct"][row]
        columns["correct"][row] = not right
        answer = (
            columns["label"][row] if not right else "xyz"["xyz".index(columns["label"][row]) - 1]
        )
        columns["predicted"][row] = answer
    write()
    found, cells = measure(folder)
    moved = cells["int8", "main"].moved
    assert cells["int8", "main"].status == "moved"
    assert round(moved.differ.value * moved.rows) == 3
    assert moved.differ.low < 0.01 < moved.differ.high
    assert moved.there == columns["correct"].mean()
    assert moved.difference.value == pytest.approx(moved.here - moved.there)
    assert moved.difference.low < moved.difference.value < moved.difference.high
    assert [key for key, cell in cells.items() if cell.status == "moved"] == [("int8", "main")]
    assert drift_exit_code(found) == 1
    lines = drift_lines(found)
    assert lines[0] == lines[-1]
    assert lines[0].startswith("MOVED  1 of 12 cells moved")
    (row,) = (line for line in lines if line.startswith("moved  int8"))
    assert " 3: 1.00 [" in row


@pytest.mark.parametrize(("by", "status"), [(5e-5, "same"), (2e-3, "moved")])
def test_probabilities_that_moved_by_more_than_rounding(folder, by, status):
    columns, write = recorded(folder, "baseline", "talks")
    columns["confidence"] += np.float32(by)
    write()
    cell = measure(folder)[1]["baseline", "talks"]
    assert cell.status == status
    assert cell.moved.largest == pytest.approx(by, rel=0.01)
    assert cell.moved.differ.value == 0


def test_rows_in_groups_have_wider_intervals(folder):
    for name in ("main", "talks"):
        columns, write = recorded(folder, "int8", name)
        columns["predicted"][:12] = ["xyz"["xyz".index(p) - 1] for p in columns["predicted"][:12]]
        write()
    cells = measure(folder)[1]
    assert cells["int8", "talks"].moved.differ.method == "clustered score"
    assert cells["int8", "talks"].moved.differ.low >= 0
    assert cells["int8", "main"].moved.differ.method == "Clopper-Pearson"


def test_other_rows_are_not_compared(folder):
    lines = (folder / "main.csv").read_text().splitlines()
    (folder / "main.csv").write_text("\n".join([*lines[:-2], "new,1,1,1,1,x,9"]) + "\n")
    found, cells = measure(folder)
    assert cells["int8", "main"].status == "not run"
    assert "2 ids are gone, 1 new" in cells["int8", "main"].reason
    assert cells["int8", "talks"].status == "same"
    assert drift_exit_code(found) == 4
    assert drift_lines(found)[0].startswith("NOT COMPARED  0 of 6 cells moved")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [(",y,0", ",z,0", "1 labels are others"), ("\n7,", "\n7,9", "the inputs are others")],
)
def test_changed_rows_under_the_same_ids_are_seen(folder, old, new, reason):
    text = (folder / "main.csv").read_text()
    assert old in text
    (folder / "main.csv").write_text(text.replace(old, new, 1))
    cells = measure(folder)[1]
    assert reason in cells["baseline", "main"].reason
    assert cells["baseline", "main + rounding 1"].status == "not run"


def test_a_shift_or_set_that_the_plan_lacks_is_not_run(folder):
    cells = measure(folder, **{"evaluate.shifts": "[]"})[1]
    assert cells["int8", "main + rounding 1"].reason == "the plan has no such data set or shift"
    assert cells["int8", "main"].status == "same"
    assert not any(cell.other_rows for cell in cells.values())


def test_a_bundle_alone_holds_the_baseline_and_the_winner(folder):
    shutil.move(folder / "surefoot-run" / "bundle", folder / "bundle")
    winner = json.loads((folder / "bundle" / "verdict.json").read_text())["winner"]
    found, cells = measure(folder, "bundle")
    # The third has the file of the baseline, or is the winner.
    assert cells["baseline", "main"].status == "same"
    missing = {name for (name, _), cell in cells.items() if cell.status == "not run"}
    assert missing == ({"int8"} if winner == "vino" else set())
    for cell in found.cells:
        if cell.status == "not run":
            assert cell.reason == "its model is not in that run"


def test_a_model_that_was_damaged_is_not_run(folder):
    for file in folder.rglob("model.onnx"):
        file.write_bytes(file.read_bytes() + b"more")
    found, _ = measure(folder)
    assert {cell.status for cell in found.cells} == {"not run"}
    assert "changed after the model was sealed" in found.cells[0].reason
    assert drift_exit_code(found) == 4
    assert drift_lines(found)[0].startswith("NOT COMPARED")


def test_golden_answers_do_not_keep_the_rows_from_being_compared(folder):
    for file in folder.rglob("golden.npz"):
        with np.load(file) as stored:
            golden = dict(stored)
        np.savez(file, **{**golden, "probabilities": golden["probabilities"][:, ::-1]})
    found, _ = measure(folder)
    assert {cell.status for cell in found.cells} == {"same"}


def test_another_environment_is_told_first(folder):
    file = folder / "surefoot-run" / "bundle" / "environment.json"
    there = json.loads(file.read_text())
    there["libraries"]["onnxruntime"] = "1.2.3"
    file.write_text(json.dumps(there))
    found, _ = measure(folder)
    (change,) = found.environment
    assert (change.what, change.there) == ("onnxruntime", "1.2.3")
    assert change.here == environment()["libraries"]["onnxruntime"]
    assert any(line.startswith("onnxruntime  1.2.3") for line in drift_lines(found))


@pytest.mark.parametrize("content", [None, "no json", "{}", "[]"])
def test_evidence_that_does_not_say_where_it_was_made(folder, content):
    file = folder / "surefoot-run" / "bundle" / "environment.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(MachineError, match=r"environment\.json"):
        measure(folder)


def test_no_bundle(folder):
    with pytest.raises(BundleError, match="no bundle"):
        measure(folder, "nowhere")


def test_nothing_is_noted_in_the_ledger(folder):
    before = (folder / "surefoot-ledger.jsonl").read_text()
    measure(folder)
    assert (folder / "surefoot-ledger.jsonl").read_text() == before


def test_a_machine_that_repeats_itself_has_no_floor_and_another_one_has():
    steady = Repeat(rows=1000, flips=0, largest=0.0)
    assert against_floor(0, 500, steady) == 1.0
    assert against_floor(1, 500, steady) == 0.0
    shaky = Repeat(rows=1000, flips=10, largest=0.2)
    assert against_floor(5, 500, shaky) > 0.3
    assert against_floor(40, 500, shaky) < 1e-6


def test_an_equal_machine_is_rarely_said_to_have_moved():
    """A machine whose answers differ from themselves in 1 % of the rows, 2,000 times."""
    rng = np.random.default_rng(0)
    found = [
        against_floor(differ, 2000, Repeat(rows=1000, flips=floor, largest=0.2)) <= 0.05
        for differ, floor in zip(
            rng.binomial(2000, 0.01, 2000).tolist(),
            rng.binomial(1000, 0.01, 2000).tolist(),
            strict=True,
        )
    ]
    assert np.mean(found) <= 0.05


def test_rows_of_a_single_group_show_no_interval():
    one = difference(np.array([1, 0, -1, 0]), np.full(4, "g"))
    assert (one.value, one.low, one.high, one.method) == (0.0, -1.0, 1.0, "one group")


def edited(folder, edit):
    """Changes verdict.json."""
    file = folder / "surefoot-run" / "bundle" / "verdict.json"
    data = json.loads(file.read_text())
    edit(data)
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data["candidates"][1].pop("fingerprint"), "KeyError: 'fingerprint'"),
        (lambda data: data["candidates"].__setitem__(0, "baseline"), "TypeError"),
        (lambda data: data.update(candidates=[]), "0 candidates"),
        (lambda data: data.update(candidates=7), "TypeError"),
        (lambda data: data.update(batch="many"), "ValueError"),
        (lambda data: data.update(batch=0), "batch 0"),
        (lambda data: data.update(batch=None), "TypeError"),
        (lambda data: data.update(rows=["main"]), "AttributeError"),
        (lambda data: data.update(repeat={"rows": 3}), "KeyError: 'flips'"),
    ],
)
def test_a_verdict_that_is_not_as_it_was_written_is_one_clear_error(folder, edit, said):
    edited(folder, edit)
    with pytest.raises(BundleError, match=f"verdict.json is not as surefoot writes it: .*{said}"):
        measure(folder)


@pytest.mark.parametrize(("name", "wrong"), [("correct", None), ("severity", "text"), ("id", None)])
def test_a_cell_that_is_not_as_it_was_written_is_one_clear_error(folder, name, wrong):
    columns, write = recorded(folder, "int8")
    if wrong is None:
        del columns[name]
    else:
        columns[name] = np.full(len(columns["id"]), wrong, np.dtypes.StringDType())
    write()
    with pytest.raises(BundleError, match=rf"int8/main\.parquet: a cell without {name};"):
        measure(folder)


class Harmful:
    """Leaves a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def pickled(folder) -> Path:
    """A plan whose model is a pickle that it trusts, and its run."""
    from sklearn.linear_model import LogisticRegression

    inputs = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
    labels = np.array(["x", "y", "z"])[inputs[:, :3].argmax(1)]
    joblib.dump(LogisticRegression().fit(inputs, labels), folder / "own.joblib")
    head, _, rest = PLAN.partition("[[candidate]]")
    steps = '[[candidate]]\nname = "onnx"\nsteps = ["export_onnx"]\n[evaluate]'
    head = head.replace('path = "linear.onnx"', 'path = "own.joblib"\ntrust = true')
    (folder / "surefoot.toml").write_text(head + steps + rest.partition("[evaluate]")[2])
    shutil.rmtree(folder / "surefoot-run")
    run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    return folder


def test_trust_is_in_the_file_that_the_plan_names(pickled):
    assert {cell.status for cell in measure(pickled)[0].cells} == {"same"}


def test_a_pickle_of_somebody_else_is_not_opened_by_that_trust(pickled):
    bundle, trace = pickled / "surefoot-run" / "bundle", pickled / "was here"
    earlier = json.loads((bundle / "verdict.json").read_text())["candidates"][0]
    models = [read_model(folder, trust=True) for folder in (bundle / "models").iterdir()]
    (sealed,) = (model for model in models if model.fingerprint == earlier["fingerprint"])
    model = sealed.path
    joblib.dump(Harmful(trace), model / sealed.file)
    new = seal(
        model, name=sealed.name, format=sealed.format, file=sealed.file, signature=sealed.signature
    )
    edited(pickled, lambda data: data["candidates"][0].update(fingerprint=new.fingerprint))
    cells = measure(pickled)[1]
    assert not trace.exists()
    assert cells["baseline", "main"].status == "not run"
    assert cells["baseline", "main"].reason == (
        f"{model}: is a pickle, which runs code when loaded;"
        " [model] trust holds for the very file that the plan names"
    )
    assert cells["onnx", "main"].status == "same"


def test_without_the_models_own_file_nothing_that_runs_code_is_opened(pickled):
    plan = read_plan(pickled / "surefoot.toml")
    (pickled / "own.joblib").unlink()
    found = drift(plan, pickled / "surefoot-run", pickled / "here")
    assert {(cell.candidate, cell.status) for cell in found.cells} == {
        ("baseline", "not run"), ("onnx", "same"),
    }  # fmt: skip
