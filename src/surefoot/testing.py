"""The contract of plugins, as checks that anybody can run over theirs.

    from surefoot import testing
    testing.check("step", "my_step")                      # name, docstring, options
    testing.check_step("my_step", model, task, folder)    # what it does to a real model

A check returns nothing, or raises a `PluginError` that says what the plugin owes.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import models, plan, plugins
from surefoot.core.checks import Checked, Golden, Opened, Subject
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import DataError, PlanError, PluginError
from surefoot.core.hashing import hash_arrays, hash_file, hash_json
from surefoot.core.model import InputKind, Model
from surefoot.core.printable import printable
from surefoot.core.release import Release
from surefoot.data import fingerprint, read
from surefoot.data.fingerprint import row_hashes
from surefoot.evaluate.checking import sound
from surefoot.evaluate.pairs import of_sets

CONSTANTS = {
    "step": ("NEEDS", "GIVES"),
    "metric": ("HIGHER_IS_BETTER",),
    "shift": ("INPUT",),
    "check": ("INPUTS",),
    "log": ("recognises",),
    "format": ("SUFFIXES",),
    "runtime": ("FORMATS",),
    "source": (),
    "export": (),
}
"""What the file of a plugin must hold beside its function."""
NOTHING: Mapping[str, Any] = {}


def check(kind: str, name: str) -> None:
    """Check what can be seen without running a plugin: its constants, its docstring, its options.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes = _owes(kind, name)
    for constant in CONSTANTS[kind]:
        owes(hasattr(plugins.module(kind, name), constant), f"its file must hold {constant}")
    text = inspect.getdoc(plugins.find(kind, name)) or ""
    first = text.partition("\n")[0]
    owes(first.endswith("."), "its docstring must begin with a sentence on one line")
    owes(first == plugins.summary(kind, name), "its docstring must be a plain string")
    for option in plugins.options(kind, name).values():
        said = re.search(rf"^\s+{re.escape(option.name)}: \S", text, re.MULTILINE)
        owes(said is not None, f"its docstring must have a line on the option '{option.name}'")
        owes(option.type not in (Any, object), f"the option '{option.name}' must have a type")
        if kind == "step" and option.name != "seed":
            owes(_refused(name, option.name), f"the option '{option.name}' must refuse any object")


def check_metric(name: str) -> None:
    """Check a metric on drawn scores: shape, no rows, one row, order, untouched arguments.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes, metric = _owes("metric", name), plugins.find("metric", name)
    if of_sets(metric):
        _check_set_metric(owes, metric)
        return
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    labels, order = rng.integers(0, 3, 50), rng.permutation(50)
    before = hash_arrays(scores, labels)
    values = metric(scores, labels)
    owes(hash_arrays(scores, labels) == before, "it must leave scores and labels as they are")
    owes(values.shape == (50,) and values.dtype == np.float64, "it must give (n,) float64")
    owes(np.isfinite(values).all(), "its values must be finite")
    owes(np.array_equal(metric(scores, labels), values), "it must give the same twice")
    permuted = metric(scores[order], labels[order])
    owes(np.allclose(permuted, values[order], rtol=1e-12), "it must not depend on the order")
    owes(np.allclose(metric(scores[:1], labels[:1]), values[:1]), "it must do with one row")
    owes(metric(scores[:0], labels[:0]).shape == (0,), "it must do with no rows")


def _check_set_metric(owes: Callable[[Any, str], None], metric: Callable[..., Any]) -> None:
    """A metric of a whole set: shape, order, untouched arguments, weights that are relative."""
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(2), 400).astype(np.float32)
    labels, order = rng.integers(0, 2, 400), rng.permutation(400)
    weights = rng.standard_exponential((3, 400))
    before = hash_arrays(scores, labels, weights)
    values = metric(scores, labels, weights)
    owes(hash_arrays(scores, labels, weights) == before, "it must leave its arguments as they are")
    owes(values.shape == (3,) and values.dtype == np.float64, "it must give (draws,) float64")
    owes(np.isfinite(values).all(), "its values must be finite")
    permuted = metric(scores[order], labels[order], weights[:, order])
    owes(np.allclose(permuted, values, rtol=1e-9), "it must not depend on the order")
    owes(np.allclose(metric(scores, labels, 3 * weights), values), "weights must be relative")


def check_shift(name: str) -> None:
    """Check a shift on drawn inputs: identity at 0, same draw same result, shape, untouched inputs.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes, shift = _owes("shift", name), plugins.find("shift", name)
    module = plugins.module("shift", name)
    inputs = _drawn_inputs(module.INPUT)
    before = hash_arrays(inputs)
    if getattr(module, "GIVES", "inputs") == "rows":
        _check_rows(owes, shift, inputs)
        owes(hash_arrays(inputs) == before, "it must leave its inputs as they are")
        return

    def made(rows: np.ndarray, severity: float) -> np.ndarray:
        found = shift(rows, np.random.default_rng(0), severity=severity)
        owes(found.shape == rows.shape, "it must keep the shape of its inputs")
        owes(found.dtype == rows.dtype, "it must keep the type of its inputs")
        return np.asarray(found)

    owes((made(inputs, 0.0) == inputs).all(), "severity 0 must be the identity")
    owes((made(inputs, 5.0) != inputs).any(), "severity 5 must change something")
    owes((made(inputs, 3.0) == made(inputs, 3.0)).all(), "the same draw must give the same")
    owes(hash_arrays(inputs) == before, "it must leave its inputs as they are")
    owes(len(made(inputs[:0], 3.0)) == 0, "it must do with no rows")
    owes(len(made(inputs[:1], 3.0)) == 1, "it must do with one row")


def _check_rows(
    owes: Callable[[Any, str], None], shift: Callable[..., np.ndarray], inputs: np.ndarray
) -> None:
    """A shift that chooses rows: all of them at 0, fewer at 5, each once and in their order."""

    def made(rows: np.ndarray, severity: float) -> list[int]:
        found = shift(rows, np.random.default_rng(0), severity=severity)
        owes(found.ndim == 1 and found.dtype.kind == "i", "it must give (m,) whole numbers")
        return list(found.tolist())

    every, n = made(inputs, 0.0), len(inputs)
    owes(every == list(range(n)), "severity 0 must keep every row")
    few = made(inputs, 5.0)
    owes(few == sorted(set(few)) and set(few) < set(every), "it must leave out rows, no more")
    owes(made(inputs, 3.0) == made(inputs, 3.0), "the same draw must give the same")
    owes(made(inputs[:0], 3.0) == [], "it must do with no rows")
    owes(made(inputs[:1], 3.0) == [0], "it must keep a row that is alone")


def _drawn_inputs(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "image":
        return rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    if kind == "numeric":
        return rng.normal(3, 2, (40, 5)).astype(np.float32)
    words = ["the", "quick", "Brown", "fox", "jumps", "over", "lazy", "dog's", "house", "mood."]
    texts = [" ".join(rng.choice(words, 12 + i).tolist()) for i in range(60)]
    return np.array(texts, np.dtypes.StringDType())


def check_check(name: str) -> None:
    """Check a behaviour check on a drawn model: a reason each, the same twice, few rows.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes, check = _owes("check", name), plugins.find("check", name)
    for kind in plugins.module("check", name).INPUTS:
        subject = _drawn_subject(kind, 40)
        before = hash_arrays(subject.dataset.inputs, subject.scores)

        def made(asked: Subject) -> Checked:
            found = check(asked, np.random.default_rng(0))
            sound(found, name)
            said = np.array([bool(line) for line in found.details], dtype=bool)
            owes(np.array_equal(said, found.failed), "it must give a detail for a failed row alone")
            return found  # type: ignore[no-any-return]

        once, again = made(subject), made(subject)
        same = once.failed.tolist() == again.failed.tolist() and once.details == again.details
        owes(same and once.ids.tolist() == again.ids.tolist(), "the same draw must give the same")
        after = hash_arrays(subject.dataset.inputs, subject.scores)
        owes(before == after, "it must leave its subject as it is")
        for rows in (0, 1):
            made(_drawn_subject(kind, rows))


def _drawn_subject(kind: InputKind, rows: int) -> Subject:
    """A linear model of simple features, always right, whatever shares a call."""
    inputs, classes = _drawn_inputs(kind)[:rows], ("a", "b", "c")
    text = np.dtypes.StringDType()

    def one_call(asked: np.ndarray) -> np.ndarray:
        if kind == "text":
            counts = [[one.lower().count(c) for c in "aeiouth"] for one in asked.tolist()]
            features = np.array(counts, np.float64).reshape(len(asked), 7)
        else:
            flat = asked.reshape(len(asked), int(np.prod(asked.shape[1:])))
            features = flat[:, :5].astype(np.float64)
        weight = np.random.default_rng(1).normal(0, 0.1, (features.shape[1], len(classes)))
        # Row by row, since a product of matrices may round otherwise for other numbers of rows.
        with np.errstate(all="ignore"):
            logits = (features[:, :, None] * weight).sum(axis=1)
            likely = np.exp(logits - logits.max(axis=1, keepdims=True))
            found: np.ndarray = (likely / likely.sum(axis=1, keepdims=True)).astype(np.float32)
        return found

    model, scores = Opened(one_call=one_call), one_call(inputs)
    dataset = Dataset(
        name="drawn",
        ids=np.array([f"drawn/{i}" for i in range(len(inputs))], text),
        inputs=inputs,
        labels=scores.argmax(axis=1),
        classes=classes,
        slices={"even": np.arange(len(inputs)) % 2 == 0},
    )
    return Subject(
        kind=kind,
        classes=classes,
        dataset=dataset,
        sets=np.full(len(inputs), "drawn", dtype=text),
        scores=scores,
        baseline_scores=scores,
        train=replace(dataset, ids=np.array([f"train/{i}" for i in range(len(inputs))], text)),
        model=model,
        reopened=lambda _: nullcontext(model),
        threads=2,
        golden=Golden(
            inputs=inputs[:3],
            probabilities=scores[:3],
            broken=lambda found: np.abs(found - scores[:3]).max(axis=1, initial=0) > 0.05,
        ),
    )


def check_source(name: str, options: Mapping[str, Any]) -> None:
    """Check what a source reads: columns of one length, ids that are unique, the same twice.

    Raises:
        PluginError: It does not keep its contract.
        DataError: The data are at fault.
    """
    owes, path = _owes("source", name), Path(options["path"])
    before = _content(path)
    first, again = (read(name, options, name="data", slices={}) for _ in range(2))
    owes(_content(path) == before, "it must leave the file as it is")
    owes(fingerprint(first) == fingerprint(again), "it must read the same twice")
    for what, kept in _dataset_rules(first).items():
        owes(kept, what)


def check_log(name: str, path: Path) -> None:
    """Check what a log gives: columns of one length, the same twice, and an untouched file.

    Raises:
        PluginError: It does not keep its contract.
        DataError: The log is at fault.
    """
    owes, before = _owes("log", name), _content(path)
    module, reader = plugins.module("log", name), plugins.find("log", name)
    owes(module.recognises(path), "it must recognise its own log")
    owes(not module.recognises(path.with_name("no-such-file")), "it must not know a missing file")
    log, again = reader(path, None, ["task"]), reader(path, None, ["task"])
    owes(_content(path) == before, "it must leave the log as it is")
    same = [np.array_equal(log.ids, again.ids), np.array_equal(log.values, again.values)]
    owes(all(same), "it must read the same twice")
    n = len(log.ids)
    columns = [log.values, log.answers, log.prompts, *log.same.values(), *log.columns.values()]
    owes(all(len(c) == n for c in columns if c is not None), "its columns must be of one length")
    owes(log.ids.dtype.kind == "T" and n > 0, "its ids must be texts")
    owes(log.values.dtype == np.float64, "its values must be float64")
    owes(np.isfinite(log.values).all(), "its values must be finite")
    owes(set(log.columns) == {"task"}, "it must give the columns that are asked for, no others")
    owes(reader(path, log.metric, []).metric == log.metric, "it must know its own metric by name")
    _owes_an_error(owes, reader, path)


def _owes_an_error(
    owes: Callable[[Any, str], None], reader: Callable[..., Any], path: Path
) -> None:
    for metric, columns in (("no such metric", []), (None, ["no such column"])):
        try:
            reader(path, metric, columns)
        except DataError as error:
            owes("no such" in str(error), "its errors must name what is missing")
        else:
            owes(False, "it must refuse a metric and a column that it does not have")


def check_export(name: str, release: Release, options: Mapping[str, Any] = NOTHING) -> None:
    """Check what an export writes: inside its folder, the same twice, and nothing in the bundle.

    Args:
        name: The export.
        release: What is exported, of a bundle with the candidate's model.
        options: Its options, where it needs any.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes, export = _owes("export", name), plugins.find("export", name)
    bundle = release.cells.parent.parent
    before = _content(bundle)
    one, two = (export(release, **options) for _ in range(2))
    owes(_content(bundle) == before, "it must leave the bundle as it is")
    owes(one == two, "it must give the same twice")
    owes(len(one.files) > 0, "it must write something")
    owes("" not in one.files or len(one.files) == 1, "a format of one file must have one")
    for path, content in one.files.items():
        parts = Path(path).parts
        owes(".." not in parts and not Path(path).is_absolute(), "it must stay in its folder")
        if isinstance(content, Path):
            owes(content.is_file(), "what it copies must be there")
        else:
            owes(content.isprintable() or _seen(content), "its texts must hide nothing")


def _seen(text: str) -> bool:
    """Whether a text holds no character that is not seen, ends of lines aside."""
    return all(printable(line) == line for line in text.split("\n"))


def check_format(name: str, path: Path, folder: Path) -> None:
    """Check that a format loads a file, and that what it saves loads in a fresh process.

    Args:
        name: The format.
        path: A file, or folder, of that format.
        folder: An empty folder to save into.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes, module = _owes("format", name), plugins.module("format", name)
    owes(all(s.startswith(".") for s in module.SUFFIXES), "each of SUFFIXES must begin with a dot")
    before = _content(path)
    loaded = plugins.find("format", name)(path)
    owes(_content(path) == before, "it must leave the file as it is")
    if hasattr(module, "save"):
        saved = folder / path.name
        if path.is_dir():
            saved.mkdir()
        module.save(loaded, saved)
        _in_fresh_process("load", name, saved)


def check_runtime(name: str, model: Model, inputs: np.ndarray, *, tolerance: float = 1e-4) -> None:
    """Check that a runtime agrees with the reference: the default runtime of the model's format.

    Args:
        name: The runtime.
        model: A model in floats, of a format that the runtime reads.
        inputs: Raw inputs, a few tens of rows.
        tolerance: The largest difference of a probability.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes, before = _owes("runtime", name), row_hashes(inputs).tolist()
    with models.open_model(model) as reference:
        wanted = reference(inputs)
    for threads in (1, 2):
        with models.open_model(model, runtime=name, threads=threads) as predict:
            found = predict(inputs)
            far = float(np.abs(found - wanted).max())
            owes(far <= tolerance, f"it is {far:.2g} off the reference with {threads} threads")
            owes(np.array_equal(predict(inputs), found), "it must give the same twice")
            one = np.abs(predict(inputs[:1]) - wanted[:1]).max()
            owes(one <= tolerance, "it must give the same answer to a row alone")
            owes(predict(inputs[:0]).shape == (0, wanted.shape[1]), "it must do with no rows")
    owes(row_hashes(inputs).tolist() == before, "it must leave the inputs as they are")


def check_step(
    name: str, model: Model, task: Task, folder: Path, options: Mapping[str, Any] = NOTHING
) -> Model:
    """Check that a step gives a sound model, the same twice, and leaves its input alone.

    Args:
        name: The step.
        model: A model of a format that it needs.
        task: Data to learn from and to try the result on.
        folder: An empty folder to work in.
        options: The step's options.

    Returns:
        The model that the step made.

    Raises:
        PluginError: It does not keep its contract.
    """
    owes = _owes("step", name)
    data = next(iter(task.test.values()))
    gives = plugins.gives(name, model.format)
    before, rows = _content(model.path), hash_arrays(data.ids, data.inputs, data.labels)
    made, again = (_made(name, model, task, folder / each, options) for each in ("one", "two"))
    owes(_content(model.path) == before, "it must leave the model as it is")
    owes(rows == hash_arrays(data.ids, data.inputs, data.labels), "it must leave the data alone")
    owes(made.fingerprint == again.fingerprint, "it must give the same model for the same seed")
    owes(made.format == gives, f"it must give {gives}, as GIVES says")
    owes(made.parent == model.fingerprint, "its model must name its parent")
    owes(made.path == folder / "one", "it must write into the folder that it is given")
    with models.open_model(made) as predict:
        scores = predict(data.inputs[:20])
        owes(predict(data.inputs[:1]).shape == (1, scores.shape[1]), "it must do with one row")
        owes(predict(data.inputs[:0]).shape == (0, scores.shape[1]), "it must do with no rows")
    fresh = _predicted_in_fresh_process(made, data.inputs[:20], folder)
    owes(np.allclose(fresh, scores, atol=1e-6), "its model must answer alike in a fresh process")
    return made


def _owes(kind: str, name: str) -> Callable[[Any, str], None]:
    def owes(kept: Any, what: str) -> None:
        if not kept:
            raise PluginError(f"{kind} '{name}' breaks its contract: {what}")

    return owes


def _refused(step: str, option: str) -> bool:
    try:
        plan.step(step, **{option: object()})
    except PlanError as error:
        return any(f"{step}.{option}: should be" in problem for problem in error.problems)
    return False


def _content(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hash_json([(file.name, hash_file(file)) for file in files if file.is_file()])


def _dataset_rules(dataset: Dataset) -> Mapping[str, bool]:
    n, text = len(dataset), np.dtypes.StringDType()
    inputs, labels = dataset.inputs, dataset.labels
    kinds = [
        inputs.ndim == 1 and inputs.dtype == text,
        inputs.ndim == 2 and inputs.dtype == np.float32,
        inputs.ndim in (3, 4) and inputs.dtype == np.uint8,
    ]
    return {
        "ids must be unique texts": dataset.ids.dtype == text and len(set(dataset.ids)) == n,
        "inputs must be texts, float32 rows or uint8 images": any(kinds) and len(inputs) == n,
        "labels must be int64 into classes": labels.dtype == np.int64
        and labels.shape == (n,)
        and bool(((labels >= 0) & (labels < len(dataset.classes))).all()),
        "classes must be sorted and distinct": list(dataset.classes)
        == sorted(set(dataset.classes)),
        "slices must be a bool per row": all(
            mask.shape == (n,) and mask.dtype == np.bool_ for mask in dataset.slices.values()
        ),
    }


def _made(name: str, model: Model, task: Task, folder: Path, options: Mapping[str, Any]) -> Model:
    folder.mkdir(parents=True)
    step = plugins.find("step", name)
    teacher = {"teacher": model} if "teacher" in inspect.signature(step).parameters else {}
    made: Model = step(model, task, folder, **{**teacher, **options})
    return made


def _predicted_in_fresh_process(model: Model, inputs: np.ndarray, folder: Path) -> np.ndarray:
    rows, scores = folder / "rows.npy", folder / "scores.npy"
    # numpy's new text type cannot be saved without pickle; fixed width can.
    np.save(rows, np.array(inputs.tolist()) if inputs.dtype.kind == "T" else inputs)
    _in_fresh_process("predict", model.path, rows, scores)
    found: np.ndarray = np.load(scores)
    return found


def _in_fresh_process(*words: str | Path) -> None:
    command = [sys.executable, "-m", "surefoot.testing", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise PluginError(f"cannot {words[0]} in a fresh process: {last}", where=str(words[1]))


def _predict(folder: str, rows: str, scores: str) -> None:
    inputs = np.load(rows)
    if inputs.dtype.kind == "U":
        inputs = inputs.astype(np.dtypes.StringDType())
    with models.open_model(models.read_model(Path(folder), trust=True)) as predict:
        np.save(scores, predict(inputs))


def _load(name: str, path: str) -> None:
    plugins.find("format", name)(Path(path))


if __name__ == "__main__":
    {"predict": _predict, "load": _load}[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
