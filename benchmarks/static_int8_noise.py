"""Static int8 of a small CNN: equal on clean images, and other answers under noise.

    python benchmarks/static_int8_noise.py FOLDER [ROWS]

FOLDER holds the fashion demo's `cnn.onnx` and `data/test.npz`, or they are made there (training
takes a minute or two). The CNN is quantised by ONNX Runtime (QDQ, unsigned activations, signed
weights per channel, ranges from 200 training images) and judged against the float32 one on the
first ROWS test images, 4,000 by default: as they came and under Gaussian noise. Severities above 5
lie beyond surefoot's axis: there a label is no longer sure. `moved` counts the float32 model's own
answers that are not those it gave to the clean rows, `flips` where int8 answers otherwise than it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from surefoot.api import open_task
from surefoot.core.dataset import ConfirmationSet, Dataset
from surefoot.core.evidence import Budget, ConfirmationEvidence
from surefoot.core.model import Candidate, Model, Recipe, StepCall
from surefoot.core.progress import Silent
from surefoot.demos.fashion import _read, fashion
from surefoot.evaluate import confirmation_evidence, fill_cells, under_shifts
from surefoot.gate import gate_evidence
from surefoot.models import seal
from surefoot.plan import read_plan
from surefoot.report.terminal import findings_table
from surefoot.store import Store

SEVERITIES = (1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0)
CALIBRATION, NAME = 200, "static-int8"
BUDGETS = (Budget(quantity="accuracy", max_drop=0.01), Budget(quantity="flips", at_most=0.05))


class Images:
    """What ONNX Runtime's calibration reads: one preprocessed image a call."""

    def __init__(self, images: np.ndarray) -> None:
        self._rows: Iterator[np.ndarray] = iter(images[:, None, None] / np.float32(255))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image; None after the last."""
        row = next(self._rows, None)
        return None if row is None else {"image": row}


def quantised(model: Model, folder: Path) -> Model:
    """The model in static int8."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder.mkdir(parents=True, exist_ok=True)
    images, _ = _read("train")
    chosen = np.random.default_rng(0).choice(len(images), CALIBRATION, replace=False)
    target = str(folder / "model.onnx")
    quant_pre_process(str(model.path / model.file), target, skip_symbolic_shape=True)
    q.quantize_static(
        target,
        target,
        Images(images[chosen]),
        quant_format=q.QuantFormat.QDQ,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
        per_channel=True,
    )
    return seal(
        folder,
        name=NAME,
        format="onnx",
        file="model.onnx",
        signature=model.signature,
        parent=model.fingerprint,
    )


def measured(
    candidates: list[Candidate], data: Dataset, store: Store
) -> tuple[ConfirmationEvidence, list[int]]:
    """The evidence at each severity, and how many answers of the first candidate noise changed."""
    calls = [StepCall(use="gaussian_noise", options=(("severity", s),)) for s in SEVERITIES]
    sets = under_shifts({data.name: ConfirmationSet(data)}, calls)
    cells = {c.name: fill_cells(c, sets, store) for c in candidates}
    clean, *_ = own = cells[candidates[0].name]
    moved = [int((cell.predicted != clean.predicted).sum()) for cell in own]
    return confirmation_evidence(cells, sets, ["accuracy"]), moved


def main(folder: str, rows: str = "4000") -> None:
    """Print a line for each severity, and the gate's findings."""
    home = Path(folder).resolve()
    (home / "data").mkdir(parents=True, exist_ok=True)
    plan = read_plan(fashion(home, Silent()))
    task, baseline = open_task(plan, store=home / "static-run")
    data = next(iter(task.test.values()))
    data = data.rows(np.arange(min(int(rows), len(data))))
    model = quantised(baseline.model, home / "static-model")
    candidate = Candidate(
        name=NAME, model=model, runtime=baseline.runtime, recipe=Recipe(name=NAME)
    )
    store = Store(home / "static-run", "benchmark")
    evidence, moved = measured([baseline, candidate], data, store)
    print(
        "severity  sd     baseline  moved  int8    difference  flips  lost  won  other  McNemar p"
    )
    for p, itself in zip(evidence.paired, moved, strict=True):
        flips = p.lost + p.won + p.other
        chance = min(1.0, 2 * float(binom.cdf(min(p.lost, p.won), p.lost + p.won, 0.5)))
        print(
            f"{p.severity:8g}  {0.04 * p.severity:.2f}  {p.baseline:9.4f}  {itself:5}"
            f"  {p.value:.4f}  {100 * (p.value - p.baseline):+7.2f} pp  {flips:5}  {p.lost:4}"
            f"  {p.won:3}  {p.other:5}  {chance:.3g}"
        )
    print()
    for budgets in (BUDGETS, [Budget(**_under(budget)) for budget in BUDGETS]):
        (verdict,) = gate_evidence(evidence, budgets)
        print(verdict.outcome, *findings_table(verdict), sep="\n")


def _under(budget: Budget) -> dict[str, Any]:
    """The same budget under every shift."""
    limits = {"max_drop": budget.max_drop, "at_most": budget.at_most}
    return {"quantity": budget.quantity, "shift": "*", **limits}


if __name__ == "__main__":
    main(*sys.argv[1:])
