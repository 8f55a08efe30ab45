"""What a verdict rests on, read back from files: the same as it was measured."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from surefoot.bundle import read_verdict_json, write_bundle
from surefoot.bundle.encode import encode
from surefoot.bundle.evidence import read_evidence, recorded
from surefoot.bundle.rederive import claims_of_files, first_difference
from surefoot.core.errors import BundleError
from surefoot.evaluate import confirmation_evidence
from surefoot.gate import gate_evidence

METRICS = ("accuracy", "log_loss", "brier", "macro_f1", "ece", "aurc")


@pytest.fixture(scope="module")
def several(contents):
    """Every kind of metric, groups of rows, and a candidate that was made with three seeds."""
    (name, rows) = next(iter(contents.task.test.items()))
    groups = np.array([f"g{i % 30}" for i in range(len(rows))], np.dtypes.StringDType())
    sets = {name: rows, "grouped": replace(rows, name="grouped", groups=groups)}
    cells = {
        cell.candidate: [replace(cell, dataset=key) for key in sets] for cell in contents.cells
    }
    seeds = {}
    for seed in (1, 2):
        again = []
        for cell in cells["same"]:
            scores = np.roll(cell.scores, seed, axis=0)
            called = f"same (seed {seed})"
            again.append(
                replace(cell, candidate=called, scores=scores, predicted=scores.argmax(axis=1))
            )
        seeds.setdefault("same", []).append(tuple(again))
    evidence = confirmation_evidence(cells, sets, METRICS, repeats=seeds)
    evidence = replace(evidence, sizes={c.name: c.model.size_bytes for c in contents.candidates})
    budgets = contents.plan.budgets
    flat = [c for filled in cells.values() for c in filled]
    return replace(
        contents,
        task=replace(contents.task, test=sets),
        cells=[*flat, *(c for filled in seeds["same"] for c in filled)],
        evidence=evidence,
        metrics=METRICS,
        verdicts=gate_evidence(evidence, budgets),
    )


@pytest.fixture
def bundle(several, tmp_path):
    return write_bundle(tmp_path / "bundle", "key", several).path


def read(bundle):
    return read_evidence(bundle, recorded(bundle, read_verdict_json(bundle)))


def test_every_pair_comes_back_as_it_was(bundle, several):
    told, found = several.evidence.paired, read(bundle).paired
    assert len(told) == len(found) == 2 * 2 * 2 * len(METRICS)
    for one, other in zip(told, found, strict=True):
        where = (one.candidate, one.dataset, one.slice, one.metric)
        assert first_difference(encode(one), json.loads(json.dumps(encode(other)))) == "", where
        for name in ("difference", "values", "change", "groups"):
            before, after = getattr(one, name), getattr(other, name)
            assert (before is None) == (after is None), (where, name)
            assert before is None or np.array_equal(before, after), (where, name)


def test_the_verdicts_follow_again(bundle, several):
    again = gate_evidence(read(bundle), several.plan.budgets)
    assert [v.outcome for v in again] == [v.outcome for v in several.verdicts]
    statuses = {claim.subject: claim.status for claim in claims(bundle)}
    assert set(statuses.values()) == {"REPRODUCED"}


def claims(bundle):
    return claims_of_files(bundle, recorded(bundle, read_verdict_json(bundle)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: (b / "cells/same/main.parquet").unlink(), "cannot be read"),
        (lambda b: (b / "cells/same/main.parquet").write_bytes(b"x"), "cannot be read"),
        (lambda b: (b / "cells/other").mkdir(), "not as surefoot writes it|no candidate"),
        (lambda b: (b / "plan.json").write_text("{}"), "not as surefoot writes it: KeyError"),
        (lambda b: (b / "plan.json").unlink(), "not as surefoot writes it: FileNotFound"),
    ],
    ids=["a cell gone", "a cell that is none", "cells of nobody", "no plan", "plan gone"],
)
def test_what_is_missing_is_said_once(bundle, change, said):
    change(bundle)
    try:
        whys = {claim.why for claim in claims(bundle) if claim.status == "NOT RUN"}
    except BundleError as error:
        whys = {str(error)}
    assert len(whys) == 1
    assert re.search(said, whys.pop())
