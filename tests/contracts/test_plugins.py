"""Every plugin found keeps its contract, and the suite notices one that does not.

A new plugin needs no edit here unless it is a step with required options, a source, log or format:
those need an example, and the test of its name says so.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surefoot import models, plugins, testing
from surefoot.core.errors import PluginError

EVERY = [(kind, name) for kind in plugins.FOLDERS for name in plugins.names(kind)]
OPTIONS = {
    "drop_layers": {"keep": 1},
    "distill_static": {"epochs": 2, "dim": 16},
    "set_runtime": {"threads": 2},
    "distill": {"epochs": 1},
    "distill_trees": {"trees": 3},
    "finetune_quantized": {"epochs": 1, "rows": 100},
    "prune_structured": {"allocation": "uniform"},
    "quantize_nncf": {"rows": 24},
    "quantize_mixed": {"rows": 24},
}
"""Options for steps that have required ones, or that take long without."""
NUMERIC = ("distill_trees",)
"""Steps that take rows of numbers alone."""
BEFORE = {"recalibrate": "quantize_dynamic"}
"""Steps that work on what another has made of their teacher."""


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_says_what_it_is_and_takes(kind, name):
    testing.check(kind, name)


@pytest.mark.parametrize("name", plugins.names("metric"))
def test_metric(name):
    testing.check_metric(name)


@pytest.mark.parametrize("name", plugins.names("shift"))
def test_shift(name):
    testing.check_shift(name)


@pytest.mark.parametrize("name", plugins.names("check"))
def test_check(name):
    testing.check_check(name)


def _table(rows):
    return [
        {"text": f"text {i}", "label": "ab"[i % 2], "id": f"r{i}", "x": i / 7} for i in range(rows)
    ]


def _csv(folder, rows):
    lines = [f"{r['id']},{r['text']},{r['label']},{r['x']}" for r in _table(rows)]
    (folder / "rows.csv").write_text("\n".join(["id,text,label,x", *lines]) + "\n")
    return {"path": str(folder / "rows.csv"), "text": "text", "label": "label", "id": "id"}


def _jsonl(folder, rows):
    text = "".join(json.dumps(row) + "\n" for row in _table(rows))
    (folder / "rows.jsonl").write_text(text)
    return {"path": str(folder / "rows.jsonl"), "columns": ["x"], "label": "label"}


def _parquet(folder, rows):
    duckdb = pytest.importorskip("duckdb")
    _csv(folder, rows)
    duckdb.sql(f"copy '{folder}/rows.csv' to '{folder}/rows.parquet'").fetchall()
    return {"path": str(folder / "rows.parquet"), "text": "text", "label": "label"}


def _npz(folder, rows):
    inputs = np.random.default_rng(0).random((rows, 3))
    np.savez(folder / "rows.npz", x=inputs, y=np.array(["a", "b"])[np.arange(rows) % 2])
    return {"path": str(folder / "rows.npz"), "inputs": "x", "label": "y"}


def _image_folder(folder, rows):
    image = pytest.importorskip("PIL.Image")
    for i in range(rows):
        (folder / "images" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 5), i * 9, np.uint8)
        image.fromarray(pixels).save(folder / "images" / "ab"[i % 2] / f"{i}.png")
    return {"path": str(folder / "images")}


def _hf_dataset(folder, rows):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(_table(rows)).save_to_disk(folder / "saved")
    return {"path": str(folder / "saved"), "text": "text", "label": "label"}


SOURCES = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "npz": _npz,
    "image_folder": _image_folder,
    "hf_dataset": _hf_dataset,
}


@pytest.mark.parametrize("rows", [1, 12])
@pytest.mark.parametrize("name", plugins.names("source"))
def test_source(name, rows, tmp_path):
    testing.check_source(name, SOURCES[name](tmp_path, rows))


def _eee(folder):
    rows = [
        {
            "schema_version": "0.3.0", "evaluation_id": "e", "model_id": "m", "sample_id": str(i),
            "evaluation_name": "mmlu", "input": {"raw": "q", "reference": ["a"]},
            "evaluation": {"score": i / 2, "is_correct": i == 2}, "answer_attribution": [],
        }
        for i in range(3)
    ]  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "log.jsonl"


WRITTEN = Path(__file__).parents[1] / "evaluate" / "logs" / "written"
LOGS = {
    "every_eval_ever": _eee,
    "inspect_ai": lambda folder: WRITTEN / "two_epochs.eval",
    "lm_eval": lambda folder: next((WRITTEN / "lm_eval_base").glob("samples_toy_sums*")),
}


@pytest.mark.parametrize("name", plugins.names("log"))
def test_log(name, tmp_path):
    path = LOGS[name](tmp_path)
    testing.check_log(name, path)
    others = [other for other in plugins.names("log") if other != name]
    assert not any(plugins.module("log", other).recognises(path) for other in others)


@pytest.fixture
def of_format(adopted, tiny_bert, tiny_onnx_text, tiny_sklearn, tmp_path):
    """Makes a model of a format, with inputs for it."""

    def skops_as(format):
        estimator = plugins.find("format", "skops")(tiny_sklearn)
        file = tmp_path / f"estimator{plugins.module('format', format).SUFFIXES[0]}"
        plugins.module("format", format).save(estimator, file)
        return adopted(file, kind="numeric", trust=format == "pickle", folder=format)

    def torch_as(format):
        import torch

        class Linear(torch.nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.inner = torch.nn.Linear(4, 3)

            def forward(self, features):
                return self.inner(features)

        module, example = Linear().eval(), torch.zeros(2, 4)
        file = tmp_path / f"linear{plugins.module('format', format).SUFFIXES[0]}"
        if format == "pt2":
            rows = {"features": {0: torch.export.Dim("rows")}}
            torch.export.save(torch.export.export(module, (example,), dynamic_shapes=rows), file)
        else:
            torch.jit.trace(module, example).save(file)
        return adopted(
            file,
            kind="numeric",
            classes=["a", "b", "c"],
            trust=format == "torchscript",
            folder=format,
            sample=numbers,
        )

    numbers = np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32)
    makers = {
        "huggingface": lambda: adopted(tiny_bert, folder="huggingface"),
        "onnx": lambda: adopted(
            tiny_onnx_text, classes=["negative", "positive"], max_length=32, folder="onnx"
        ),
        "skops": lambda: skops_as("skops"),
        "pickle": lambda: skops_as("pickle"),
        "pt2": lambda: torch_as("pt2"),
        "torchscript": lambda: torch_as("torchscript"),
    }

    def make(format, texts):
        model = makers[format]()
        return model, (texts[:40] if model.signature.input == "text" else numbers)

    return make


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the format that is tested
@pytest.mark.parametrize("name", plugins.names("format"))
def test_format(name, of_format, texts, tmp_path):
    model, _ = of_format(name, texts)
    (tmp_path / "again").mkdir()
    path = model.path if model.file == "." else model.path / model.file
    testing.check_format(name, path, tmp_path / "again")


RUNS = [
    (name, format)
    for name in plugins.names("runtime")
    for format in plugins.module("runtime", name).FORMATS
]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("name", "format"), RUNS)
def test_runtime(name, format, of_format, texts):
    pytest.importorskip(name)
    model, inputs = of_format(format, texts)
    testing.check_runtime(name, model, inputs)


@pytest.fixture
def exported(adopted, tiny_encoder, text_task, tmp_path):
    """The tiny encoder as ONNX."""
    folder = tmp_path / "exported"
    folder.mkdir()
    export = plugins.find("step", "export_onnx")
    return export(adopted(tiny_encoder, folder="encoder"), text_task, folder)


def test_step_on_numbers(adopted, tiny_onnx_numeric, text_task, tmp_path):
    """Of the steps that want rows of numbers."""
    rows = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    data = replace(
        text_task.train.rows(np.arange(60)),
        inputs=rows,
        labels=rows[:, :3].argmax(axis=1),
        classes=("a", "b", "c"),
    )
    model = adopted(tiny_onnx_numeric, "numeric", classes=[*data.classes])
    task = replace(
        text_task,
        kind="tabular-classification",
        classes=data.classes,
        train=data,
        selection=None,
        test={"main": data},
    )
    for name in NUMERIC:
        testing.check_step(name, model, task, tmp_path / name, OPTIONS[name])


@pytest.mark.parametrize("name", [n for n in plugins.names("step") if n not in NUMERIC])
def test_step(name, request, adopted, tiny_encoder, text_task, tmp_path):
    needs = plugins.module("step", name).NEEDS
    wants_onnx = needs == "onnx" or (needs and "huggingface" not in needs)
    if wants_onnx:
        model = request.getfixturevalue("exported")
    else:
        model = adopted(tiny_encoder, folder="encoder")
    options = dict(OPTIONS.get(name, {}))
    if name in BEFORE:
        options["teacher"] = model
        (tmp_path / "before").mkdir()
        model = plugins.find("step", BEFORE[name])(model, text_task, tmp_path / "before")
    testing.check_step(name, model, text_task, tmp_path / "made", options)


# The suite itself: plugins that break their contract, each in one way.


def install(monkeypatch, kind, name, function, **constants):
    """Let `plugins` find a plugin that lies in no file."""
    module = type("Module", (), {"__doc__": "x", **constants})()
    real_module, real_find, real_summary = plugins.module, plugins.find, plugins.summary
    other = (kind, name)
    monkeypatch.setattr(
        plugins, "module", lambda k, n: module if (k, n) == other else real_module(k, n)
    )
    monkeypatch.setattr(
        plugins, "find", lambda k, n: function if (k, n) == other else real_find(k, n)
    )
    first = (function.__doc__ or "").partition("\n")[0]
    monkeypatch.setattr(
        plugins, "summary", lambda k, n: first if (k, n) == other else real_summary(k, n)
    )


def changes_scores(scores, labels):
    """Breaks its arguments."""
    scores[:] = 0
    return np.zeros(len(labels))


def wrong_shape(scores, labels):
    """Gives one value."""
    return np.array([0.5])


def depends_on_order(scores, labels):
    """Counts rows."""
    return np.arange(len(labels), dtype=np.float64)


def needs_rows(scores, labels):
    """Fails without rows."""
    scores.max()
    return np.zeros(len(labels))


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        (changes_scores, "leave scores and labels"),
        (wrong_shape, r"\(n,\) float64"),
        (depends_on_order, "depend on the order"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_found(monkeypatch, metric, complaint):
    install(monkeypatch, "metric", "odd", metric, HIGHER_IS_BETTER=True)
    with pytest.raises(PluginError, match=complaint):
        testing.check_metric("odd")


def test_a_metric_that_needs_rows_is_found(monkeypatch):
    install(monkeypatch, "metric", "odd", needs_rows, HIGHER_IS_BETTER=True)
    with pytest.raises((PluginError, ValueError)):
        testing.check_metric("odd")


def no_docstring(scores, labels): ...


def undescribed(scores, labels, *, scale: float = 1.0):
    """Has an option it does not describe."""


def untyped(scores, labels, *, scale=1.0):
    """Has an option without a type.

    Args:
        scale: Something.
    """


@pytest.mark.parametrize(
    ("function", "constants", "complaint"),
    [
        (undescribed, {}, "must hold HIGHER_IS_BETTER"),
        (no_docstring, {"HIGHER_IS_BETTER": True}, "begin with a sentence"),
        (undescribed, {"HIGHER_IS_BETTER": True}, "a line on the option 'scale'"),
        (untyped, {"HIGHER_IS_BETTER": True}, "'scale' must have a type"),
    ],
)
def test_what_a_plugin_does_not_say_is_found(monkeypatch, function, constants, complaint):
    install(monkeypatch, "metric", "odd", function, **constants)
    with pytest.raises(PluginError, match=complaint):
        testing.check("metric", "odd")


def same(model, task, folder):
    """Copies the model."""
    shutil.copytree(model.path, folder, dirs_exist_ok=True)
    sealed = models.seal(
        folder,
        name="same",
        format=model.format,
        file=model.file,
        signature=model.signature,
        parent=model.fingerprint,
    )
    models.add_golden(sealed, None, task.train.inputs[:8])
    return sealed


def touches_its_input(model, task, folder):
    """Leaves something behind."""
    (model.path / "left.txt").write_text("behind")
    return same(model, task, folder)


def forgets_its_parent(model, task, folder):
    """Names no parent."""
    return replace(same(model, task, folder), parent=None)


def differs_each_time(model, task, folder):
    """Writes something new each time."""
    (folder / "note.txt").write_text(str(folder))
    return same(model, task, folder)


def test_a_step_that_keeps_its_contract_passes(monkeypatch, of_format, texts, text_task, tmp_path):
    model, _ = of_format("onnx", texts)
    install(monkeypatch, "step", "odd", same, NEEDS="onnx", GIVES="onnx")
    made = testing.check_step("odd", model, text_task, tmp_path / "made")
    assert made.parent == model.fingerprint


@pytest.mark.parametrize(
    ("step", "gives", "complaint"),
    [
        (same, "pt2", "must give pt2"),
        (touches_its_input, "onnx", "leave the model as it is"),
        (forgets_its_parent, "onnx", "name its parent"),
        (differs_each_time, "onnx", "the same model for the same seed"),
    ],
)
def test_a_step_that_breaks_its_contract_is_found(
    monkeypatch, of_format, texts, text_task, tmp_path, step, gives, complaint
):
    model, _ = of_format("onnx", texts)
    install(monkeypatch, "step", "odd", step, NEEDS="onnx", GIVES=gives)
    with pytest.raises(PluginError, match=complaint):
        testing.check_step("odd", model, text_task, tmp_path / "made")


def test_a_step_option_refuses_what_is_not_of_its_type():
    assert testing._refused("quantize_dynamic", "per_channel")
    assert not testing._refused("quantize_dynamic", "no_such_option")


def test_a_model_that_does_not_load_elsewhere_is_found(of_format, texts, tmp_path):
    model, inputs = of_format("onnx", texts)
    (model.path / model.file).write_bytes(b"no model")
    with pytest.raises(PluginError, match="cannot predict in a fresh process"):
        testing._predicted_in_fresh_process(model, inputs, tmp_path)
