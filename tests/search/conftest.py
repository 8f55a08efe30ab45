"""A search over small linear graphs: models, rows, and everything that tries them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from surefoot import models
from surefoot.compress import workshop
from surefoot.core.dataset import Dataset, SelectionSet, Task
from surefoot.core.evidence import Budget
from surefoot.core.hashing import hash_arrays
from surefoot.core.model import Candidate, Model, Recipe, Signature, StepCall
from surefoot.core.plan import (
    EvaluatePlan,
    LatencyPlan,
    ModelPlan,
    Plan,
    SearchPlan,
    TaskPlan,
)
from surefoot.core.progress import Silent
from surefoot.search.answers import Answers
from surefoot.search.bench import Bench
from surefoot.search.clock import Clock
from surefoot.search.find import _Search
from surefoot.search.space import Space
from surefoot.store import Store

CLASSES = ("a", "b", "c")
WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
"""What the baseline multiplies rows with."""


def graph(path: Path, weight: np.ndarray, *, root: bool = False) -> None:
    """A linear graph; with `root` the first number is also passed through a square root."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [helper.make_node("MatMul", ["features", "weight"], ["scores" if root else "logits"])]
    arrays = [numpy_helper.from_array(weight.astype(np.float32), "weight")]
    if root:
        nodes = [
            helper.make_node("Sqrt", ["features"], ["roots"]),
            helper.make_node("MatMul", ["roots", "none"], ["zero"]),
            *nodes,
            helper.make_node("Add", ["scores", "zero"], ["logits"]),
        ]
        arrays.append(numpy_helper.from_array(np.zeros((4, 3), np.float32), "none"))
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 4])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    made = helper.make_graph(nodes, "linear", [given], [gives], arrays)
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def rows(number: int, *, negative_from: int | None = None) -> Dataset:
    """Rows of positive numbers that the baseline gets right; from some place on negative ones."""
    inputs = np.random.default_rng(1).uniform(0.1, 1, (number, 4)).astype(np.float32)
    labels = (inputs @ WEIGHT).argmax(axis=1)
    if negative_from is not None:
        order = np.random.default_rng(0).permutation(number)
        inputs[order[negative_from:]] *= -1
        labels = (inputs @ WEIGHT).argmax(axis=1)
    ids = np.array([f"row-{i}" for i in range(number)], np.dtypes.StringDType())
    return Dataset(
        name="selection",
        ids=ids,
        inputs=inputs,
        labels=labels.astype(np.int64),
        classes=CLASSES,
        fingerprint=hash_arrays(ids, inputs, labels),
    )


@pytest.fixture
def linear_candidate(tmp_path: Path) -> Callable[..., Candidate]:
    """Makes a candidate of a weight: `linear_candidate("lean", WEIGHT, steps=(...))`."""
    made = []

    def make(
        name: str, weight: np.ndarray = WEIGHT, *, root: bool = False, steps: tuple = ()
    ) -> Candidate:
        folder = tmp_path / f"candidate-{len(made)}"
        made.append(folder)
        folder.mkdir()
        graph(folder / "model.onnx", weight, root=root)
        signature = Signature(input="numeric", classes=CLASSES, tensors=("features",), width=4)
        model: Model = models.seal(
            folder, name=name, format="onnx", file="model.onnx", signature=signature
        )
        recipe = Recipe(name=name, steps=steps)
        return Candidate(name=name, model=model, runtime="onnxruntime", recipe=recipe)

    return make


@dataclass(frozen=True)
class Lab:
    """What a search is made of."""

    baseline: Candidate
    answers: Answers
    bench: Bench
    search: _Search
    store: Store


@pytest.fixture
def lab(tmp_path: Path, linear_candidate: Callable[..., Candidate]) -> Callable[..., object]:
    """Opens a search over rows: `with lab(rows(300)) as it: ...`."""

    @contextmanager
    def opened(
        data: Dataset,
        *,
        budgets: tuple[Budget, ...] = (Budget(quantity="accuracy", max_drop=0.1),),
        allowed: tuple[StepCall, ...] = (),
        settings: SearchPlan | None = None,
        earlier: Store | None = None,
    ) -> Iterator[Lab]:
        baseline = linear_candidate("baseline")
        store = earlier or Store(tmp_path / "store")
        given = settings or SearchPlan()
        answers = Answers(SelectionSet(data), store, batch=64, seed=given.seed, clock=Clock())
        task = Task(
            name="numbers",
            kind="tabular-classification",
            classes=CLASSES,
            train=None,
            selection=SelectionSet(data),
            calibration=None,
            test={},
            metric="accuracy",
        )
        plan = Plan(
            path=tmp_path / "surefoot.toml",
            task=TaskPlan(kind=task.kind, test={}),
            model=ModelPlan(path="model.onnx"),
            recipes=(),
            runtimes={},
            evaluate=EvaluatePlan(),
            shifts=(),
            checks=(),
            budgets=budgets,
            text="",
            search=given,
            search_steps=allowed,
        )
        with workshop(baseline.model, task, store, processes=0) as make:
            timing = LatencyPlan(batch=[1], threads=1)
            bench = Bench(baseline, make, answers, store, timing, given.seed)
            space = Space(baseline=baseline.model, labelled=False, allowed=allowed)
            found = _Search(plan, given, bench, answers, space, "size_mb")
            found.baseline, found.watch = baseline, Silent()
            answers.ask(baseline, len(data))
            yield Lab(baseline, answers, bench, found, store)

    return opened


def shrunk(candidate: Candidate, share: float) -> Candidate:
    """The same candidate as though it were of another size."""
    size = int(candidate.model.size_bytes * share)
    return replace(candidate, model=replace(candidate.model, size_bytes=size))
