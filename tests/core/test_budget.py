import pytest

from surefoot.core.budget import contradictions, metrics, problems
from surefoot.core.evidence import Budget

KNOWN = ("accuracy", "log_loss")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"quantity": "acuracy", "max_drop": 0.1}, "did you mean 'accuracy'"),
        ({"quantity": "accuracy"}, "exactly one of at_most, at_least, max_drop; found none"),
        ({"quantity": "accuracy", "max_drop": 0.1, "at_least": 0.5}, "found at_least, max_drop"),
        ({"quantity": "accuracy", "max_drop": 0.0}, "max_drop: must be between 0 and 1"),
        ({"quantity": "flips", "at_most": 1.5}, "at_most: must be between 0 and 1"),
        ({"quantity": "flips", "max_drop": 0.1}, "max_drop: 'flips' takes at_most"),
        ({"quantity": "speedup", "at_most": 2.0}, "at_most: 'speedup' takes at_least"),
        ({"quantity": "rows_per_s", "at_most": 2.0}, "at_most: 'rows_per_s' takes at_least"),
        ({"quantity": "memory_mb", "at_most": 9.0, "batch": 8}, "batch: 'memory_mb' does not"),
        ({"quantity": "size_mb", "at_most": float("nan")}, "at_most: must be above 0"),
        ({"quantity": "accuracy", "max_drop": 0.1, "level": 0.5}, "level: must be between"),
        (
            {"quantity": "p99_ms", "at_most": 5.0, "dataset": "main"},
            "dataset: 'p99_ms' is the same",
        ),
        ({"quantity": "size_mb", "at_most": 5.0, "slice": "*"}, "slice: 'size_mb' is the same"),
        ({"quantity": "accuracy", "max_drop": 0.1, "batch": 32}, "batch: 'accuracy' does not"),
    ],
)
def test_each_problem_is_named_alone(given, said):
    (found,) = problems(Budget(**given), KNOWN)
    assert said in found


def test_a_wrong_quantity_does_not_hide_a_wrong_level():
    assert len(list(problems(Budget(quantity="x", max_drop=0.1, level=2), KNOWN))) == 2


@pytest.mark.parametrize(
    "quantity", ["p50_ms", "cpu_hours", "size_mb", "memory_mb", "flips", "won"]
)
def test_a_sound_budget_has_no_problems(quantity):
    assert not list(problems(Budget(quantity=quantity, at_most=0.5), KNOWN))


def test_a_loss_may_rise_by_more_than_one():
    assert not list(problems(Budget(quantity="log_loss", max_drop=1.5), KNOWN))


@pytest.mark.parametrize(
    ("high", "low", "contradict"),
    [
        ({}, {}, True),
        ({"dataset": "main"}, {}, True),
        ({"dataset": "main"}, {"dataset": "other"}, False),
        ({"slice": "*"}, {"slice": "short"}, True),
        ({"slice": "*"}, {}, False),
        ({"slice": "long"}, {"slice": "short"}, False),
    ],
)
def test_limits_contradict_where_they_meet(high, low, contradict):
    budgets = [
        Budget(quantity="accuracy", at_least=0.9, **high),
        Budget(quantity="accuracy", at_most=0.8, **low),
    ]
    assert list(contradictions(budgets)) == ([(0, 1)] if contradict else [])
    assert not list(contradictions([budgets[0], Budget(quantity="accuracy", at_most=0.95)]))


def test_the_metrics_to_measure_are_the_tasks_own_and_those_of_budgets():
    named = ["flips", "log_loss", "p99_ms", "speedup", "size_mb", "accuracy", "log_loss", "ece"]
    budgets = [Budget(quantity=quantity, at_most=0.5) for quantity in named]
    assert metrics(budgets, "accuracy") == ("accuracy", "log_loss", "ece")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"at_least": 0.1}, "at_least: 'golden' takes at_most"),
        ({"max_drop": 0.1}, "max_drop: 'golden' takes at_most"),
        ({"at_most": 1.0}, "at_most: must be between 0 and 1"),
        ({"at_most": 0.1, "batch": 2}, "batch: 'golden' does not depend on it"),
        ({"at_most": 0.1, "dataset": "a"}, "dataset: 'golden' asks rows of its own"),
    ],
)
def test_a_check_takes_a_limit_on_its_share(given, said):
    (found,) = problems(Budget(quantity="golden", **given), KNOWN, ["golden"])
    assert said in found
    assert not list(problems(Budget(quantity="golden", at_most=0.1), KNOWN, ["golden"]))
    assert metrics([Budget(quantity="golden", at_most=0.1)], "accuracy", ["golden"]) == (
        "accuracy",
    )
