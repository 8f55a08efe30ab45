"""A finished run to hold others against, and ways to change what it holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import write_talks

from surefoot.data.columns import read_parquet, write_parquet
from surefoot.plan import read_plan
from surefoot.run import run_plan

PLAN = """
[task]
kind = "tabular-classification"
[task.test.main]
use = "csv"
path = "main.csv"
columns = ["a", "b", "c", "d"]
label = "label"
id = "id"
[task.test.talks]
use = "csv"
path = "talks.csv"
columns = ["a", "b", "c", "d"]
label = "label"
id = "id"
group = "speaker"
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "int8"
steps = [{ use = "quantize_dynamic", head = true }]
[evaluate]
shifts = ["rounding"]
slices = { left = "a < 0" }
latency = { batch = [1], calls = 120, seconds = 5 }
[[budget]]
quantity = "accuracy"
max_drop = 0.05
[[budget]]
quantity = "log_loss"
max_drop = 1.0
[[budget]]
quantity = "speedup"
at_least = 0.001
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory, linear) -> Path:
    """The bundle of a real run."""
    folder = tmp_path_factory.mktemp("diff")
    linear(folder / "linear.onnx")
    write_talks(folder / "main.csv", 600, 1)
    write_talks(folder / "talks.csv", 120, 2)
    (folder / "surefoot.toml").write_text(PLAN)
    bundle, _ = run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    return bundle.path


@pytest.fixture
def then(made, tmp_path) -> Path:
    """The older bundle, at a place of the test's own."""
    return shutil.copytree(made, tmp_path / "then")


@pytest.fixture
def now(made, tmp_path) -> Path:
    """The newer bundle: the same, until a test changes it."""
    return shutil.copytree(made, tmp_path / "now")


@pytest.fixture
def cell() -> Callable:
    """Changes the columns of a cell: `cell(bundle, "int8", "main", change)`."""

    def edit(bundle: Path, candidate: str, file: str, change: Callable) -> None:
        path = bundle / "cells" / candidate / f"{file}.parquet"
        columns = read_parquet(path)
        columns = change(columns) or columns
        path.unlink()
        write_parquet(path, columns)

    return edit


@pytest.fixture
def told() -> Callable:
    """Changes verdict.json, or another JSON file: `told(bundle, change)`."""

    def edit(bundle: Path, change: Callable, file: str = "verdict.json") -> None:
        data = json.loads((bundle / file).read_text())
        data = change(data) or data
        (bundle / file).write_text(json.dumps(data))

    return edit
