"""Boosted trees follow their teacher, and their graph is what scikit-learn fitted, bit by bit."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot import models, plugins
from surefoot.compress.steps import _trees
from surefoot.core.errors import ModelError

CLASSES = ("ash", "birch", "oak")
QUICK = {"trees": 20, "leaves": 7}


@pytest.fixture
def teacher(adopted, tiny_sklearn):
    """A logistic regression of three classes."""
    return adopted(tiny_sklearn, "numeric")


def probabilities(model, inputs, **how):
    with models.open_model(model) as predict:
        return predict(inputs, **how)


def as_onnx(graph, inputs, tmp_path):
    from surefoot.models.runtimes.onnxruntime import open_session

    file = tmp_path / "trees.onnx"
    plugins.module("format", "onnx").save(graph, file)
    return open_session(str(file), 1).run(None, {"inputs": inputs})[0]


@pytest.mark.parametrize("label_weight", [0.0, 0.5])
def test_learns_the_task(step, teacher, numbers, label_weight):
    task = numbers(CLASSES)
    made = step("distill_trees", teacher, on=task, label_weight=label_weight, trees=30)
    found = probabilities(made, task.train.inputs)
    assert (found.argmax(axis=1) == task.train.labels).mean() > 0.95
    assert made.format == "onnx"
    assert made.parent == teacher.fingerprint
    assert made.signature.classes == CLASSES


def test_follows_the_teacher_and_not_the_labels(step, teacher, numbers):
    task = numbers(CLASSES)
    wrong = replace(task, train=replace(task.train, labels=(task.train.labels + 1) % 3))
    rows = task.train.inputs
    by = {
        weight: probabilities(
            step("distill_trees", teacher, on=wrong, label_weight=weight, **QUICK), rows
        )
        for weight in (0.0, 1.0)
    }
    assert (by[0.0].argmax(axis=1) == task.train.labels).mean() > 0.9
    assert (by[1.0].argmax(axis=1) == wrong.train.labels).mean() > 0.9


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_any_model_of_numbers_is_a_teacher(
    step, adopted, numbers, tiny_onnx_numeric, tmp_path, format
):
    import torch

    task, file = numbers(), tiny_onnx_numeric
    if format == "pt2":
        torch.manual_seed(0)
        rows = ({0: torch.export.Dim("rows")},)
        program = torch.export.export(
            torch.nn.Linear(4, 3), (torch.zeros(2, 4),), dynamic_shapes=rows
        )
        file = tmp_path / "linear.pt2"
        torch.export.save(program, file)
    model = adopted(file, "numeric", classes=["a", "b", "c"])
    wanted = probabilities(model, task.train.inputs)
    made = step("distill_trees", model, on=task, label_weight=0.0, trees=30)
    found = probabilities(made, task.train.inputs)
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.95


def test_unlabelled_rows_alone_will_do_and_their_labels_mean_nothing(step, teacher, numbers):
    task = numbers(CLASSES)
    bare = replace(task.train, labels=np.zeros_like(task.train.labels))
    made = step("distill_trees", teacher, on=replace(task, train=None, unlabelled=bare))
    assert (probabilities(made, bare.inputs).argmax(axis=1) == task.train.labels).mean() > 0.9
    with_both = replace(task, train=task.train.rows(np.arange(60)), unlabelled=bare)
    more = step("distill_trees", teacher, on=with_both)
    assert (probabilities(more, bare.inputs).argmax(axis=1) == task.train.labels).mean() > 0.9


def test_stored_outputs_stand_in_for_the_teacher(step, teacher, numbers, tmp_path):
    """Their columns are found by the names of the classes."""
    task, file = numbers(CLASSES), tmp_path / "scores.csv"
    wrong = np.array(CLASSES)[(task.train.labels + 1) % 3]
    shares = {name: np.where(wrong == name, 0.9, 0.05) for name in ("oak", "ash", "birch")}
    lines = [
        ",".join([str(name), *(f"{values[i]}" for values in shares.values())])
        for i, name in enumerate(task.train.ids)
    ]
    file.write_text("\n".join(["id,oak,ash,birch", *lines]) + "\n")
    options = {"label_weight": 0.0, **QUICK}
    made = step("distill_trees", teacher, on=task, outputs=file, **options)
    found = probabilities(made, task.train.inputs).argmax(axis=1)
    assert (np.array(CLASSES)[found] == wrong).mean() > 0.9
    file.write_text("\n".join(["id,oak,ash,birch", *lines[1:]]) + "\n")
    with pytest.raises(ModelError, match="has no scores for 1 of 120 rows"):
        step("distill_trees", teacher, on=task, outputs=file, **options)


def test_the_same_file_comes_of_the_same_rows(step, teacher, numbers):
    task = numbers(CLASSES)
    one, two = (step("distill_trees", teacher, on=task, **QUICK) for _ in range(2))
    assert one.fingerprint == two.fingerprint
    fewer = step("distill_trees", teacher, on=task, rows=60, **QUICK)
    assert fewer.fingerprint != one.fingerprint


def test_one_operator_and_a_certificate(step, teacher, numbers, operators):
    made = step("distill_trees", teacher, on=numbers(CLASSES), **QUICK)
    assert operators(made) == ["TreeEnsembleRegressor"]
    assert (made.path / "certificate.json").exists()


def test_more_trees_of_more_leaves_weigh_more(step, teacher, numbers):
    task = numbers(CLASSES)
    sizes = [
        step("distill_trees", teacher, on=task, trees=trees, leaves=leaves).size_bytes
        for trees, leaves in ((5, 3), (10, 3), (10, 6))
    ]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("classes", [2, 3])
def test_fitting_to_shares_is_fitting_to_as_many_labels(classes):
    """10 copies of a row, each with a label, are one row with the shares of its labels."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(classes)
    inputs = rng.standard_normal((150, 3)).astype(np.float32)
    labels = (inputs[:, :1] + rng.standard_normal((150, 10)) > 0) + (classes == 3) * rng.integers(
        0, 2, (150, 10)
    )
    shares = np.stack([(labels == k).mean(axis=1) for k in range(classes)], axis=1)
    fitted = _trees.fit(inputs, shares, trees=5, leaves=4, learning_rate=0.3)
    # A leaf of so many copies is another limit for 10 copies of a row than for its classes.
    found = fitted.set_params(min_samples_leaf=1).fit(*_copies(inputs, shares))
    reference = HistGradientBoostingClassifier(
        max_iter=5, max_leaf_nodes=4, learning_rate=0.3, early_stopping=False, min_samples_leaf=1
    ).fit(np.repeat(inputs, 10, axis=0), labels.ravel(), np.full(1500, 0.1))
    np.testing.assert_allclose(
        found.predict_proba(inputs), reference.predict_proba(inputs), atol=1e-9
    )


def _copies(inputs, shares):
    rows, classes = np.nonzero(shares)
    return inputs[rows], classes, shares[rows, classes]


def test_a_class_that_is_never_likely_keeps_its_column():
    inputs = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    shares = np.zeros((200, 3))
    shares[np.arange(200), (inputs[:, 0] > 0).astype(int)] = 1.0
    found = _trees.fit(inputs, shares, trees=5, leaves=4, learning_rate=0.3)
    assert found.classes_.tolist() == [0, 1, 2]
    assert found.predict_proba(inputs)[:, 2].max() < 1e-3


@pytest.mark.parametrize("classes", [2, 3])
def test_the_graph_answers_as_the_trees_even_beside_a_threshold(classes, tmp_path):
    """Neighbouring float32 values: of a threshold between them, the nearest is one of the two."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((3000, 3)).astype(np.float32)
    inputs[:, 0] = 1 + rng.integers(0, 40, 3000) * np.spacing(np.float32(1))
    inputs[::7, 1] = np.nan
    labels = (inputs[:, 0] > np.median(inputs[:, 0])).astype(int)
    labels += (classes == 3) * (inputs[:, 2] > 0)
    trees = HistGradientBoostingClassifier(max_iter=10, early_stopping=False).fit(inputs, labels)
    inputs[1, 1], inputs[2, 1] = np.inf, -np.inf
    found = as_onnx(_trees.graph_of(trees), inputs, tmp_path)
    np.testing.assert_allclose(found, trees.predict_proba(inputs), atol=1e-6)


def test_thresholds_are_never_rounded_up():
    values = np.array([1 + 2**-24 + 2**-50, 1 - 2**-30, 0.1, -0.1, 1e300, -1e300, np.inf, 0.0])
    found = _trees._floor(values)
    assert (found.astype(np.float64) <= values).all()
    with np.errstate(over="ignore"):
        above = np.nextafter(found, np.float32(np.inf)).astype(np.float64)
    assert (above[np.isfinite(values)] > values[np.isfinite(values)]).all()


def test_trees_that_split_by_categories_are_refused():
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 5, (300, 2)).astype(np.float32)
    trees = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0])
    with pytest.raises(ModelError, match="split by categories"):
        _trees.graph_of(trees.fit(inputs, inputs[:, 0] % 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trees": 0}, "trees is 0, must be at least 1"),
        ({"leaves": 1}, "leaves is 1, must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"label_weight": 1.5}, "label_weight 1.5; the first must be above 0"),
        ({"rows": -1}, "rows is -1"),
    ],
)
def test_options_out_of_range_are_named(step, teacher, numbers, options, message):
    with pytest.raises(ModelError, match=message):
        step("distill_trees", teacher, on=numbers(CLASSES), **options)


def test_what_it_cannot_learn_from_is_said(step, teacher, numbers):
    texts = replace(teacher, signature=replace(teacher.signature, input="text"))
    with pytest.raises(ModelError, match="takes a model of numbers, and this one takes text"):
        step("distill_trees", texts, on=numbers(CLASSES))
    with pytest.raises(ModelError, match="learns from training rows and there are none"):
        step("distill_trees", teacher, on=replace(numbers(CLASSES), train=None))
    with pytest.raises(ModelError, match="needs training labels of the model's own classes"):
        step("distill_trees", teacher, on=numbers(("a", "b", "c")))
