"""The recommended candidate with one thing changed at a time, on real small graphs."""

from typing import Literal

import pytest
from tests.search.conftest import rows

from surefoot.core.model import Candidate, Cost, Recipe, StepCall
from surefoot.core.progress import Silent
from surefoot.search.ablate import _beside, _changes, _notches, ablated
from surefoot.search.space import Idea

DYNAMIC = StepCall(use="quantize_dynamic", options=(("head", True),))
RUNTIME = StepCall(use="set_runtime", options=(("runtime", "onnxruntime"),))


@pytest.mark.parametrize(
    ("value", "hint", "beside"),
    [
        (True, bool, [False]),
        ("a", Literal["a", "b", "c"], ["b", "c"]),
        (1, int, [2]),
        (0, int, [1]),
        (8, int, [7, 9]),
        (9, int, [4, 18]),
        (0.5, float, [0.25, 0.75]),
        (0.001, float, [0.0005, 0.002]),
        (0.9, float, [0.45, 0.95]),
        (1.0, float, [0.5, 2.0]),
        (0.0, float, []),
        ("words", str, []),
        ((1, 2), tuple, []),
    ],
)
def test_the_values_beside_one(value, hint, beside):
    assert _beside(value, hint) == beside


def test_a_slow_step_has_only_the_options_that_its_recipe_names_varied():
    every = {name for name, _ in _notches(DYNAMIC, all_=True)}
    named = {name for name, _ in _notches(DYNAMIC, all_=False)}
    assert named == {"head"}
    assert {"head", "per_channel", "weights"} <= every


def recommended(candidate: Candidate, *steps: StepCall, wall_s: float = 0.0) -> Candidate:
    costs = tuple(Cost(wall_s=wall_s) for _ in steps)
    return Candidate(
        name=candidate.name,
        model=candidate.model,
        runtime="onnxruntime",
        recipe=Recipe(name="lean", steps=steps),
        step_costs=costs,
    )


def test_what_is_left_out_must_leave_a_graph(linear_candidate):
    one = recommended(linear_candidate("lean"), DYNAMIC, RUNTIME)
    kinds = [(c.what, c.steps) for c in _changes(one, "onnx", 3) if c.kind == "left out"]
    assert kinds == [
        ("without quantize_dynamic", (RUNTIME,)),
        ("without set_runtime", (DYNAMIC,)),
    ]
    from_text = [c for c in _changes(one, "huggingface", 3) if c.kind == "left out"]
    assert from_text == []  # nothing exports it any more


@pytest.mark.parametrize(("options", "seeds"), [((), ["seed 1", "seed 2"]), ((("seed", 5),), [])])
def test_only_what_draws_is_made_with_other_seeds(linear_candidate, options, seeds):
    """A step whose seed the recipe gives makes the same model again."""
    one = recommended(linear_candidate("lean"), StepCall(use="distill_static", options=options))
    assert [c.what for c in _changes(one, "onnx", 3) if c.kind == "seed"] == seeds


def test_variants_are_compared_with_the_recommended_candidate(lab):
    with lab(rows(120)) as it:
        idea = Idea(round="quantise", plain=(DYNAMIC,), runtime="onnxruntime")
        (tried,) = it.bench.tried([idea])
        bench = it.bench.beside(tried.candidate)
        found = ablated(tried.candidate, "onnx", bench, minutes=5, seeds=3, progress=Silent())
        late = ablated(tried.candidate, "onnx", bench, minutes=-1, seeds=3, progress=Silent())
        assert it.answers.clock.earlier == 0.0  # the steps were paid for by the search
    by_name = {one.what: one for one in found}
    without = by_name["without quantize_dynamic"]
    assert without.size == pytest.approx(
        it.baseline.model.size_bytes / tried.candidate.model.size_bytes
    )
    assert without.gain.n == 120
    assert without.cost > 0
    failed = by_name["quantize_dynamic head = False"]
    assert failed.gain is None
    assert "nothing to quantise" in failed.reason
    assert [one.what for one in late] == [one.what for one in found]
    assert {one.reason for one in late} == {"there was no time"}
    assert all(one.gain is None and one.cost is None for one in late)
