"""Which recipes a search has to try: those that fit, each with a bound that arithmetic allows."""

import json

import pytest

from surefoot.core.model import Model, Signature, StepCall
from surefoot.search.space import EIGHT_BITS, Space, gives

EXPORT = StepCall(use="export_onnx")


@pytest.fixture
def model(tmp_path):
    """A sealed model as far as the grammar looks at one."""

    def make(format: str, kind: str) -> Model:
        config = {"num_hidden_layers": 6}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return Model(
            name="baseline",
            format=format,
            path=tmp_path,
            file=".",
            fingerprint="",
            size_bytes=1,
            signature=Signature(input=kind, classes=("a", "b")),
        )

    return make


def space(baseline, *, labelled=True, allowed=()):
    return Space(baseline=baseline, labelled=labelled, allowed=allowed)


def uses(idea):
    return [call.use for call in idea.plain]


def test_the_baseline_as_it_is_is_no_candidate(model):
    """An ONNX file in its usual runtime is the baseline; in another runtime it is a free move."""
    ideas = space(model("onnx", "image")).free()
    assert all(idea.steps for idea in ideas)
    assert [idea.name for idea in ideas if not idea.plain] == ["export_onnx, openvino"]


def test_every_idea_takes_what_the_step_before_it_gives(model):
    for format, kind in (("huggingface", "text"), ("pt2", "image"), ("skops", "numeric")):
        grammar = space(model(format, kind))
        graphs = [((EXPORT,), 1.0)]
        ideas = [*grammar.free(), *grammar.quantised(graphs), *grammar.shrunk(1.0)]
        smaller = [(idea.plain, 0.5) for idea in grammar.shrunk(1.0)]
        ideas += grammar.combined(smaller, 0.4)
        assert ideas
        assert {gives(format, idea.steps) for idea in ideas} == {"onnx"}
        assert len({idea.name for idea in ideas}) == len({idea.steps for idea in ideas})


def test_smaller_models_are_distilled_where_there_are_rows_to_learn_from(model):
    baseline = model("huggingface", "text")
    taught = {tuple(uses(i)) for i in space(baseline).shrunk(1.0)}
    alone = {tuple(uses(i)) for i in space(baseline, labelled=False).shrunk(1.0)}
    assert ("drop_layers", "export_onnx") in taught & alone
    assert ("drop_layers", "distill", "export_onnx") in taught - alone


def test_bounds_are_what_arithmetic_allows(model):
    grammar = space(model("huggingface", "text"))
    assert {i.bound for i in grammar.quantised([((EXPORT,), 0.8)])} == {0.8 * EIGHT_BITS}
    halved = [i for i in grammar.shrunk(0.8) if ("keep", 3) in i.plain[0].options]
    assert halved
    assert all(idea.bound == pytest.approx(0.4) for idea in halved)


def test_a_plan_may_allow_some_steps_alone_and_set_their_options(model):
    allowed = (StepCall(use="quantize_dynamic", options=(("per_channel", False),)),)
    grammar = space(model("huggingface", "text"), allowed=allowed)
    assert {uses(idea)[-1] for idea in grammar.quantised([((EXPORT,), 1.0)])} == {
        "quantize_dynamic"
    }
    (first, *_) = grammar.quantised([((EXPORT,), 1.0)])
    assert first.plain[-1] == allowed[0]
    assert not grammar.shrunk(1.0)


def test_a_long_recipe_still_has_a_name_that_can_be_a_file(model):
    call = StepCall(use="quantize_dynamic", options=(("per_channel", False),))
    steps = (EXPORT, *(call for _ in range(9)))
    ideas = space(model("huggingface", "text")).quantised([(steps, 1.0)])
    assert all(len(idea.name) <= 110 for idea in ideas)


def test_long_recipes_that_differ_at_their_end_have_names_of_their_own(model):
    call = StepCall(use="quantize_dynamic", options=(("per_channel", False),))
    steps = (EXPORT, *(call for _ in range(9)))
    ideas = space(model("huggingface", "text")).quantised([(steps, 1.0)])
    assert len({idea.plain for idea in ideas}) > 1
    assert len({idea.name for idea in ideas}) == len({(i.plain, i.runtime) for i in ideas})


@pytest.mark.parametrize(
    ("options", "bound"), [((), 0.3), ((("ratio", 0.9),), 0.0), ((("criterion", "x"),), 0.3)]
)
def test_a_bound_is_not_taken_from_a_share_that_the_plan_overrules(model, options, bound):
    allowed = (StepCall(use="prune_structured", options=options),)
    ideas = space(model("huggingface", "text"), allowed=allowed).shrunk(1.0)
    assert min(idea.bound for idea in ideas) == pytest.approx(bound)


def test_rows_of_numbers_have_their_own_small_model(model):
    grammar = space(model("skops", "numeric"))
    assert {tuple(uses(idea)) for idea in grammar.shrunk(1.0)} == {("distill_trees",)}
    assert [uses(idea) for idea in grammar.free() if idea.runtime == "onnxruntime"] == [
        ["export_onnx"]
    ]


@pytest.mark.parametrize(
    ("steps", "given", "found"),
    [
        ((), "onnx", "onnx"),
        ((EXPORT,), "huggingface", "onnx"),
        ((StepCall(use="quantize_dynamic"),), "huggingface", None),
        ((EXPORT, StepCall(use="drop_layers")), "huggingface", None),
        ((StepCall(use="no_such_step"),), "onnx", None),
    ],
)
def test_steps_give_a_format_or_do_not_fit(steps, given, found):
    assert gives(given, steps) == found


def test_a_repair_is_offered_for_a_quantiser_that_lost_too_much(model):
    lossy = [((EXPORT, StepCall(use="quantize_dynamic")), 0.4)]
    baseline = model("huggingface", "text")
    found = [uses(i) for i in space(baseline).repaired(lossy)]
    alone = [uses(i) for i in space(baseline, labelled=False).repaired(lossy)]
    assert ["export_onnx", "quantize_mixed"] in found
    assert ["export_onnx", "quantize_mixed"] in alone
    assert not any("refit_head" in steps for steps in alone)
