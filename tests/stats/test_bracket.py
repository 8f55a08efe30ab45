"""Halving: finds the crossing wherever it lies, and loses it as seldom as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import stats


@given(st.integers(1, 130), st.integers(0, 131), st.integers(0, 131))
def test_what_is_certain_on_both_sides_is_found(last, holds, fails):
    """Points below `holds` hold, those from `fails` on fail, those between are undecided."""
    fails = max(holds, fails)
    asked = []

    def decide(point):
        asked.append(point)
        return "holds" if point < holds else "fails" if point >= fails else "undecided"

    found = stats.bracket(decide, last)
    assert found.holds_to == (min(holds - 1, last) if holds else None)
    assert found.fails_at == (fails if fails <= last else None)
    assert len(asked) == len(set(asked))
    if holds == fails:
        assert len(asked) <= stats.probes_needed(last)


@pytest.mark.parametrize(("last", "probes"), [(1, 2), (2, 3), (6, 5), (50, 8), (64, 8), (65, 9)])
def test_how_many_points_a_path_has(last, probes):
    assert stats.probes_needed(last) == probes


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_errors_at_single_points_add_up_to_what_is_stated_at_most(share):
    """Wrong at a point with probability 2 %, undecided often, the same luck for all points."""
    rng, last, wrong, outside = np.random.default_rng(5), 50, 0.02, 0
    for _ in range(4_000):
        crossing, luck = int(rng.integers(1, last)), float(rng.random())

        def decide(point, crossing=crossing, luck=luck):
            own = luck if rng.random() < share else float(rng.random())
            truth, other = ("holds", "fails") if point < crossing else ("fails", "holds")
            return other if own < wrong else truth if rng.random() < 0.7 else "undecided"

        found = stats.bracket(decide, last)
        held = -1 if found.holds_to is None else found.holds_to
        failed = last + 1 if found.fails_at is None else found.fails_at
        outside += not held < crossing <= failed
    assert outside / 4_000 <= stats.probes_needed(last) * wrong + 0.01
