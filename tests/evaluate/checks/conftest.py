"""Asks a check about models that are functions, with a fault planted in each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest

from surefoot import plugins
from surefoot.core.checks import Checked, Golden, Opened, Subject
from surefoot.core.dataset import Dataset

TEXT = np.dtypes.StringDType()
CLASSES = ("bad", "good")


def two(good: np.ndarray | list) -> np.ndarray:
    """Probabilities of two classes from that of the second."""
    good = np.asarray(good, np.float32)
    return np.stack([1 - good, good], axis=1)


def rows_of(inputs: np.ndarray, labels: object, name: str = "main", **columns: object) -> Dataset:
    return Dataset(
        name=name,
        ids=np.array([f"{name}/{i}" for i in range(len(inputs))], TEXT),
        inputs=inputs,
        labels=np.asarray(labels, np.int64),
        classes=CLASSES,
        **columns,
    )


@pytest.fixture(scope="session")
def ask() -> Callable[..., Checked]:
    """Runs a check: `ask(name, model, inputs, labels, option=...)`; models give `two(...)`."""

    def run(
        name: str,
        model: Callable[[np.ndarray], np.ndarray],
        inputs: object,
        labels: object = None,
        *,
        reopened: Callable[[int], Callable] | None = None,
        baseline: Callable | None = None,
        train: Dataset | None = None,
        golden: Golden | None = None,
        columns: dict | None = None,
        sets: list[str] | None = None,
        seed: int = 0,
        **options: object,
    ) -> Checked:
        if isinstance(inputs, list):
            inputs = np.array(inputs, TEXT)
        kind = {"T": "text", "u": "image", "f": "numeric"}[inputs.dtype.kind]
        dataset = rows_of(
            inputs, np.zeros(len(inputs)) if labels is None else labels, **(columns or {})
        )
        scores = model(inputs) if baseline else np.full((len(inputs), 2), 0.5, np.float32)
        subject = Subject(
            kind=kind,
            classes=CLASSES,
            dataset=dataset,
            sets=np.array(sets or ["main"] * len(inputs), TEXT),
            scores=scores,
            baseline_scores=baseline(inputs) if baseline else scores,
            train=train,
            model=Opened(one_call=model),
            reopened=lambda threads: nullcontext(
                Opened(one_call=reopened(threads) if reopened else model)
            ),
            threads=4,
            golden=golden,
        )
        return plugins.find("check", name)(subject, np.random.default_rng(seed), **options)

    return run


@pytest.fixture(scope="session")
def scored() -> Callable[[object], np.ndarray]:
    return two


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Dataset]:
    return rows_of
