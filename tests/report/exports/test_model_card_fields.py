"""The model card's metadata field by field, by any reader of YAML."""

from __future__ import annotations

from dataclasses import replace

import pytest

from surefoot.core.errors import PlanError
from surefoot.report.card import figure_text
from surefoot.report.exports.model_card import model_card

yaml = pytest.importorskip("yaml")
HOSTILE = 'x"\n---\nlicense: mit\n- \u202e\x1b[2J: {a} <script>'


def matter(release, **options):
    """The metadata at the head of the card."""
    text = model_card(release, **options).files["README.md"]
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))


def results(release, **options):
    (index,) = matter(release, **options)["model-index"]
    return index["results"]


def test_metrics_tags_and_library_are_those_of_the_bundle(release, ruined):
    told = matter(release)
    assert told["pipeline_tag"] == "tabular-classification"
    assert told["library_name"] == "onnx"
    assert told["tags"] == ["surefoot"]
    assert set(told["metrics"]) == {"accuracy", "log_loss", "ece", "aurc", "brier", "macro_f1"}
    failed = matter(ruined)
    assert failed["tags"] == ["surefoot", "quantize_dynamic"]
    assert "library_name" not in failed  # its files are not in the bundle


@pytest.mark.parametrize(
    ("format_", "library"), [("huggingface", "transformers"), ("skops", "sklearn"), ("pt2", None)]
)
def test_a_format_has_the_name_that_the_hub_gives_its_reader(release, format_, library):
    other = replace(release, candidate=replace(release.candidate, format=format_))
    assert matter(other).get("library_name") == library


@pytest.mark.parametrize(
    "kind", ["text-classification", "image-classification", "tabular-classification"]
)
def test_the_kind_of_task_is_told_for_the_card_and_for_each_result(release, kind):
    other = replace(release, kind=kind)
    assert matter(other)["pipeline_tag"] == kind
    assert {r["task"]["type"] for r in results(other)} == {kind}


def test_a_place_has_its_rows_and_what_was_changed(release):
    told = {r["dataset"]["name"]: r["dataset"] for r in results(release)}
    assert set(told) == {"main", "main [left]", "grouped", "grouped [left]"}
    prints = {used.name: used.fingerprint for used in release.data}
    assert told["main"]["args"] == {"surefoot_rows_fingerprint": prints["main"]}
    assert told["grouped [left]"]["args"] == {
        "surefoot_rows_fingerprint": prints["grouped"], "slice": "left",
    }  # fmt: skip
    assert {r["dataset"]["split"] for r in results(release)} == {"test"}
    assert len({d["config"] for d in told.values()}) == len(told)


def test_a_shift_is_told_with_its_severity(release):
    figure = replace(release.of(release.candidate)[0], shift="typos", severity=3.0)
    (told,) = results(replace(release, figures=(figure,), data=()))
    assert told["dataset"]["args"] == {"shift": "typos", "severity": 3.0}
    assert told["dataset"]["name"] == "main + typos 3"


def test_each_value_is_that_of_its_figure_and_says_so_in_words(release):
    figures = {(f.quantity, f.where): f for f in release.of(release.candidate)}
    for told in results(release):
        for metric in told["metrics"]:
            figure = figures[metric["type"], told["dataset"]["name"]]
            assert metric["value"] == figure.estimate.value
            assert figure_text(figure) in metric["name"]
            assert metric["args"]["confidence_interval"]["n"] == figure.estimate.n


def test_sizes_and_latencies_are_no_results_of_a_data_set(release):
    types = {metric["type"] for told in results(release) for metric in told["metrics"]}
    assert not types & {"size_mb", "p50_ms", "p99_ms"}


def test_a_benchmark_stands_for_its_test_set_and_for_no_other(release):
    told = results(release, hub={"main": "owner/trees/leaves"})
    types = {r["dataset"]["name"]: r["dataset"]["type"] for r in told}
    assert types["main"] == types["main [left]"] == "owner/trees"
    assert types["grouped"] == "grouped"


def test_a_result_of_a_benchmark_is_the_metric_on_the_whole_set_alone(release):
    named = {"main": "owner/trees", "grouped": "owner/groups/all"}
    files = model_card(release, hub=named).files
    for name, task in (("main", "default"), ("grouped", "all")):
        (entry,) = yaml.safe_load(files[f".eval_results/{name}.yaml"])
        figure = next(f for f in release.of(release.candidate) if f.where == name)
        assert entry["value"] == figure.estimate.value
        assert entry["dataset"] == {"id": named[name].removesuffix("/all"), "task_id": task}
        assert f"bundle {release.key[:16]}" in entry["notes"]
        assert f"n {figure.estimate.n:,}" in entry["notes"]


def test_a_benchmark_of_a_set_without_a_number_gives_no_file(release):
    sliced = tuple(f for f in release.figures if f.slice is not None)
    files = model_card(replace(release, figures=sliced), hub={"main": "owner/trees"}).files
    assert list(files) == ["README.md"]


@pytest.mark.parametrize("value", ["/x", "x/", "", "/", "a/b/c/d"])
def test_what_is_no_benchmark_is_said_with_how_to_write_one(release, value):
    with pytest.raises(PlanError) as caught:
        model_card(release, hub={"main": value})
    assert caught.value.problems == (
        f"hub.main: should be OWNER/NAME or OWNER/NAME/TASK, found '{value}'",
    )


def test_a_training_set_is_no_test_set_to_name(release):
    data = (*release.data, replace(release.data[0], name="selection", role="selection"))
    with pytest.raises(PlanError, match=r"hub\.selection: no such test set; known: grouped, main"):
        model_card(replace(release, data=data), hub={"selection": "a/b"})


def test_hostile_names_add_no_key_and_hide_nothing(release):
    steps = ((HOSTILE, {}),)
    figures = tuple(replace(f, slice=HOSTILE) for f in release.figures if f.dataset)
    model = replace(release.candidate, name=HOSTILE, steps=steps)
    figures = tuple(replace(f, model=HOSTILE) for f in figures)
    odd = replace(release, task=HOSTILE, candidate=model, figures=figures)
    told = matter(odd)
    assert "license" not in told
    assert told["model-index"][0]["name"] == HOSTILE.replace("\n", "\\n").replace(
        "\u202e", "\\u202e"
    ).replace("\x1b", "\\x1b")
    text = model_card(odd).files["README.md"]
    assert not set(text) & set("\u202e\x1b")
    assert "<script>" not in text.split("\n---\n", 1)[1]


def test_without_figures_there_is_a_card_without_results(release):
    bare = replace(release, figures=(), without_interval=())
    assert results(bare) == []
    assert matter(bare)["metrics"] == []
