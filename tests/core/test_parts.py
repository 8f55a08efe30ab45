"""What budgets call a test set, a part of one, and all of its parts."""

import pytest

from surefoot.core.budget import contradictions
from surefoot.core.evidence import Budget
from surefoot.core.parts import is_part, part_name, speaks_of


@pytest.mark.parametrize(
    ("asked", "dataset", "meant"),
    [
        (None, "flights month=1", True),
        ("flights", "flights", True),
        ("flights", "flights month=1", True),
        ("flights month=1", "flights month=1", True),
        ("flights month=1", "flights month=10", False),
        ("flights", "flights of today", False),
        ("flight", "flights month=1", False),
        ("flights month=1", "flights", False),
    ],
)
def test_a_source_means_itself_and_each_of_its_parts(asked, dataset, meant):
    assert speaks_of(asked, dataset) is meant


def test_a_part_is_called_by_its_source_column_and_value():
    name = part_name("flights", "month", "1")
    assert name == "flights month=1"
    assert is_part("flights", name)
    assert not is_part(name, "flights")


def test_a_budget_on_a_source_can_contradict_one_on_a_part():
    whole = Budget(quantity="accuracy", at_least=0.9, dataset="flights")
    part = Budget(quantity="accuracy", at_most=0.8, dataset="flights month=1")
    other = Budget(quantity="accuracy", at_most=0.8, dataset="trains")
    assert list(contradictions([whole, part])) == [(0, 1)]
    assert list(contradictions([part, whole])) == [(0, 1)]
    assert list(contradictions([whole, other])) == []
