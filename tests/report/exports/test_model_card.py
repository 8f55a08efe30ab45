"""The model card read back by huggingface_hub."""

from dataclasses import replace

import pytest

from surefoot.core.errors import PlanError
from surefoot.report.exports.model_card import model_card

hub = pytest.importorskip("huggingface_hub")
yaml = pytest.importorskip("yaml")


def read_back(export, folder):
    (folder / "README.md").write_text(export.files["README.md"])
    return hub.ModelCard.load(folder / "README.md")


def test_every_number_comes_back_with_its_interval(release, tmp_path):
    card = read_back(model_card(release), tmp_path)
    figures = [f for f in release.of(release.candidate) if f.bounded and f.dataset]
    assert len(card.data.eval_results) == len(figures)
    found = {(r.metric_type, r.dataset_name): r for r in card.data.eval_results}
    for figure in figures:
        result = found[figure.quantity, figure.where]
        assert result.metric_value == figure.estimate.value
        assert result.metric_args["confidence_interval"] == {
            key: getattr(figure.estimate, key) for key in ("low", "high", "level", "method", "n")
        }
        assert f"n {figure.estimate.n:,}" in result.metric_name
        assert result.task_type == "tabular-classification"
    assert card.data.model_name == "same"
    assert card.data.library_name == "onnx"


def test_nothing_is_claimed_to_be_verified(release, tmp_path):
    export = model_card(release, hub={"main": "owner/trees"})
    card = read_back(export, tmp_path)
    assert all(r.verified is None and r.verify_token is None for r in card.data.eval_results)
    assert not any("verif" in text for path, text in export.files.items() if path != "README.md")


def test_a_slice_is_not_taken_for_the_whole_set(release, tmp_path):
    results = read_back(model_card(release), tmp_path).data.eval_results
    ids = {(r.unique_identifier, r.metric_type) for r in results}
    assert len(ids) == len(results)
    sliced = [r for r in results if r.dataset_args.get("slice")]
    assert {r.dataset_args["slice"] for r in sliced} == {"left"}


def test_results_for_a_benchmark_of_the_hub_are_read_back(release):
    export = model_card(release, hub={"main": "owner/trees/leaves"})
    (path,) = (path for path in export.files if path != "README.md")
    assert path == ".eval_results/main.yaml"
    (entry,) = hub.parse_eval_result_entries(yaml.safe_load(export.files[path]))
    figure = next(f for f in release.of(release.candidate) if f.where == "main")
    assert (entry.dataset_id, entry.task_id) == ("owner/trees", "leaves")
    assert entry.value == figure.estimate.value
    assert entry.verify_token is None
    assert "Clopper-Pearson, n 300" in entry.notes
    assert "verdict PASS" in entry.notes


def test_without_a_benchmark_there_are_no_such_results(release):
    export = model_card(release)
    assert list(export.files) == ["README.md"]
    assert any("hub.TEST_SET=OWNER/NAME" in note for note in export.notes)


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ({"mian": "a/b"}, "hub.mian: no such test set; did you mean 'main'"),
        ({"main": "trees"}, "should be OWNER/NAME"),
        ({"main": "a/b/c/d"}, "should be OWNER/NAME"),
    ],
)
def test_a_benchmark_that_cannot_be_one_is_refused(release, named, complaint):
    with pytest.raises(PlanError, match=complaint):
        model_card(release, hub=named)


def test_hostile_labels_and_names_stay_text(release, tmp_path):
    card = read_back(model_card(release), tmp_path)
    assert set(card.data.to_dict()) == {
        "library_name", "pipeline_tag", "tags", "metrics", "model-index",
    }  # fmt: skip
    assert "<img" not in card.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in card.text
    assert "(http://" not in card.text
    assert "\n---\n" not in card.text


@pytest.mark.parametrize("outcome", ["INCONCLUSIVE", "FAIL"])
def test_no_other_verdict_reads_as_a_pass(release, outcome):
    other = replace(release, verdict=replace(release.verdict, outcome=outcome), winner=False)
    text = model_card(other).files["README.md"].split("---", 2)[2]
    head = text.split("## The model")[0]
    assert f"**Verdict: {outcome}.**" in head
    assert "passed" not in head
    assert "**Verdict: PASS" not in text
    assert ("This is no PASS" in head) == (outcome == "INCONCLUSIVE")
