from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.plan import ModelPlan
from surefoot.models import adopt_baseline, open_model, seal
from surefoot.store import Store


def test_the_baseline_is_adopted_once_and_again_when_it_changes(
    tiny_onnx_text: Path, text_task, tmp_path: Path
) -> None:
    shutil.copytree(tiny_onnx_text.parent, tmp_path / "mine")
    path = tmp_path / "mine" / tiny_onnx_text.name
    options = ModelPlan(path=str(path), classes=["negative", "positive"])
    store = Store(tmp_path / "store")
    first = adopt_baseline(options, text_task, store)
    assert (first.name, first.runtime, first.recipe.steps) == ("baseline", "onnxruntime", ())
    sealed = (first.model.path / "signature.json").stat().st_mtime_ns
    again = adopt_baseline(options, text_task, store)
    assert again == first
    assert (again.model.path / "signature.json").stat().st_mtime_ns == sealed

    shorter = adopt_baseline(replace(options, max_length=5), text_task, store)
    assert shorter.model.fingerprint != first.model.fingerprint
    tokenizer = path.parent / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"lovely"', '"lovelier"'))
    renamed = adopt_baseline(options, text_task, store)
    assert renamed.model.fingerprint not in (first.model.fingerprint, shorter.model.fingerprint)

    tokenizer.unlink()
    with pytest.raises(ModelError, match="takes tokens, and there is no tokenizer"):
        adopt_baseline(options, text_task, store)
    path.unlink()
    with pytest.raises(ModelError, match="no such model"):
        adopt_baseline(options, text_task, store)
    assert not list((tmp_path / "store").rglob("*.surefoot-part"))


def test_its_golden_vectors_are_rows_of_the_task(tiny_bert, text_task, tmp_path) -> None:
    made = adopt_baseline(ModelPlan(path=str(tiny_bert)), text_task, Store(tmp_path / "store"))
    with np.load(made.model.path / "golden.npz") as stored:
        assert stored["inputs"].tolist() == text_task.train.inputs[:8].tolist()
    with open_model(made.model) as predict:
        accuracy = (predict(text_task.train.inputs).argmax(1) == text_task.train.labels).mean()
    assert accuracy > 0.9


TREES = ["ash", "birch", "oak"]


def tabular(*, train: bool = True) -> Task:
    """A task of random rows; what matters is that there are some."""
    inputs = np.random.default_rng(3).standard_normal((20, 4)).astype(np.float32)
    ids = np.array([str(i) for i in range(20)], np.dtypes.StringDType())
    rows = Dataset(
        name="main", ids=ids, inputs=inputs, labels=np.arange(20) % 3, classes=tuple(TREES)
    )
    return Task(
        name="trees", kind="tabular-classification", classes=tuple(TREES), metric="accuracy",
        train=rows if train else None, selection=None, calibration=None,
        test={"main": rows.rows(np.arange(19, -1, -1))},
    )  # fmt: skip


def test_it_answers_as_the_users_file_does(tiny_onnx_numeric, tmp_path) -> None:
    """Against onnxruntime alone, and a softmax by hand."""
    import onnxruntime

    task = tabular()
    options = ModelPlan(path=str(tiny_onnx_numeric), classes=TREES)
    made = adopt_baseline(options, task, Store(tmp_path / "store"))
    session = onnxruntime.InferenceSession(tiny_onnx_numeric, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"features": task.train.inputs})
    likely = np.exp(logits.astype(np.float64))
    likely /= likely.sum(axis=1, keepdims=True)
    with open_model(made.model, runtime=made.runtime) as predict:
        np.testing.assert_allclose(predict(task.train.inputs), likely, atol=1e-6)
    assert made.model.signature.classes == tuple(TREES)
    assert tiny_onnx_numeric.exists()


def test_without_training_data_it_is_tried_on_the_first_test_set(
    tiny_onnx_numeric, tmp_path
) -> None:
    task = tabular(train=False)
    options = ModelPlan(path=str(tiny_onnx_numeric), classes=TREES)
    made = adopt_baseline(options, task, Store(tmp_path / "store"))
    with np.load(made.model.path / "golden.npz") as stored:
        assert stored["inputs"].tolist() == task.test["main"].inputs[:8].tolist()


def test_where_the_file_lies_does_not_matter_but_what_it_holds(linear, tmp_path) -> None:
    task, store = tabular(), Store(tmp_path / "store")
    places = [tmp_path / name for name in ("here", "there", "changed")]
    for place in places:
        place.mkdir()
        linear(place / "model.onnx", softmax=place.name == "changed")
    here, there, changed = (
        adopt_baseline(ModelPlan(path=str(p / "model.onnx"), classes=TREES), task, store)
        for p in places
    )
    assert here == there
    assert changed.model.path != here.model.path
    assert changed.model.fingerprint != here.model.fingerprint


@pytest.mark.parametrize(("asked", "found"), [(None, "onnxruntime"), ("openvino", "openvino")])
def test_the_runtime_is_the_plans_or_that_of_the_format(
    tiny_onnx_numeric, tmp_path, asked, found
) -> None:
    options = ModelPlan(path=str(tiny_onnx_numeric), classes=TREES, runtime=asked)
    assert adopt_baseline(options, tabular(), Store(tmp_path / "s")).runtime == found


def test_a_model_that_was_changed_in_the_store_is_refused(tiny_onnx_numeric, tmp_path) -> None:
    task, store = tabular(), Store(tmp_path / "store")
    options = ModelPlan(path=str(tiny_onnx_numeric), classes=TREES)
    weights = adopt_baseline(options, task, store).model.path / "model.onnx"
    weights.write_bytes(weights.read_bytes() + b"\n")
    with pytest.raises(ModelError, match="changed after the model was sealed") as caught:
        adopt_baseline(options, task, store)
    assert caught.value.where == str(weights)
    shutil.rmtree(weights.parent)
    assert adopt_baseline(options, task, store).model.path == weights.parent


def test_an_adoption_that_was_killed_is_done_again(tiny_onnx_numeric, tmp_path) -> None:
    task, store = tabular(), Store(tmp_path / "store")
    options = ModelPlan(path=str(tiny_onnx_numeric), classes=TREES)
    folder = adopt_baseline(options, task, store).model.path
    part = store.root / f".{folder.parent.name}-{folder.name}.surefoot-part"
    half = folder.rename(part)
    (half / "signature.json").unlink()
    (half / "model.onnx").write_bytes(b"half")
    made = adopt_baseline(options, task, store)
    assert made.model.path == folder
    assert not half.exists()
    with open_model(made.model) as predict:
        assert np.isfinite(predict(task.train.inputs)).all()


def test_a_model_that_does_not_fit_leaves_nothing_behind(linear, tmp_path) -> None:
    """Its weights are no numbers; or it has fewer classes than it is said to have."""
    import onnx

    task, store = tabular(), Store(tmp_path / "store")
    proto = onnx.load(linear(tmp_path / "bad.onnx"))
    weight = np.full((4, 3), np.nan, np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, tmp_path / "bad.onnx")
    for path, classes, said in [
        (tmp_path / "bad.onnx", TREES, "8 rows that are not finite, the first is row 0"),
        (
            linear(tmp_path / "two.onnx", classes=2),
            TREES,
            "gives 8 rows of 2 outputs for 8 rows of 3 classes; list",
        ),
    ]:
        with pytest.raises(ModelError, match=said):
            adopt_baseline(ModelPlan(path=str(path), classes=classes), task, store)
    assert not list(tmp_path.glob("store/models/*"))


def test_a_pickle_that_came_in_the_store_is_not_loaded(tiny_onnx_numeric, tmp_path) -> None:
    """As a repository might ship it: sealed, whole, and where the baseline of the plan lies."""
    import joblib

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    task, store = tabular(), Store(tmp_path / "store")
    options = ModelPlan(path=str(tiny_onnx_numeric), classes=TREES)
    made = adopt_baseline(options, task, store).model
    shutil.rmtree(made.path)
    made.path.mkdir()
    joblib.dump(Bomb(), made.path / "model.pkl")
    signature = replace(made.signature, tensors=())
    seal(made.path, name="m", format="pickle", file="model.pkl", signature=signature)
    with pytest.raises(ModelError, match=r"is a pickle, .* set trust = true under \[model\]"):
        adopt_baseline(options, task, store)
    assert not (tmp_path / "exploded").exists()


def test_a_trusted_pickle_is_adopted_and_found_again(tiny_sklearn, tmp_path) -> None:
    import joblib
    import skops.io

    estimator = skops.io.load(tiny_sklearn)
    joblib.dump(estimator, tmp_path / "mine.pkl")
    task, store = tabular(), Store(tmp_path / "store")
    options = ModelPlan(path=str(tmp_path / "mine.pkl"), trust=True)
    made = adopt_baseline(options, task, store)
    assert adopt_baseline(options, task, store) == made
    rows = task.train.inputs
    with open_model(made.model) as predict:
        np.testing.assert_allclose(predict(rows), estimator.predict_proba(rows), atol=1e-6)
