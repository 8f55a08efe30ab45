"""Records of Every Eval Ever, through our own reader of that form."""

import hashlib
import json

import pytest

from surefoot.evaluate.outputs.logged import compare_outputs
from surefoot.report.export import write_export
from surefoot.report.exports.every_eval_ever import every_eval_ever


def written(release, folder, **options):
    write_export("every_eval_ever", release, folder, options)
    (aggregate,) = folder.rglob("*.json")
    return aggregate, json.loads(aggregate.read_text())


def test_every_number_has_its_interval(release, tmp_path):
    _, record = written(release, tmp_path / "out", model_id="owner/trees")
    figures = [f for f in release.of(release.candidate) if f.bounded]
    assert len(record["evaluation_results"]) == len(figures)
    for figure, result in zip(figures, record["evaluation_results"], strict=True):
        e, score = figure.estimate, result["score_details"]
        assert score["score"] == e.value
        assert result["metric_config"]["lower_is_better"] == figure.lower_is_better
        if e.method != "exact":
            assert score["uncertainty"] == {
                "confidence_interval": {
                    "lower": e.low,
                    "upper": e.high,
                    "confidence_level": e.level,
                    "method": e.method,
                },
                "num_samples": e.n,
            }  # fmt: skip
    assert record["model_info"]["id"] == "owner/trees"
    assert record["model_info"]["additional_details"]["surefoot_verdict"] == "PASS"
    assert record["source_metadata"]["evaluator_relationship"] == "other"


def test_a_number_whose_interval_has_no_end_is_left_out_and_named(release):
    export = every_eval_ever(release)
    assert "p99_ms" not in "".join(export.files.values())
    assert "left out: p99_ms batch 1: its interval has no end" in export.notes
    assert any(note.startswith("left out: macro_f1 on grouped") for note in export.notes)


def test_rows_are_written_only_if_asked_for(release, tmp_path):
    written(release, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.jsonl"))


def test_the_samples_are_those_that_the_aggregate_names(release, tmp_path):
    aggregate, record = written(release, tmp_path / "out", samples=True)
    named = record["detailed_evaluation_results"]
    rows = tmp_path / "out" / named["file_path"]
    assert rows.parent == aggregate.parent
    assert named["checksum"] == hashlib.sha256(rows.read_bytes()).hexdigest()
    lines = rows.read_text().splitlines()
    assert named["total_rows"] == len(lines) == 420
    ids = {result["evaluation_result_id"] for result in record["evaluation_results"]}
    for line in map(json.loads, lines):
        assert line["evaluation_result_id"] in ids
        assert line["evaluation_id"] == record["evaluation_id"]
        assert line["input"]["raw"] == ""  # the bundle holds no inputs


def test_compare_reads_them_and_counts_what_the_bundle_counts(release, ruined, tmp_path):
    """Of two candidates; the shares agree with the cells, answer by answer."""
    paths = [
        written(one, tmp_path / one.candidate.name, samples=True)[0] for one in (release, ruined)
    ]
    found = compare_outputs(*paths, metric=None, slices=(), group=None)
    (paired,) = found.evidence.paired
    assert paired.n == 420
    right = {}
    for one in (release, ruined):
        shares = [
            (f.estimate.value * f.estimate.n)
            for f in one.of(one.candidate)
            if f.quantity == "accuracy" and f.slice is None
        ]
        right[one.candidate.name] = sum(shares)
    assert paired.baseline * 420 == pytest.approx(right["same"])
    assert paired.value * 420 == pytest.approx(right["ruined"])
    lost = {
        c["dataset"]: c["lost"] - c["won"]
        for c in ruined.evidence["comparisons"]
        if c["candidate"] == "ruined" and c["slice"] is None and c["metric"] == "accuracy"
    }  # `same` answers as the baseline does
    assert paired.lost - paired.won == sum(lost.values())
