"""Changed answers that a report shows, against cells written row by row."""

from __future__ import annotations

import numpy as np
import pytest
from tests.report.conftest import EVIL, place_line

from surefoot.bundle import cell_file
from surefoot.data.columns import write_parquet
from surefoot.report.gallery import EACH, PLACES, gallery

TEXT = np.dtypes.StringDType()
DATA = {"candidates": [{"name": "baseline"}, {"name": "int8"}]}


def cell(folder, candidate, predicted, scores, where=("main", "", 0.0), labels=None):
    """One model's answers; the right one is always `a` unless it is said."""
    labels = labels or ["a"] * len(predicted)
    path = folder / "cells" / candidate / cell_file(*where)
    path.parent.mkdir(parents=True, exist_ok=True)
    words = {
        "label": labels,
        "predicted": predicted,
        "id": [f"row-{i}" for i in range(len(labels))],
    }
    columns = {name: np.array(values, TEXT) for name, values in words.items()}
    right = np.array([a == b for a, b in zip(predicted, labels, strict=True)])
    write_parquet(path, columns | {"correct": right, "score": np.array(scores, np.float32)})


def pair(folder, before, after, where=("main", "", 0.0), scores=None):
    """The same rows answered by both; the candidate's probability of `a` falls by row."""
    n = len(before)
    cell(folder, "baseline", list(before), [0.9] * n, where)
    cell(folder, "int8", list(after), scores or [0.9 - 0.01 * i for i in range(n)], where)


def test_each_kind_is_told_with_what_it_was_and_is(tmp_path):
    pair(tmp_path, "aabbb", "abacb")
    found = gallery(tmp_path, DATA, [place_line(lost=1, won=1)], "int8")
    told = [(s.kind, s.id, s.label, s.before, s.after) for s in found.shown]
    assert told == [
        ("lost", "row-1", "a", "a", "b"),
        ("won", "row-2", "a", "b", "a"),
        ("other", "row-3", "a", "b", "c"),
    ]
    assert [round(s.moved, 4) for s in found.shown] == [0.01, 0.02, 0.03]
    assert found.counts == {"lost": 1, "won": 1, "other": 1}
    assert found.places == ("main",)
    assert "the rows' own inputs are not shown" in found.note


def test_of_many_those_that_moved_furthest_are_shown_and_all_are_counted(tmp_path):
    n = EACH + 7
    scores = np.random.default_rng(1).permutation(np.linspace(0.1, 0.8, n)).tolist()
    pair(tmp_path, "a" * n, "b" * n, scores=scores)
    found = gallery(tmp_path, DATA, [place_line(lost=n, won=0)], "int8")
    assert found.counts == {"lost": n, "won": 0, "other": 0}
    furthest = sorted(range(n), key=scores.__getitem__)[:EACH]
    assert [s.id for s in found.shown] == [f"row-{i}" for i in furthest]
    assert [s.moved for s in found.shown] == pytest.approx([0.9 - scores[i] for i in furthest])


def test_the_places_that_lost_most_are_read_and_no_others(tmp_path):
    wheres = [("main", "", 0.0), ("far", "", 0.0), ("main", "typos", 2.0), ("main", "typos", 4.5)]
    lost = (1, 4, 3, 2)
    for where, count in zip(wheres, lost, strict=True):
        pair(tmp_path, "a" * 5, "b" * count + "a" * (5 - count), where)
    places = [
        place_line(dataset=d, shift=s, severity=v, lost=count, won=0)
        for (d, s, v), count in zip(wheres, lost, strict=True)
    ]
    found = gallery(tmp_path, DATA, places, "int8")
    assert found.places == ("far", "main + typos 2", "main + typos 4.5")
    assert len(found.places) == PLACES
    assert found.counts["lost"] == 4 + 3 + 2
    assert {s.where for s in found.shown} == set(found.places)
    (tmp_path / "cells" / "int8" / "main.parquet").unlink()  # was not read
    assert gallery(tmp_path, DATA, places, "int8") == found


def test_of_equal_losses_more_won_answers_come_first_and_unchanged_places_are_left_out(tmp_path):
    for name, after in (("x", "ba"), ("y", "bb")):
        pair(tmp_path, "ab", after, (name, "", 0.0))
    places = [
        place_line(dataset="y", lost=1, won=0), place_line(dataset="x", lost=1, won=1),
        place_line(dataset="z", lost=0, won=0),
    ]  # fmt: skip
    assert gallery(tmp_path, DATA, places, "int8").places == ("x", "y")


def test_slices_metrics_and_candidates_of_others_are_not_looked_into(tmp_path):
    others = [
        place_line(lost=0, won=0), place_line(slice="short", lost=9),
        place_line(metric="log_loss", lost=9), place_line(candidate="int4", lost=9),
    ]  # fmt: skip
    found = gallery(tmp_path, DATA, others, "int8")
    assert (found.shown, found.counts, found.places) == ((), {}, ())
    assert found.note == "no answer changed"


def test_a_report_without_places_has_no_changed_answers(tmp_path):
    assert gallery(tmp_path, DATA, [], "int8").note == "no answer changed"


def test_hashed_evidence_is_not_opened(tmp_path):
    found = gallery(tmp_path, DATA | {"evidence": {"kind": "hashed"}}, [place_line()], "int8")
    assert found.note == "which answers changed is not told: the evidence is hashed"
    assert found.places == ("main",)


@pytest.mark.parametrize("gone", ["baseline", "int8"])
def test_a_bundle_that_lacks_either_cell_says_so(tmp_path, gone):
    pair(tmp_path, "ab", "ba")
    (tmp_path / "cells" / gone / "main.parquet").unlink()
    found = gallery(tmp_path, DATA, [place_line()], "int8")
    assert "it lacks the cells" in found.note
    assert (found.shown, found.counts) == ((), {})


def test_ids_and_classes_of_others_are_passed_on(tmp_path):
    cell(tmp_path, "baseline", [EVIL], [0.5], labels=[EVIL])
    cell(tmp_path, "int8", ["=1+1"], [0.25], labels=[EVIL])
    (shown,) = gallery(tmp_path, DATA, [place_line(lost=1, won=0)], "int8").shown
    assert (shown.label, shown.before, shown.after) == (EVIL, EVIL, "=1+1")
    assert shown.moved == 0.25
