"""What a search makes of candidates that fail late, cost too much, or come twice."""

from dataclasses import replace

import numpy as np
import pytest
from tests.search.conftest import WEIGHT, rows, shrunk

from surefoot.core.errors import ModelError
from surefoot.core.evidence import Budget
from surefoot.core.model import Cost, Recipe, StepCall
from surefoot.core.plan import SearchPlan
from surefoot.core.search import Trial
from surefoot.search.bench import Tried, untried
from surefoot.search.space import Idea
from surefoot.store import Store

WRONG = WEIGHT[:, [1, 2, 0]].copy()
DYNAMIC = StepCall(use="quantize_dynamic")
DROP = Budget(quantity="accuracy", max_drop=0.1)


def idea(*options, use="quantize_dynamic", turn="quantise", bound=0.0):
    whole = [("head", True)] if use == "quantize_dynamic" else []  # there is no other product
    call = StepCall(use=use, options=tuple(sorted([*options, *whole])))
    return Idea(round=turn, plain=(call,), runtime="onnxruntime", bound=bound)


def enter(it, candidate, share, *, speedup=1.0, turn="quantise", **options):
    """Put a candidate of some size into a search, as though it had just been made and timed."""
    candidate = shrunk(candidate, share)
    it.answers.ask(candidate, 1)
    thought = idea(("name", candidate.name), turn=turn)
    one = Tried(idea=thought, candidate=candidate, spent=Cost(), speedup=speedup, **options)
    it.search._take(one)
    return one


def test_one_that_fails_on_a_later_row_cannot_win(lab, linear_candidate):
    """With a margin so wide that even a model that is never right would be within it."""
    broad = (Budget(quantity="accuracy", max_drop=0.999),)
    with lab(rows(600, negative_from=300), budgets=broad) as it:
        fragile = enter(it, linear_candidate("fragile", root=True), 0.1)
        sound = enter(it, linear_candidate("sound"), 0.5)
        it.search._answers_all(fragile)
        it.search._race()
        assert it.search.best is sound
        assert fragile.fate == "failed"
        assert sound.fate is None


def test_one_that_fails_during_the_race_is_raced_no_more(lab, linear_candidate):
    with lab(rows(600, negative_from=300)) as it:
        fragile = enter(it, linear_candidate("fragile", root=True), 0.1)
        wrong = enter(it, linear_candidate("wrong", WRONG), 0.2)
        sound = enter(it, linear_candidate("sound"), 0.5)
        costly = enter(it, linear_candidate("costly"), 0.7)
        it.search._race()
        assert it.search.best is (sound if fragile.fate == "failed" else fragile)
        found = it.search._settled()
    assert fragile.fate == "failed"
    assert "fragile" not in [one.name for one in found.finalists]
    fates = {trial.name: trial.fate for trial in found.trials}
    assert fates == {
        "fragile": "failed",
        "wrong": "over the margin",
        "sound": "finalist",
        "costly": costly.fate,
    }
    assert wrong.fate == "over the margin"
    assert (found.leanest, found.recommended) == ("sound", "sound")


def test_a_search_in_which_all_fail_late_says_why(lab, linear_candidate):
    with lab(rows(600, negative_from=300)) as it:
        enter(it, linear_candidate("fragile", root=True), 0.1)
        it.search._race()
        with pytest.raises(ModelError, match="could make no candidate: fragile: "):
            it.search._settled()
        assert it.search.best is None


def test_one_over_a_budget_is_not_recommended(lab, linear_candidate):
    budgets = (DROP, Budget(quantity="size_mb", at_most=1e-9))
    with lab(rows(80), budgets=budgets) as it:
        one = enter(it, linear_candidate("large"), 0.5)
        it.search._race()
        assert one.fate == "over a budget"
        assert one.reason.startswith("size_mb is ")
        found = it.search._settled()
    assert (found.leanest, found.recommended) == (None, None)
    assert [c.name for c in found.finalists] == ["large"]  # somebody is judged all the same


def test_one_over_a_budget_hides_nobody_that_keeps_it(lab, linear_candidate):
    """It is cheaper and gains as much, so that it would dominate the other."""
    budgets = (DROP, Budget(quantity="speedup", at_least=1.5))
    with lab(rows(80), budgets=budgets) as it:
        slow = enter(it, linear_candidate("slow"), 0.2, speedup=1.0)
        quick = enter(it, linear_candidate("quick"), 0.5, speedup=2.0)
        it.search._race()
        assert it.search.best is quick
        found = it.search._settled()
    assert slow.fate == "over a budget"
    assert found.front == ("quick",)
    assert found.recommended == "quick"


@pytest.mark.parametrize(
    ("budget", "broken"),
    [
        (Budget(quantity="speedup", at_least=1.5), True),
        (Budget(quantity="speedup", at_least=1.5, level=0.8), True),
        (Budget(quantity="speedup", at_least=1.1), False),
        (Budget(quantity="speedup", at_least=1.5, batch=32), False),
        (Budget(quantity="p50_ms", at_most=2.0), True),
        (Budget(quantity="p50_ms", at_most=2.0, load="peak"), False),
        (Budget(quantity="p50_ms", at_most=4.0), False),
        (Budget(quantity="size_mb", at_most=1e-9), True),
        (Budget(quantity="size_mb", at_most=5), False),
        (Budget(quantity="memory_mb", at_most=1e-9), False),
        (Budget(quantity="flips", at_most=1e-9), False),
    ],
)
def test_budgets_are_held_against_what_was_measured_alone(lab, linear_candidate, budget, broken):
    timed = Budget(quantity="p90_ms", at_most=1e9)  # decides the batch size: 1
    with lab(rows(60), budgets=(timed, budget)) as it:
        one = enter(it, linear_candidate("one"), 0.5, speedup=1.2, p50_ms=3.0)
        assert it.search._over_budget(one) is broken
        assert (one.fate == "over a budget") is broken


@pytest.mark.parametrize(
    "budget",
    [
        Budget(quantity="speedup", at_least=0.1),
        Budget(quantity="size_mb", at_most=5),
        Budget(quantity="accuracy", max_drop=0.02, dataset="main"),
        Budget(quantity="accuracy", max_drop=0.02, slice="short"),
    ],
)
def test_budgets_that_selection_cannot_speak_of_do_not_end_a_search(lab, linear_candidate, budget):
    with lab(rows(300), budgets=(budget,)) as it:
        enter(it, linear_candidate("wrong", WRONG), 0.2)
        enter(it, linear_candidate("sound"), 0.5)
        it.search._race()
        found = it.search._settled()
    assert [candidate.name for candidate in found.finalists] == ["sound"]
    assert found.recommended == "sound"


def test_an_idea_is_tried_once(lab):
    same = idea()
    with lab(rows(60)) as it:
        it.search._round("quantise", [same, same])
        it.search._round("combine", [replace(same, round="combine")])
        assert [one.tried for one in it.search.rounds] == [1, 0]
        assert list(it.search.tried) == [same.name]
        assert it.search.tried[same.name].spent.wall_s > 0


def test_tuning_hears_of_an_idea_before_it_has_the_next(lab):
    heard = []
    with lab(rows(60)) as it:

        def proposals():
            for per_channel in (True, False):
                thought = idea(("per_channel", per_channel), turn="tune")
                yield thought
                heard.append(it.search._objective(thought.name))

        it.search._round("tune", proposals())
    assert len(heard) == 2
    assert None not in heard


def test_what_failed_has_no_objective(lab, linear_candidate):
    with lab(rows(600, negative_from=300)) as it:
        enter(it, linear_candidate("fragile", root=True), 0.1)
        enter(it, linear_candidate("sound"), 0.5)
        enter(it, linear_candidate("wrong", WRONG), 0.2)
        assert it.search._objective("fragile") is None
        assert it.search._objective("nobody") is None
        assert it.search._objective("sound") == pytest.approx(0.5, rel=0.01)
        assert it.search._objective("wrong") > 1


def test_a_graph_is_quantised_though_no_free_move_was_tried(lab):
    """The baseline is ONNX already, and the plan allows a quantiser alone."""
    with lab(rows(60), allowed=(DYNAMIC,)) as it:
        turns = it.search._rounds()
        next(turns)  # what is free is not tried here
        name, ideas = next(turns)
    assert name == "quantise"
    assert [one.plain for one in ideas if one.runtime == "onnxruntime"] == [(DYNAMIC,)]


@pytest.mark.parametrize("uses", [["drop_layers"], ["finetune_quantized"]])
def test_steps_that_do_not_fit_the_model_leave_nothing_to_try(lab, uses):
    allowed = tuple(StepCall(use=use) for use in uses)
    with lab(rows(60), allowed=allowed) as it:
        it.search.space = replace(it.search.space, allowed=allowed)
        assert "search.steps allows fits the model" in it.search._no_candidate()


def test_reasons_are_those_of_failures(lab):
    with lab(rows(60)) as it:
        it.search.left = [
            untried(idea(), "there was no time"),
            *(untried(idea(("n", n)), f"broke {n}", fate="failed") for n in range(5)),
        ]
        said = it.search._no_candidate()
    assert said.count("broke") == 3
    assert "no time" not in said


def test_time_for_nothing_still_tries_one(lab):
    """What is left untried says so, and the first that can be made is measured."""
    with lab(rows(60), settings=SearchPlan(minutes=1e-9)) as it:
        ideas = [idea(("per_channel", flag)) for flag in (True, False)]
        it.search._round("quantise", ideas[:1])
        it.search._round("shrink", ideas[1:])
        assert list(it.search.tried) == [ideas[0].name]
        (left,) = it.search.left
        assert (left.fate, left.name) == ("not tried", ideas[1].name)
        assert "minutes were used up" in left.reason
        assert it.search._late


@pytest.mark.parametrize(
    ("bound", "worth", "why"),
    [(0.49, 0.05, "costs 0.49 at best, and sound holds"), (0.47, 0.05, ""), (0.49, 0.0, "")],
)
def test_an_idea_that_cannot_be_leaner_is_needless(lab, linear_candidate, bound, worth, why):
    with lab(rows(300), settings=SearchPlan(worth=worth)) as it:
        assert it.search._needless(idea(bound=bound)) == ""  # nobody holds yet
        enter(it, linear_candidate("sound"), 0.5)
        it.search._race()
        said = it.search._needless(idea(bound=bound))
    assert said.startswith(why)
    assert bool(said) == bool(why)


def test_a_plan_that_says_how_much_is_taken_away_is_not_tuned(lab, linear_candidate):
    given = StepCall(use="prune_structured", options=(("ratio", 0.4),))
    for allowed, fixed in (((given,), True), ((StepCall(use="prune_structured"),), False)):
        with lab(rows(60), allowed=allowed) as it:
            one = enter(it, linear_candidate("pruned"), 0.5)
            one.idea = replace(one.idea, plain=(given,))
            assert it.search._given(one) is fixed


def test_a_step_is_paid_for_once(lab):
    """By the first candidate that needed it; further seeds pay for what they draw alone."""
    with lab(rows(60)) as it:
        first, again = (next(iter(it.bench.tried([idea()], name=name))) for name in "ab")
        beside = next(iter(it.bench.beside(first.candidate).tried([idea()], name="c", seed=7)))
        assert it.answers.clock.earlier == 0.0
    assert first.spent.wall_s > 0
    assert again.spent == beside.spent == Cost(energy_j=again.spent.energy_j)
    assert again.candidate.recipe == Recipe(name="b", steps=idea().plain, seed=0)


def test_steps_of_an_earlier_run_are_on_the_clock(lab, tmp_path):
    with lab(rows(60)) as it:
        (first,) = it.bench.tried([idea()])
    path = next((tmp_path / "store" / "models").glob("*"))
    assert path.is_dir()
    with lab(rows(60), earlier=Store(tmp_path / "store")) as it:
        (second,) = it.bench.tried([idea()])
        assert it.answers.clock.earlier >= 0.0
        assert it.answers.clock.elapsed >= it.answers.clock.here
    assert second.spent.wall_s == first.spent.wall_s


def test_a_step_that_cannot_work_is_a_trial_with_the_reason(lab):
    bad, sound = idea(("keep", 1), use="drop_layers"), idea()
    with lab(rows(60)) as it:
        found = list(it.bench.tried([bad, sound]))
    failed = next(one for one in found if isinstance(one, Trial))
    assert (failed.fate, failed.gain, failed.cost) == ("failed", None, None)
    assert "drop_layers" in failed.reason
    (made,) = (one for one in found if isinstance(one, Tried))
    assert made.speedup > 0
    assert made.p50_ms > 0
    assert np.isnan(made.cost)  # what is lean, the search decides
