"""What a waiver is made of: nothing of it can be changed once it is read."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from datetime import date
from typing import get_args

import pytest

from surefoot.core.budget import LIMITS
from surefoot.core.waiver import LONGEST_DAYS, Limit, Standing, State, Waived, Waiver

SIGNED = Waiver(
    budget="accuracy on main",
    limit="max_drop",
    candidate="int8",
    outcome="INCONCLUSIVE",
    measured="-1 pp [-3, 1], allowed -2 pp",
    until=date(2026, 12, 31),
    by="Ada",
    made=date(2026, 11, 27),
    reason="more rows are on their way",
)


def test_the_kinds_of_limit_are_those_of_budgets():
    assert set(get_args(Limit)) == set(LIMITS)


def test_only_one_state_counts_and_it_needs_no_note():
    assert [state for state in get_args(State) if state == "counts"] == ["counts"]
    standing = Standing(waiver=SIGNED, state="counts")
    assert standing.note == ""
    assert Waived(day=date(2026, 11, 27)).standings == ()


@pytest.mark.parametrize("name", [field.name for field in fields(Waiver)])
def test_what_was_signed_cannot_be_changed(name):
    with pytest.raises(FrozenInstanceError):
        setattr(SIGNED, name, "something else")


def test_waivers_are_equal_by_all_that_was_signed():
    assert replace(SIGNED) == SIGNED
    assert hash(replace(SIGNED)) == hash(SIGNED)
    others = {
        replace(SIGNED, **change)
        for change in (
            {"limit": "at_most"}, {"candidate": "int4"}, {"worst": -0.03}, {"by": "Eve"},
            {"until": date(2027, 1, 1)}, {"reason": ""}, {"outcome": "FAIL"},
        )
    }  # fmt: skip
    assert len(others) == 7
    assert SIGNED not in others


def test_a_waiver_cannot_outlive_a_quarter():
    assert 89 <= LONGEST_DAYS <= 92
