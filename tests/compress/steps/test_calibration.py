"""Ranges are found on training rows that are spread, counted and noted."""

import json
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from surefoot.compress.steps._calibration import (
    FILE,
    SIZE,
    calibration_feeds,
    calibration_rows,
    note_rows,
)
from surefoot.compress.steps._rows import batches, one_hot, quiet, training_rows
from surefoot.core.errors import ModelError
from surefoot.core.seen import rows_counted


@pytest.mark.parametrize(
    ("rows", "seen"), [(1, 1), (2, 2), (7, 7), (299, 299), (300, 300), (5000, 300)]
)
def test_rows_are_spread_over_all_and_counted(text_task, exported, rows, seen):
    with rows_counted() as counted:
        found = calibration_rows(text_task, exported, "some_step", rows)
    places = [int(name.removeprefix("train-")) for name in found.ids.tolist()]
    assert len(set(places)) == len(places) == counted() == seen
    assert places[0] == 0
    assert places == sorted(places)
    if seen > 1:
        assert places[-1] == 299
        gaps = np.diff(places)
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("rows", [0, -3])
def test_no_rows_are_too_few(text_task, exported, rows):
    with pytest.raises(ModelError, match=rf"'some_step': rows is {rows}; give 1 or more"):
        calibration_rows(text_task, exported, "some_step", rows)


def test_training_rows_without_a_number_are_all(text_task, exported):
    assert training_rows(text_task, exported, "s") is text_task.train
    with pytest.raises(ModelError, match=r"rows is -1; 0 takes all rows"):
        training_rows(text_task, exported, "s", -1)


@pytest.mark.parametrize("where", ["task", "rows"])
def test_labels_of_other_classes_are_no_use(text_task, exported, where):
    other = ("bad", "good")
    train = replace(text_task.train, classes=other)
    changed = {"task": {"classes": other}, "rows": {"train": train}}
    task = replace(text_task, **changed[where])
    with pytest.raises(ModelError, match=r"model's own classes \(negative, positive\), not"):
        training_rows(task, exported, "s")


def test_an_empty_training_set_is_none(text_task, exported):
    empty = replace(text_task, train=text_task.train.rows(np.arange(0)))
    with pytest.raises(ModelError, match="name a data source as train"):
        training_rows(empty, exported, "s")


@pytest.mark.parametrize("rows", [1, SIZE, SIZE + 1, 50])
def test_feeds_hold_every_row_once(text_task, exported, rows):
    data = text_task.train.rows(np.arange(rows))
    feeds = calibration_feeds(exported, data)
    assert [len(feed["input_ids"]) for feed in feeds[:-1]] == [SIZE] * (len(feeds) - 1)
    found = sorted(
        ids[mask == 1].tolist()
        for feed in feeds
        for ids, mask in zip(feed["input_ids"], feed["attention_mask"], strict=True)
    )
    wanted = [
        tensors["input_ids"][0].tolist() for _, tensors in batches(exported, data.inputs, size=1)
    ]
    assert found == sorted(wanted)


def test_batches_put_rows_of_like_length_together(texts, exported):
    positions = np.concatenate([p for p, _ in batches(exported, texts, size=10)])
    assert sorted(positions.tolist()) == list(range(len(texts)))
    lengths = [t["attention_mask"].sum(axis=1) for _, t in batches(exported, texts, size=10)]
    edges = [(int(each.min()), int(each.max())) for each in lengths]
    assert all(most <= least for (_, most), (least, _) in pairwise(sorted(edges)))
    assert len({least for least, _ in edges}) > 5


def test_windows_change_no_row(texts, exported, monkeypatch):
    whole = {int(p): t["input_ids"][0] for [p], t in batches(exported, texts[:40], size=1)}
    monkeypatch.setattr("surefoot.compress.steps._rows._WINDOW", 7)
    small = {int(p): t["input_ids"][0] for [p], t in batches(exported, texts[:40], size=1)}
    assert whole.keys() == small.keys()
    assert all(whole[place].tolist() == small[place].tolist() for place in whole)


def test_the_note_names_the_rows_and_how(text_task, tmp_path):
    data = text_task.train.rows(np.array([4, 2]))
    note_rows(tmp_path, data, {"calibration": "minmax", "left": ["a"]})
    assert json.loads((tmp_path / FILE).read_text()) == {
        "dataset": "train",
        "rows": 2,
        "calibration": "minmax",
        "left": ["a"],
        "ids": ["train-4", "train-2"],
    }


def test_labels_as_columns(text_task):
    found = one_hot(text_task.train)
    assert found.dtype == np.float32
    assert (found.argmax(axis=1) == text_task.train.labels).all()
    assert (found.sum(axis=1) == 1).all()


def test_libraries_are_quiet_inside_and_heard_again_behind(caplog, recwarn):
    import logging
    import warnings

    with suppress(KeyError), quiet():
        warnings.warn("inside", stacklevel=1)
        logging.getLogger("lib").warning("inside")
        raise KeyError
    assert not caplog.records
    assert not recwarn
    logging.getLogger("lib").warning("behind")
    assert [record.message for record in caplog.records] == ["behind"]
