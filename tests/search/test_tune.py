"""Tuning proposes shares near what paid, each once, and copes with failures."""

import pytest

from surefoot.core.model import Candidate, Cost, Model, Recipe, Signature, StepCall
from surefoot.search.bench import Tried
from surefoot.search.space import Idea
from surefoot.search.tune import ASKED, tuned

EXPORT = StepCall(use="export_onnx")


def pruned(ratio: float) -> tuple[StepCall, ...]:
    return (StepCall(use="prune_structured", options=(("ratio", ratio),)), EXPORT)


def tried(steps, tmp_path) -> Tried:
    model = Model(
        name="m",
        format="onnx",
        path=tmp_path,
        file="model.onnx",
        fingerprint="",
        size_bytes=1,
        signature=Signature(input="image", classes=("a", "b")),
    )
    idea = Idea(round="shrink", plain=steps, runtime="onnxruntime")
    recipe = Recipe(name=idea.name, steps=steps)
    candidate = Candidate(name=idea.name, model=model, runtime="onnxruntime", recipe=recipe)
    return Tried(idea=idea, candidate=candidate, spent=Cost())


def ratio_of(idea) -> float:
    return dict(idea.plain[0].options)["ratio"]


def test_nothing_is_tuned_where_no_step_takes_a_share_away(tmp_path):
    assert not list(tuned([tried((EXPORT,), tmp_path)], lambda _: 0.5, seed=0))


def test_shares_are_proposed_once_each_and_alike_for_a_seed(tmp_path):
    known = [tried(pruned(ratio), tmp_path) for ratio in (0.3, 0.5, 0.7)]

    def best_at_06(name: str) -> float:
        return abs(float(name.split()[1].rstrip(",")) - 0.6)

    runs = [[ratio_of(i) for i in tuned(known, best_at_06, seed=3)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert 1 <= len(runs[0]) <= ASKED
    assert len(set(runs[0])) == len(runs[0])
    assert not set(runs[0]) & {0.3, 0.5, 0.7}
    assert all(0.1 <= ratio <= 0.9 for ratio in runs[0])


def test_a_share_that_failed_does_not_end_it(tmp_path):
    known = [tried(pruned(0.5), tmp_path)]
    failing = {known[0].candidate.name: 0.5}
    found = list(tuned(known, failing.get, seed=0))
    assert len(found) == pytest.approx(ASKED, abs=1)
