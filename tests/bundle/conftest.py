"""What a bundle is made of: three linear models on one data set, measured and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surefoot.bundle import Contents
from surefoot.core.dataset import Dataset, Task
from surefoot.core.hashing import hash_arrays
from surefoot.core.load import LoadProfile
from surefoot.core.model import Candidate, Cost, Recipe, StepCall
from surefoot.core.plan import ModelPlan
from surefoot.evaluate import Filling, ask_again, confirmation_evidence, fill_cells
from surefoot.gate import gate_evidence
from surefoot.models import adopt
from surefoot.plan import read_plan
from surefoot.store import Store

TREES = ("frêne", "bouleau", "chêne")
PLAN = """# A comment of the user's, which the bundle keeps.
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"] }
[model]
path = "baseline.onnx"
classes = ["frêne", "bouleau", "chêne"]
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "turned"
steps = []
[[budget]]
quantity = "flips"
at_most = 0.05
"""


def weight_of(path: Path) -> np.ndarray:
    import onnx

    return onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])


def _candidate(folder: Path, linear: Callable, name: str, turn: int) -> Candidate:
    import onnx

    path = linear(folder / f"{name}.onnx")
    proto = onnx.load(path)
    weight = np.roll(weight_of(path), turn, axis=1)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, path)
    options = ModelPlan(path=str(path), classes=list(TREES))
    kind = "tabular-classification"
    model = adopt(path, folder / f"{name}-model", name=name, kind=kind, options=options)
    (model.path / ".inputs.json").write_text("{}")  # as the store leaves one
    steps = (StepCall(use="roll", options=(("by", turn),)),) if turn else ()
    cost = Cost(wall_s=1.5 * turn, cpu_s=3.0 * turn, rows=20 * turn, peak_mb=7.0 * turn)
    recipe = Recipe(name=name, steps=steps, seed=7)
    return Candidate(
        name=name,
        model=model,
        runtime="onnxruntime",
        recipe=recipe,
        cost=cost,
        step_costs=(cost,) if turn else (),
    )


def _dataset(weight: np.ndarray) -> Dataset:
    """Rows of which the baseline answers all but each tenth right."""
    inputs = np.random.default_rng(5).standard_normal((120, 4)).astype(np.float32)
    labels = (inputs @ weight).argmax(axis=1)
    labels[::10] = (labels[::10] + 1) % 3
    ids = np.array([f"{i:03}" for i in range(120)], np.dtypes.StringDType())
    return Dataset(
        name="main",
        ids=ids,
        inputs=inputs,
        labels=labels,
        classes=TREES,
        slices={"early": np.arange(120) < 30},
        fingerprint=hash_arrays(ids, inputs, labels),
    )


@pytest.fixture(scope="session")
def load() -> Callable[..., LoadProfile]:
    """Latencies of a candidate: `load(name, batch, ms)` around so many milliseconds."""

    def make(name: str, batch: int, ms: float, calls: int = 30) -> LoadProfile:
        wall = ms + np.random.default_rng(batch).uniform(0, 0.01, calls)
        return LoadProfile(
            candidate=name, runtime="onnxruntime", batch=batch, threads=1,
            wall_ms=wall, cpu_ms=wall / 2,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory, linear: Callable) -> Contents:
    """A baseline, the same once more, and one whose answers are all other ones; no latencies."""
    folder = tmp_path_factory.mktemp("contents")
    turns = {"baseline": 0, "same": 0, "turned": 1}
    everyone = [_candidate(folder, linear, name, turn) for name, turn in turns.items()]
    (folder / "test.csv").write_text("a,b,c,d,tree\n0,0,0,0,chêne\n")
    (folder / "plan.toml").write_text(PLAN)
    plan = read_plan(folder / "plan.toml")
    rows, store = _dataset(weight_of(everyone[0].model.path / "model.onnx")), Store(folder / "run")
    task = Task(
        name="trees", kind="tabular-classification", classes=TREES, train=None, selection=None,
        calibration=None, test={"main": rows}, metric="accuracy",
    )  # fmt: skip
    cells = {c.name: fill_cells(c, task.test, store) for c in everyone}
    metrics = ["accuracy", "log_loss"]
    evidence = confirmation_evidence(cells, task.test, metrics)
    repeat = ask_again(everyone[0], task.test, Filling(store=store))
    return Contents(
        plan=plan,
        task=task,
        candidates=everyone,
        failed={"gone": "no such step"},
        cells=[cell for filled in cells.values() for cell in filled],
        evidence=replace(evidence, repeat=repeat),
        verdicts=gate_evidence(evidence, plan.budgets),
        warnings=["3 rows are odd"],
        metrics=metrics,
    )
