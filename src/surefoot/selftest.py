"""Plants regressions in the baseline and makes sure that the gate sees every one of them.

A gate that is never seen to fail is not known to work: on these data, with these budgets, on this
machine. What is planted is real: other answers, a model file with flipped bits, calls that sleep.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.bundle import environment_key
from surefoot.core.dataset import ConfirmationSet, Task
from surefoot.core.errors import ModelError
from surefoot.core.evidence import Budget, Cell, ConfirmationEvidence, Finding, Plant
from surefoot.core.load import LoadProfile
from surefoot.core.model import Candidate
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data import for_classes, read_task
from surefoot.evaluate import confirmation_evidence, fill_cells, take_turns
from surefoot.gate import gate_evidence
from surefoot.models import adopt_baseline, open_model, read_model, seal
from surefoot.store import Store

NAME = "planted"
LEAST_CHANGED = 0.2
"""Bits are flipped until this share of the answers is another one."""
MOST_BITS = 1 << 14
TOP_EXPONENT_BITS = (0x20, 0x10)
"""In the highest byte of a float32: large factors that overflow nothing at once."""


def selftest(plan: Plan, out: Path, progress: Progress | None = None) -> tuple[Plant, ...]:
    """Plant nothing, then shuffled answers, a delay and flipped bits, and judge each.

    Args:
        plan: Its baseline, data and slices are used; nothing is counted in the ledger.
        out: The folder of finished stages.
        progress: Told of every stage.

    Raises:
        SurefootError: A file of the data or the model is at fault.
    """
    watch, store = progress or Silent(), Store(out, environment_key())
    with store.locked():
        raw = read_task(plan, watch)
        baseline = adopt_baseline(plan.model, raw, store)
        task = for_classes(raw, baseline.model.signature.classes)
        name, dataset = next(iter(task.test.items()))
        (cell,) = fill_cells(
            baseline, {name: dataset}, store, batch=plan.evaluate.batch, progress=watch
        )
        slice_, mask = _slice(dataset)
        dataset = ConfirmationSet(replace(dataset, slices={slice_: mask}))
        here = _Here(plan=plan, task=task, dataset=dataset, cell=cell, margin=_margin(plan))
        return (
            here.nothing(),
            here.shuffled(slice_, mask),
            *here.flipped_bits(baseline, out / "selftest"),
            here.delay(baseline, watch),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """Where things are planted."""

    plan: Plan
    task: Task
    dataset: ConfirmationSet
    cell: Cell
    margin: float

    def nothing(self) -> Plant:
        """The baseline against itself."""
        outcome, finding = self._judged(self.cell, None)
        return Plant(
            what="nothing: the baseline against itself",
            expected="no FAIL",
            found=outcome,
            seen=outcome != "FAIL",
            finding=finding,
        )

    def shuffled(self, slice_: str, mask: np.ndarray) -> Plant:
        """The answers of a slice, each given to another row of it."""
        rows = np.flatnonzero(mask)
        order = np.arange(len(mask))
        order[rows] = np.random.default_rng(0).permutation(rows)
        scores = self.cell.scores[order]
        shuffled = replace(self.cell, scores=scores, predicted=scores.argmax(axis=1))
        return self._regression(
            f"the answers of {len(rows):,} rows shuffled: {slice_}", shuffled, slice_
        )

    def flipped_bits(self, baseline: Candidate, folder: Path) -> Iterator[Plant]:
        """A model file with flipped bits, as it is and sealed anew."""
        shutil.rmtree(folder, ignore_errors=True)
        try:
            weights = _float_bytes(baseline)
        except ModelError as error:
            yield Plant(what="flipped bits", expected="FAIL", found=f"not run: {error}", seen=True)
            return
        bits = 8
        while bits <= MOST_BITS:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(baseline.model.path, folder, ignore=shutil.ignore_patterns(".*"))
            _flip(folder / weights.file, weights, bits)
            if bits == 8:
                yield _refused(folder)
            try:
                cell = self._answers(baseline, folder)
            except ModelError as error:
                yield Plant(
                    what=f"{bits} flipped bits", expected="FAIL", found=f"refused: {error}",
                    seen=True,
                )  # fmt: skip
                break
            if (cell.predicted != self.cell.predicted).mean() >= LEAST_CHANGED:
                yield self._regression(f"{bits} flipped bits in {weights.file}", cell, None)
                break
            bits *= 2
        else:
            why = f"not run: {MOST_BITS} flipped bits change hardly an answer"
            yield Plant(what="flipped bits", expected="FAIL", found=why, seen=True)
        shutil.rmtree(folder, ignore_errors=True)

    def delay(self, baseline: Candidate, progress: Progress) -> Plant:
        """The baseline, and the same with half a call's time of sleep in each call."""
        settings = self.plan.evaluate.latency
        batch = settings.batch[0]
        with open_model(
            baseline.model, runtime=baseline.runtime, threads=settings.threads
        ) as predict:
            call = predict.run_batch
            started = time.perf_counter()
            call(self.dataset.inputs[:batch])
            pause = max((time.perf_counter() - started) / 2, 0.002)
            calls: dict[str, Callable[[np.ndarray], Any]] = {
                "baseline": call,
                "baseline (again)": call,
                NAME: _delayed(call, pause),
            }
            wall, cpu = take_turns(calls, self.dataset, batch, settings, progress)
        loads = tuple(
            LoadProfile(
                candidate=name, runtime=baseline.runtime, batch=batch, threads=settings.threads,
                wall_ms=np.array(wall[name]), cpu_ms=np.array(cpu[name]),
            )
            for name in calls
        )  # fmt: skip
        budget = Budget(quantity="speedup", at_least=0.95, batch=batch)
        evidence = replace(self._evidence(self.cell), loads=loads)
        verdict = gate_evidence(evidence, [budget])[0]
        what, finding = f"a delay of {1000 * pause:.1f} ms a call", verdict.findings[0]
        if finding.reason:  # a noisy machine judges no latency, this one neither
            return Plant(what=what, expected="FAIL", found=f"not run: {finding.reason}", seen=True)
        return _plant(what, finding)

    def _answers(self, baseline: Candidate, folder: Path) -> Cell:
        """What a changed model answers, sealed as a step would seal what it made."""
        (folder / "golden.npz").unlink(missing_ok=True)
        model = seal(
            folder,
            name=NAME,
            format=baseline.model.format,
            file=baseline.model.file,
            signature=baseline.model.signature,
        )
        with open_model(model, runtime=baseline.runtime) as predict:
            scores = predict(self.dataset.inputs)
        return replace(self.cell, candidate=NAME, scores=scores, predicted=scores.argmax(axis=1))

    def _regression(self, what: str, cell: Cell, slice_: str | None) -> Plant:
        return _plant(what, self._judged(cell, slice_)[1])

    def _judged(self, cell: Cell, slice_: str | None) -> tuple[str, Finding]:
        budget = Budget(quantity="accuracy", max_drop=self.margin, slice=slice_)
        (verdict,) = gate_evidence(self._evidence(cell), [budget])
        return verdict.outcome, verdict.findings[0]

    def _evidence(self, cell: Cell) -> ConfirmationEvidence:
        cells = {"baseline": [self.cell], NAME: [replace(cell, candidate=NAME)]}
        return confirmation_evidence(cells, {self.dataset.name: self.dataset}, ["accuracy"])


def _delayed(call: Callable[[np.ndarray], Any], pause: float) -> Callable[[np.ndarray], Any]:
    def late(inputs: np.ndarray) -> Any:
        time.sleep(pause)
        return call(inputs)

    return late


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    file: str
    starts: np.ndarray
    """(n,) where in the file the bytes of each float32 weight begin."""


def _float_bytes(baseline: Candidate) -> _Weights:
    """Where the float32 weights of a model lie in its file."""
    model = baseline.model
    if model.format == "huggingface":
        files = sorted(model.path.glob("*.safetensors"), key=lambda f: -f.stat().st_size)
        if files:
            return _safetensors(files[0])
    if model.format == "onnx":
        return _onnx(model.path / model.file)
    raise ModelError(f"bits cannot be flipped in a file of the format {model.format}")


def _safetensors(file: Path) -> _Weights:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    spans = [
        tensor["data_offsets"]
        for name, tensor in header.items()
        if name != "__metadata__" and tensor["dtype"] == "F32" and len(tensor["shape"]) > 1
    ]
    starts = [np.arange(8 + length + first, 8 + length + last, 4) for first, last in spans]
    if not starts:
        raise ModelError("the model has no float32 weights", where=str(file))
    return _Weights(file=file.name, starts=np.concatenate(starts))


def _onnx(file: Path) -> _Weights:
    """Float weights stand in an ONNX file as they are: the bytes of each matrix are searched."""
    from surefoot.core.extras import require

    onnx = require("onnx", extra="compress", error=ModelError)
    content, graph = file.read_bytes(), onnx.load(str(file), load_external_data=False).graph
    starts = []
    for tensor in graph.initializer:
        at = content.find(tensor.raw_data) if tensor.raw_data else -1
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1 and at >= 0:
            starts.append(np.arange(at, at + len(tensor.raw_data), 4))
    if not starts:
        raise ModelError("the model has no float32 weights", where=str(file))
    return _Weights(file=file.name, starts=np.concatenate(starts))


def _flip(file: Path, weights: _Weights, bits: int) -> None:
    """Flip exponent bits of weights that are drawn at random."""
    content = np.fromfile(file, np.uint8)
    rng = np.random.default_rng(0)
    chosen = rng.choice(weights.starts, min(bits, len(weights.starts)), replace=False)
    content[chosen + 3] ^= rng.choice(np.array(TOP_EXPONENT_BITS, np.uint8), len(chosen))
    content.tofile(file)


def _refused(folder: Path) -> Plant:
    """A sealed model whose weights changed afterwards must not even be opened."""
    try:
        read_model(folder, trust=True)
        found, seen = "opened", False
    except ModelError as error:
        found, seen = f"refused: {error.what}", True
    return Plant(
        what="8 flipped bits in a sealed model", expected="refused", found=found, seen=seen
    )


def _plant(what: str, finding: Finding) -> Plant:
    outcome = finding.outcome
    return Plant(what=what, expected="FAIL", found=outcome, seen=outcome == "FAIL", finding=finding)


def _slice(dataset: ConfirmationSet) -> tuple[str, np.ndarray]:
    """The plan's largest slice, else the rows of the two most common classes."""
    if dataset.slices:
        name = max(dataset.slices, key=lambda name: int(dataset.slices[name].sum()))
        return name, dataset.slices[name]
    common = np.argsort(-np.bincount(dataset.labels), kind="stable")[:2]
    names = " and ".join(dataset.classes[i] for i in common)
    return f"class {names}", np.isin(dataset.labels, common)


def _margin(plan: Plan) -> float:
    """The widest drop in accuracy that the plan allows anywhere: what it must see at least."""
    allowed = [b.max_drop for b in plan.budgets if b.quantity == "accuracy" and b.max_drop]
    return max(allowed, default=0.01)
