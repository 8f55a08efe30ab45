"""`surefoot compare` on logs of other evaluators: agreement, wall time and peak memory.

    python benchmarks/compare_logs.py [lm_eval | inspect_ai | every_eval_ever]

Two seeded logs of 100,000 samples in 57 tasks and 20,000 passages, 1 kB of text a sample. The
differences and standard errors are held against statsmodels; then each format is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES, TASKS, PASSAGES = 100_000, 57, 20_000
TEXT = "the quick brown fox jumps over the lazy dog " * 23


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right or wrong before, after, and the passage of each sample: 4 % change, a drop of 0.4."""
    rng = np.random.default_rng(0)
    passages = rng.integers(0, PASSAGES, SAMPLES)
    ability = np.clip(0.7 + 0.25 * rng.standard_normal(PASSAGES)[passages], 0.02, 0.98)
    before = rng.random(SAMPLES) < ability
    redrawn = rng.random(SAMPLES) < 0.1
    after = np.where(redrawn, rng.random(SAMPLES) < ability - 0.04, before)
    return before.astype(float), after.astype(float), passages


def lm_eval(path: Path, values: np.ndarray, passages: np.ndarray) -> None:
    """As lm-evaluation-harness 0.4.13 writes it."""
    with path.open("w") as stream:
        for i, (value, passage) in enumerate(zip(values.tolist(), passages.tolist(), strict=True)):
            record = {
                "doc_id": i,
                "doc": {"question": TEXT, "passage": passage, "subject": f"s{i % TASKS}"},
                "target": "1",
                "arguments": {"gen_args_0": {"arg_0": f"{i} {TEXT}", "arg_1": " A"}},
                "resps": [["A"]],
                "filtered_resps": [f"{value:g}"],
                "filter": "none",
                "metrics": ["acc"],
                "doc_hash": f"{i:064}",
                "prompt_hash": f"{i:064}",
                "target_hash": f"{1:064}",
                "acc": value,
            }
            stream.write(json.dumps(record) + "\n")


def inspect(path: Path, values: np.ndarray, passages: np.ndarray) -> None:
    """As Inspect 0.3.285 writes it, packed by deflate as older versions did."""
    header = {
        "version": 2,
        "status": "success",
        "eval": {"task": "t", "dataset": {"samples": SAMPLES}, "config": {"epochs": 1}},
    }
    summaries: list[dict[str, Any]] = [
        {
            "id": i,
            "epoch": 1,
            "input": f"{i} {TEXT}",
            "target": "A",
            "metadata": {"passage": passage, "subject": f"s{i % TASKS}"},
            "scores": {"match": {"value": "CI"[value == 0], "answer": f"{value:g}"}},
        }
        for i, (value, passage) in enumerate(zip(values.tolist(), passages.tolist(), strict=True))
    ]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", json.dumps(summaries))


def every_eval_ever(path: Path, values: np.ndarray, passages: np.ndarray) -> None:
    """As schema 0.3.0 says."""
    with path.open("w") as stream:
        for i, (value, passage) in enumerate(zip(values.tolist(), passages.tolist(), strict=True)):
            record = {
                "schema_version": "0.3.0",
                "evaluation_id": "e",
                "model_id": "m",
                "evaluation_name": "t",
                "sample_id": str(i),
                "sample_hash": f"{i:064}",
                "interaction_type": "single_turn",
                "input": {"raw": f"{i} {TEXT}", "reference": ["A"]},
                "output": {"raw": [TEXT]},
                "answer_attribution": [{"extracted_value": f"{value:g}", "is_terminal": True}],
                "evaluation": {"score": value, "is_correct": value == 1},
                "metadata": {"passage": str(passage), "subject": f"s{i % TASKS}"},
            }
            stream.write(json.dumps(record) + "\n")


WRITERS = {
    "lm_eval": (lm_eval, "jsonl"),
    "inspect_ai": (inspect, "eval"),
    "every_eval_ever": (every_eval_ever, "jsonl"),
}


def run(files: list[str], *options: str) -> tuple[dict[str, Any], str]:
    """Run the program once; the verdict, and how long it took with the most memory it held."""
    command = [sys.executable, "-m", "surefoot", "compare", *files, "--max-drop", "0.02", "--json"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    assert os.waitstatus_to_exitcode(status) in (0, 1, 3)
    unit = 1 if sys.platform == "darwin" else 1024
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6
    return json.loads(said), f"{seconds:.2f} s, {cpu:.2f} s of CPU, {memory:.0f} MB"


def agreement(files: list[str]) -> Iterator[str]:
    """The difference and its standard error, ours out of the interval's width, and theirs."""
    from scipy.stats import norm, t
    from statsmodels.api import OLS

    before, after, passages = drawn()
    difference = after - before
    fit = OLS(difference, np.ones(SAMPLES))
    independent = float(fit.fit().bse[0])
    clustered = float(fit.fit(cov_type="cluster", cov_kwds={"groups": passages}).bse[0])
    degrees = len(np.unique(passages)) - 1
    for options, theirs in (((), independent), (("--group", "passage"), clustered)):
        verdict, _ = run(files, *options)
        e = verdict["findings"][0]["estimate"]
        tail = (1 + e["level"]) / 2
        ours = (e["high"] - e["low"]) / 2 / (t.ppf(tail, degrees) if options else norm.ppf(tail))
        yield (
            f"{' '.join(options) or 'independent':<16} difference {e['value']:.6f} against"
            f" {difference.mean():.6f}, standard error {ours:.3e} against {theirs:.3e}"
        )


def main() -> None:
    """Print the tables."""
    before, after, passages = drawn()
    with tempfile.TemporaryDirectory() as name:
        for kind in sys.argv[1:] or WRITERS:
            write, suffix = WRITERS[kind]
            files = [str(Path(name) / f"{side}.{suffix}") for side in ("base", "candidate")]
            for file, values in zip(files, (before, after), strict=True):
                write(Path(file), values, passages)
            size = Path(files[0]).stat().st_size / 1e6
            if kind == "lm_eval":
                print("\n".join(agreement(files)))
            print(f"{kind:<16} ({size:.0f} MB a log) {run(files)[1]}")
            slices = run(files, "--slice", "subject", "--group", "passage")[1]
            print(f"{kind:<16} {TASKS} slices, grouped: {slices}")


if __name__ == "__main__":
    main()
