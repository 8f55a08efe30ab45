"""Size and build time of the report of a large run: `python benchmarks/report_size.py`.

It writes a bundle with the real writer, from made-up answers: so many candidates, in so many cells
(ten test sets, as they came and under shifts) of so many rows each, judged by the real gate, with
latencies and a calibration in every place. Then it builds the page and the other forms, each in a
process of its own, and prints seconds and megabytes. `--keep FOLDER` keeps the bundle. `--few`
writes the Parquet files of two candidates in ten places alone, which takes a hundredth of the time:
the report opens six of them, however many there are.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from surefoot.bundle import Contents, write_bundle
from surefoot.bundle.write import costs
from surefoot.core.confidence import Bin, Calibrated, Calibration, Kept, Reliability, Temperature
from surefoot.core.dataset import Dataset, Task
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Cell
from surefoot.core.hashing import hash_json
from surefoot.core.load import LoadProfile
from surefoot.core.model import Candidate, Cost, Model, Recipe, Signature, StepCall
from surefoot.evaluate import confirmation_evidence
from surefoot.gate import best, gate_evidence
from surefoot.plan import read_plan

SETS = 10
SHIFTS = ("typos", "ocr", "case", "truncate", "confusables", "whitespace")
CLASSES = ("negative", "neutral", "positive")
TEXT = np.dtypes.StringDType()


def main() -> None:
    """Make the bundle, build the report, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--cells", type=int, default=300, help="of each candidate")
    parser.add_argument("--rows", type=int, default=10_000, help="of each cell")
    parser.add_argument("--keep", type=Path, help="keep the bundle in this folder")
    parser.add_argument("--few", action="store_true", help="write only cells that may be opened")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        if not (folder / "bundle").exists():
            make(folder, asked.candidates, asked.cells // SETS, asked.rows, few=asked.few)
        build(folder)


def build(folder: Path) -> None:
    """Build each form in a fresh process, the page three times.

    Args:
        folder: Where `bundle` lies.
    """
    verdict = (folder / "bundle" / "verdict.json").stat().st_size / 1e6
    print(f"verdict.json {verdict:.1f} MB")
    for form in ("html", "html", "html", "plain", "markdown", "json", "junit"):
        out = folder / f"report.{form}"
        code = "from surefoot.cli import main; main()"
        command = [sys.executable, "-c", code, "report", str(folder / "bundle")]
        start, spent = time.perf_counter(), cpu_s()
        subprocess.run([*command, "--format", form, "--out", str(out)], check=True)
        took = time.perf_counter() - start
        size = out.stat().st_size / 1e6
        print(f"{form}: {took:.2f} s, {cpu_s() - spent:.2f} s of CPU, {size:.3f} MB")


def cpu_s() -> float:
    """CPU seconds of the processes that have ended: what a loaded machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make(folder: Path, candidates: int, places: int, rows: int, *, few: bool) -> None:
    """Write the bundle.

    Args:
        folder: Where `bundle` goes.
        candidates: How many.
        places: As they came, and under so many shifts less one.
        rows: Of each test set.
        few: Whether to write only the cells that a report may open.
    """
    rng = np.random.default_rng(0)
    sets = {f"set{i}": dataset(f"set{i}", rows, rng) for i in range(SETS)}
    names = ["baseline", *(f"candidate-{i:02}" for i in range(candidates))]
    shifts = [("", 0.0), *(shift(i) for i in range(places - 1))]
    truth = {key: answers(sets[key[0]], 0.12, rng) for key in keys(sets, shifts)}
    cells = {n: [cell(n, *k, sets, truth, rng) for k in keys(sets, shifts)] for n in names}
    under = {" ".join(map(str, key)): sets[key[0]] for key in keys(sets, shifts)}
    evidence = confirmation_evidence(cells, under, ["accuracy"])
    evidence = replace(
        evidence,
        loads=tuple(load(n, b, rng) for b in (1, 32) for n in (*names, "baseline (again)")),
        calibration=calibration(names, keys(sets, shifts)),
        sizes=dict.fromkeys(names, 20_000_000),
    )
    plan = read_plan(write_plan(folder, sets, names))
    task = Task(
        name="large", kind="text-classification", classes=CLASSES, train=None, selection=None,
        calibration=None, test=sets, metric="accuracy",
    )  # fmt: skip
    verdicts = gate_evidence(evidence, plan.budgets)
    first = best(verdicts, costs([candidate(n, folder) for n in names], evidence.loads)).candidate
    lost = sorted((p for p in evidence.paired if p.candidate == first), key=lambda p: -p.lost)
    kept = {(p.dataset, p.shift, p.severity) for p in lost[:10]}
    contents = Contents(
        plan=plan,
        task=task,
        candidates=[candidate(n, folder) for n in names],
        failed={},
        cells=[
            one
            for filled in cells.values()
            for one in filled
            if not few
            or (
                one.candidate in ("baseline", first)
                and (one.dataset, one.shift, one.severity) in kept
            )
        ],
        evidence=evidence,
        warnings=[],
        metrics=["accuracy"],
        verdicts=verdicts,
    )
    start = time.perf_counter()
    write_bundle(folder / "bundle", "0" * 64, contents)
    print(f"bundle written in {time.perf_counter() - start:.0f} s")


def shift(i: int) -> tuple[str, float]:
    """The names of shifts, five severities each."""
    return SHIFTS[i // 5 % len(SHIFTS)], float(i % 5 + 1)


def keys(sets: dict[str, Dataset], shifts: list[tuple[str, float]]) -> list[tuple[str, str, float]]:
    """Every cell: test set, shift, severity."""
    return [(name, *where) for name in sets for where in shifts]


def dataset(name: str, rows: int, rng: np.random.Generator) -> Dataset:
    """Rows without any content, which a bundle does not hold either."""
    return Dataset(
        name=name,
        ids=np.array([f"{name}-{i:05}" for i in range(rows)], TEXT),
        inputs=np.array([""] * rows, TEXT),
        labels=rng.integers(0, len(CLASSES), rows),
        classes=CLASSES,
        fingerprint=name,
    )


def answers(rows: Dataset, wrong: float, rng: np.random.Generator) -> np.ndarray:
    """The baseline's answers, of which a share is wrong."""
    missed = rng.random(len(rows)) < wrong
    return np.where(missed, (rows.labels + 1) % len(CLASSES), rows.labels)


def cell(
    name: str, dataset: str, shift: str, severity: float, sets: dict[str, Dataset],
    truth: dict[tuple[str, str, float], np.ndarray], rng: np.random.Generator,
) -> Cell:  # fmt: skip
    """One candidate in one place: the baseline's answers, of which some moved."""
    rows, said = sets[dataset], truth[dataset, shift, severity]
    moved = rng.random(len(said)) < (0 if name == "baseline" else rng.uniform(0.002, 0.04))
    predicted = np.where(moved, rng.integers(0, len(CLASSES), len(said)), said)
    scores = np.full((len(said), len(CLASSES)), 0.1, np.float32)
    scores[np.arange(len(said)), predicted] = 0.8
    return Cell(
        candidate=name, dataset=dataset, shift=shift, severity=severity,
        ids=rows.ids, labels=rows.labels, predicted=predicted, scores=scores,
    )  # fmt: skip


def load(name: str, batch: int, rng: np.random.Generator) -> LoadProfile:
    """800 calls."""
    centre = 10.0 if name.startswith("baseline") else rng.uniform(2, 8)
    wall = centre * batch**0.7 * rng.lognormal(0, 0.15, 800)
    return LoadProfile(
        candidate=name, runtime="onnxruntime", batch=batch, threads=1, wall_ms=wall, cpu_ms=wall,
    )  # fmt: skip


def calibration(names: list[str], places: list[tuple[str, str, float]]) -> Calibration:
    """A reliability in every place of everybody: the size is what matters, not the figures."""

    def told(value: float) -> Estimate:
        ends = {"low": value - 0.01, "high": value + 0.01}
        return Estimate(value=value, **ends, level=0.95, method="BCa", n=10_000)

    bins = tuple(
        Bin(n=667, confidence=c, accuracy=c - 0.02, low=c - 0.04, high=c + 0.04)
        for c in np.linspace(0.4, 0.96, 15).tolist()
    )
    curve = tuple(
        Kept(coverage=c, threshold=1 - c / 2, accuracy=told(0.99 - 0.1 * c))
        for c in np.linspace(0.1, 1, 10).tolist()
    )
    figures = {name: told(0.05) for name in ("ece", "brier", "log_loss", "aurc")}
    found = Reliability(figures=figures, bins=bins, curve=curve)
    return Calibration(
        rows=1000,
        temperatures={n: Temperature(estimate=told(1.2)) for n in names},
        places=tuple(
            Calibrated(candidate=n, dataset=d, shift=s, severity=v, before=found, after=found)
            for n in names
            for d, s, v in places
        ),
    )


def candidate(name: str, folder: Path) -> Candidate:
    """A candidate whose model is an empty folder."""
    path = folder / "models" / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.onnx").write_bytes(b"")
    model = Model(
        name=name, format="onnx", path=path, file="model.onnx", fingerprint=hash_json(name),
        size_bytes=20_000_000, signature=Signature(input="text", classes=CLASSES),
    )  # fmt: skip
    steps = (
        ()
        if name == "baseline"
        else (StepCall(use="export_onnx"), StepCall(use="quantize_dynamic"))
    )
    cost = Cost(wall_s=12.0, cpu_s=20.0, rows=1000, peak_mb=300.0)
    return Candidate(
        name=name,
        model=model,
        runtime="onnxruntime",
        recipe=Recipe(name=name, steps=steps),
        cost=cost,
        step_costs=(cost,) * len(steps),
    )


def write_plan(folder: Path, sets: dict[str, Dataset], names: list[str]) -> Path:
    """A plan with the same test sets and candidates, and budgets on every place."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.csv").write_text("text,label\n")
    (folder / "model.onnx").write_bytes(b"")
    lines = ["[task]", 'kind = "text-classification"', 'name = "large"']
    source = '{ use = "csv", path = "rows.csv", text = "text", label = "label" }'
    lines += [f"test.{name} = {source}" for name in sets]
    lines += ["[model]", 'path = "model.onnx"', f"classes = {list(CLASSES)}"]
    for name in names[1:]:
        lines += [
            "[[candidate]]",
            f'name = "{name}"',
            'steps = ["quantize_dynamic"]',
        ]
    lines += ["[evaluate]", f"shifts = {list(SHIFTS)}"]
    for more in ("", 'shift = "*"'):
        lines += ["[[budget]]", 'quantity = "accuracy"', "max_drop = 0.02", more]
    lines += ["[[budget]]", 'quantity = "p99_ms"', "at_most = 9.0"]
    path = folder / "plan.toml"
    path.write_text("\n".join(lines))
    return path


if __name__ == "__main__":
    main()
