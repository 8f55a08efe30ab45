"""Answers that depend on the rows that share a call: float32, dynamic int8 and static int8.

    python benchmarks/batch_invariance.py BUNDLE/models/baseline TRAIN.csv TEST.csv [ROWS]

Both tables have the columns text and label. The baseline is exported to ONNX; static models are
made by `onnxruntime.quantization.quantize_static` (QDQ, per channel, matrix products alone) and,
where it is installed, by NNCF, both calibrated on 128 training rows. Each model then goes through
the check `batch_invariance`: every row alone, in a batch of 32, in another one, beside a long row.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from surefoot import plugins
from surefoot.core.checks import Checked, CheckResult, Opened, Subject
from surefoot.core.dataset import Dataset, Task
from surefoot.core.model import Model
from surefoot.data import read
from surefoot.gate import check_summaries
from surefoot.models import open_model, read_model, seal
from surefoot.models.preprocess import tensors

CALIBRATED_ON, THREADS = 128, 2


def rows_of(path: str, rows: int) -> Dataset:
    """The first rows of a table after shuffling."""
    options = {"path": path, "text": "text", "label": "label", "id": "id"}
    data = read("csv", options, name=Path(path).stem, slices={})
    return data.rows(np.random.default_rng(0).permutation(len(data))[:rows])


def calibration(model: Model, train: Dataset) -> Iterator[dict[str, np.ndarray]]:
    """The input tensors of training rows, one row a call, as onnxruntime and NNCF take them."""
    prepare = tensors(model)
    for i in range(min(CALIBRATED_ON, len(train))):
        yield prepare(train.inputs[i : i + 1])


def by_onnxruntime(model: Model, train: Dataset, target: Path) -> None:
    """Static int8 by ONNX Runtime."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = calibration(model, train)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._rows, None)

    quantize_static(
        model.path / model.file, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )  # fmt: skip


def by_nncf(model: Model, train: Dataset, target: Path) -> None:
    """Static int8 by NNCF."""
    import nncf
    import onnx

    data = nncf.Dataset(list(calibration(model, train)))
    loaded = onnx.load(model.path / model.file)
    made = nncf.quantize(
        loaded, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATED_ON
    )
    onnx.save(made, target)


def static(
    model: Model, train: Dataset, folder: Path, quantise: Callable[[Model, Dataset, Path], None]
) -> Model:
    """A static model, sealed beside the tokenizer of the one that it is made from."""
    shutil.copytree(model.path, folder)
    for name in ("golden.npz", model.file):
        (folder / name).unlink(missing_ok=True)
    quantise(model, train, folder / "model.onnx")
    return seal(
        folder, name=folder.name, format="onnx", file="model.onnx", signature=model.signature
    )


def models(
    baseline: Model, train: Dataset, task: Task, folder: Path
) -> Iterator[tuple[str, Model]]:
    """Each model by its name, made when it is asked for."""

    def step(name: str, model: Model, into: str, **options: object) -> Model:
        (folder / into).mkdir()
        made: Model = plugins.find("step", name)(model, task, folder / into, **options)
        return made

    exported = step("export_onnx", baseline, "fp32")
    yield "float32, ONNX", exported
    for each in (False, True):
        name = "channel" if each else "tensor"
        yield (
            f"dynamic int8, per {name}",
            step("quantize_dynamic", exported, name, per_channel=each),
        )
    yield "static int8, onnxruntime", static(exported, train, folder / "ort", by_onnxruntime)
    try:
        yield "static int8, NNCF", static(exported, train, folder / "nncf", by_nncf)
    except ImportError:
        print("nncf is not installed: left out")


def checked(model: Model, data: Dataset) -> tuple[Checked, float]:
    """What the check finds, and the accuracy of single rows."""
    with open_model(model, threads=THREADS) as predictor:
        opened = Opened(one_call=predictor.run_batch)
        scores = predictor(data.inputs)
        subject = Subject(
            kind="text", classes=data.classes, dataset=data, scores=scores,
            sets=np.full(len(data), data.name, dtype=np.dtypes.StringDType()),
            baseline_scores=scores, train=None, model=opened,
            reopened=lambda _: nullcontext(opened), threads=THREADS, golden=None,
        )  # fmt: skip
        rng = np.random.default_rng(0)
        found: Checked = plugins.find("check", "batch_invariance")(subject, rng)
    # Classes of the table may be ordered otherwise than those of the model: compare by name.
    names = np.array(model.signature.classes)[scores.argmax(axis=1)]
    return found, float((names == np.array(data.classes)[data.labels]).mean())


def main(baseline: str, train: str, test: str, rows: int = 1000) -> None:
    """Print a row for each model."""
    model, data, learn = read_model(Path(baseline)), rows_of(test, rows), rows_of(train, 500)
    task = Task(
        name="bench", kind="text-classification", classes=data.classes, train=learn,
        selection=None, calibration=None, test={"test": data}, metric="accuracy",
    )  # fmt: skip
    print(f"{len(data):,} rows of {test}, {THREADS} threads")
    with tempfile.TemporaryDirectory() as folder:
        for name, one in models(model, learn, task, Path(folder)):
            started = time.perf_counter()
            found, accuracy = checked(one, data)
            result = CheckResult(candidate=name, check="batch_invariance", checked=found)
            (entry,) = check_summaries([result])
            rate = entry["rate"]
            mates = sum(" in a batch of 32" in line for line in found.details)
            print(
                f"{name:26} {entry['failed']:4} change, {100 * rate.value:.1f} %"
                f" [{100 * rate.low:.1f}, {100 * rate.high:.1f}], {mates} in a batch of 32,"
                " a probability by at most"
                f" {found.largest:.2g}; accuracy {accuracy:.3f};"
                f" {time.perf_counter() - started:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
