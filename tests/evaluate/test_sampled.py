"""Samples of rows: the very calls of a whole cell, and what such a draw would have met."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from surefoot.core.drift import Sample
from surefoot.core.model import Candidate, Recipe
from surefoot.core.progress import Silent
from surefoot.evaluate import fill_cells, sample_cell
from surefoot.evaluate.sampled import least_seen
from surefoot.models import open_model
from surefoot.store import Store


@pytest.fixture
def candidate(adopted, tiny_onnx_text):
    """A model of texts, whose rows are sorted by length before they share a call."""
    model = adopted(tiny_onnx_text, classes=["negative", "positive"])
    return Candidate(name="small", model=model, runtime="onnxruntime", recipe=Recipe(name="small"))


def draw(candidate, dataset, rows, seed, batch=8):
    return sample_cell(candidate, dataset, Sample(rows=rows, seed=seed), batch, Silent())


def test_a_sample_answers_as_the_whole_cell_does(candidate, text_task, tmp_path):
    dataset = text_task.train
    (whole,) = fill_cells(candidate, {"train": dataset}, Store(tmp_path), batch=8)
    found = draw(candidate, dataset, rows=20, seed=1)
    assert len(found.positions) in (20, 24)  # three whole calls of eight rows; the last has four
    assert np.array_equal(found.positions, np.sort(found.positions))
    assert np.array_equal(found.cell.scores, whole.scores[found.positions])
    assert np.array_equal(found.cell.ids, whole.ids[found.positions])
    assert np.array_equal(found.rows.labels, dataset.labels[found.positions])


def test_rows_share_their_calls_with_those_of_the_whole_cell(candidate, text_task):
    dataset = text_task.train
    with open_model(candidate.model, runtime="onnxruntime") as predict:
        calls = list(predict.batches(dataset.inputs, batch=8))
    assert np.array_equal(np.sort(np.concatenate(calls)), np.arange(len(dataset)))
    drawn = set(draw(candidate, dataset, rows=20, seed=2).positions.tolist())
    met = [set(call.tolist()) for call in calls if drawn & set(call.tolist())]
    assert set.union(*met) == drawn


def test_a_seed_repeats_a_draw_and_another_seed_does_not(candidate, text_task):
    rows = [draw(candidate, text_task.train, 16, seed).positions.tolist() for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_more_rows_than_there_are_is_all_of_them(candidate, text_task):
    found = draw(candidate, text_task.train, 10**9, 1)
    assert len(found.positions) == len(text_task.train)
    assert found.seen is None


@pytest.mark.parametrize("calls", [1, 2, 5, 40, 313])
def test_what_a_draw_meets_is_what_the_hypergeometric_says(calls):
    for drawn in {1, 2, calls // 3 or 1, max(calls - 1, 1)}:
        found = least_seen(calls, drawn)
        if drawn >= calls:
            assert found is None
            continue
        bad = round(found * calls)
        assert hypergeom.sf(0, calls, bad, drawn) >= 0.95
        assert bad == 1 or hypergeom.sf(0, calls, bad - 1, drawn) < 0.95


def test_what_a_draw_meets_by_simulation():
    calls, drawn = 100, 20
    bad = round(least_seen(calls, drawn) * calls)
    rng = np.random.default_rng(0)
    met = [(rng.choice(calls, drawn, replace=False) < bad).any() for _ in range(4000)]
    assert 0.94 < np.mean(met) < 0.98
