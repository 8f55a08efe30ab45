"""Exported graphs answer as their source does, at any length and batch, and prove it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot import models, plugins
from surefoot.compress.steps import _exporters
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature


def certificate(model):
    return json.loads((model.path / "certificate.json").read_text())


def probabilities(model, inputs, batch=32):
    with models.open_model(model) as predict:
        return predict(inputs, batch=batch)


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_both_exporters_answer_as_the_source_does(step, encoder, texts, exporter):
    made = step("export_onnx", encoder, exporter=exporter)
    found = certificate(made)
    assert found["exporter"] == exporter
    assert found["flips"] == 0
    assert 0 <= found["max_difference"] < 1e-5
    assert found["rows"] == 64
    assert b".py" not in (made.path / "model.onnx").read_bytes()  # no paths of this machine
    for batch in (1, 32):
        difference = probabilities(made, texts, batch) - probabilities(encoder, texts, batch)
        assert np.abs(difference).max() < 1e-5


def test_runs_from_one_token_to_the_longest_row(exported, encoder):
    target, origin = (plugins.find("runtime", name) for name in ("onnxruntime", "torch"))
    with target(exported) as run, origin(encoder) as source:
        for rows, length in [(1, 1), (1, 40), (32, 1), (32, 40), (3, 7)]:
            ids = np.random.default_rng(length).integers(4, 90, (rows, length))
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            np.testing.assert_allclose(run(feed), source(feed), atol=1e-5)


def test_sequence_classification_is_exported(step, classifier, accuracy):
    made = step("export_onnx", classifier)
    assert accuracy(made) == accuracy(classifier) > 0.9


def test_the_best_is_torchscript_where_it_works(exported):
    assert certificate(exported)["exporter"] == "torchscript"
    assert certificate(exported)["fused"] == {}


def test_dynamo_is_taken_where_torchscript_is_off(step, encoder, monkeypatch):
    write = _exporters.export

    def off(model, feeds, name, **options):
        graph, failure = write(model, feeds, name, **options)
        if name == "torchscript":
            from onnx import numpy_helper

            bias = next(t for t in graph.graph.initializer if t.name == "head.bias")
            bias.CopyFrom(numpy_helper.from_array(np.array([0.5, 0], np.float32), "head.bias"))
        return graph, failure

    monkeypatch.setattr(_exporters, "export", off)
    assert certificate(step("export_onnx", encoder))["exporter"] == "dynamo"
    with pytest.raises(ModelError, match=r"torchscript gives outputs .* differ .* train-\d+"):
        step("export_onnx", encoder, exporter="torchscript")


def test_attention_is_fused_on_demand(fused, operators, accuracy, encoder):
    assert operators(fused).count("Attention") == 2
    assert certificate(fused)["fused"]["Attention"] == 2
    assert certificate(fused)["max_difference"] < 1e-5
    assert accuracy(fused) == accuracy(encoder)


def test_the_same_twice_wherever_the_source_lies(step, encoder, exported, tmp_path):
    import shutil

    shutil.copytree(encoder.path, tmp_path / "elsewhere")
    moved = models.moved(encoder, tmp_path / "elsewhere")
    assert step("export_onnx", moved).fingerprint == exported.fingerprint


def test_leaves_the_model_as_it_was(exported, encoder):
    assert models.read_model(encoder.path).fingerprint == encoder.fingerprint
    assert exported.parent == encoder.fingerprint
    assert exported.signature.tensors == ("input_ids", "attention_mask")


def test_selection_rows_do_where_there_are_no_training_rows(step, encoder, text_task):
    made = step("export_onnx", encoder, on=replace(text_task, train=None))
    assert certificate(made)["worst"][0].startswith("selection-")


def test_needs_rows_to_compare_on(step, encoder, text_task):
    empty = replace(text_task, train=None, selection=None, test={})
    with pytest.raises(ModelError, match="there are none; name a data source as train"):
        step("export_onnx", encoder, on=empty)


def test_inputs_of_a_test_set_do_where_there_is_nothing_else(step, encoder, text_task):
    alone = replace(text_task, train=None, selection=None)
    made = step("export_onnx", encoder, on=alone)
    rows = next(iter(text_task.test.values())).ids
    assert set(certificate(made)["worst"]) <= set(map(str, rows))


def linear_program(folder):
    import torch

    torch.manual_seed(0)
    module = torch.nn.Linear(4, 3).eval()
    rows = ({0: torch.export.Dim("rows")},)
    program = torch.export.export(module, (torch.zeros(2, 4),), dynamic_shapes=rows)
    torch.export.save(program, folder / "model.pt2")
    signature = Signature(input="numeric", classes=("a", "b", "c"), tensors=("input",), width=4)
    return models.seal(folder, name="p", format="pt2", file="model.pt2", signature=signature)


def test_exported_programs(step, numbers, tmp_path):
    (tmp_path / "program").mkdir()
    program, task = linear_program(tmp_path / "program"), numbers()
    made = step("export_onnx", program, on=task)
    assert certificate(made)["exporter"] == "dynamo"
    difference = probabilities(made, task.train.inputs) - probabilities(program, task.train.inputs)
    assert np.abs(difference).max() < 1e-6
    with pytest.raises(ModelError, match="'torchscript' cannot write a pt2 model; able: dynamo"):
        step("export_onnx", program, on=task, exporter="torchscript")


def sealed_sklearn(source, folder, signature):
    folder.mkdir()
    (folder / "model.skops").write_bytes(source.read_bytes())
    return models.seal(folder, name="s", format="skops", file="model.skops", signature=signature)


def test_scikit_learn_on_numbers(step, numbers, tiny_sklearn, tmp_path):
    classes = ("ash", "birch", "oak")
    signature = Signature(input="numeric", classes=classes, output="probabilities", width=4)
    model, task = sealed_sklearn(tiny_sklearn, tmp_path / "trees", signature), numbers(classes)
    made = step("export_onnx", model, on=task)
    assert certificate(made)["max_difference"] < 1e-5
    assert step("export_onnx", model, on=task).fingerprint == made.fingerprint
    found, wanted = (probabilities(m, task.train.inputs) for m in (made, model))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_scikit_learn_on_texts_stays_where_it_is(step, tiny_sklearn_text, tmp_path):
    signature = Signature(input="text", classes=("negative", "positive"), output="probabilities")
    model = sealed_sklearn(tiny_sklearn_text, tmp_path / "tfidf", signature)
    with pytest.raises(ModelError, match=r"raw texts cannot be exported.*sklearn runtime"):
        step("export_onnx", model)


def test_types_that_the_user_trusts_are_exported(step, adopted, numbers, tmp_path):
    from sklearn.ensemble import RandomForestClassifier
    from skops import io

    task = numbers(("a", "b"))
    names = np.array(task.classes)[task.train.labels]
    forest = RandomForestClassifier(5, random_state=0).fit(task.train.inputs, names)
    io.dump(forest, tmp_path / "forest.skops")
    model = adopted(tmp_path / "forest.skops", "numeric", trust=True)
    with models.open_model(step("export_onnx", model, on=task)) as predict:
        wanted = forest.predict_proba(task.train.inputs)
        np.testing.assert_allclose(predict(task.train.inputs), wanted, atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_boosted_trees_are_one_operator(step, adopted, numbers, operators, tmp_path, scaled):
    """Alone, and at the end of a pipeline; what makes their labels is left out."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from skops import io

    task = numbers(("a", "b", "c"))
    names = np.array(task.classes)[task.train.labels]
    trees = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    trees = make_pipeline(StandardScaler(), trees) if scaled else trees
    io.dump(trees.fit(task.train.inputs, names), tmp_path / "trees.skops")
    made = step("export_onnx", adopted(tmp_path / "trees.skops", "numeric", trust=True), on=task)
    assert operators(made) == [*["Scaler"] * scaled, "TreeEnsembleRegressor"]
    np.testing.assert_allclose(
        probabilities(made, task.train.inputs), trees.predict_proba(task.train.inputs), atol=1e-5
    )
