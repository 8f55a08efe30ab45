"""Records of Every Eval Ever field by field, and the answers of a bundle whose rows are hidden."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import duckdb
import pytest

from surefoot.data.columns import read_parquet, write_parquet
from surefoot.plan import read_plan
from surefoot.report.exports.every_eval_ever import every_eval_ever
from surefoot.report.release import read_release
from surefoot.run import run_plan

HOSTILE = "../..\u202e\x1b[2J\n<b>"


def record(release, **options):
    files = every_eval_ever(release, **options).files
    (path,) = (path for path in files if path.endswith(".json"))
    return path, json.loads(files[path])


def samples(release, **options):
    files = every_eval_ever(release, samples=True, **options).files
    (path,) = (path for path in files if path.endswith(".jsonl"))
    return [json.loads(line) for line in files[path].splitlines()]


def result(release, quantity, where):
    name = f"{quantity} on {where}" if where else quantity
    (found,) = (
        r for r in record(release)[1]["evaluation_results"] if r["evaluation_result_id"] == name
    )
    return found


@pytest.mark.parametrize(
    ("model_id", "folders", "name"),
    [
        (None, "unknown/same", "same"),
        ("owner/trees", "owner/trees", "owner/trees"),
        ("trees", "unknown/trees", "trees"),
    ],
)
def test_the_record_lies_where_its_model_says(release, model_id, folders, name):
    path, told = record(replace(release, task="trees"), model_id=model_id)
    assert path.startswith(f"data/trees/{folders}/")
    assert told["model_info"]["id"] == name
    assert told["model_info"]["name"] == "same"
    assert told["evaluation_id"] == f"trees/{name}/{release.exported_at:.0f}"


def test_hostile_names_stay_in_the_folder(release):
    odd = replace(release, task=HOSTILE, candidate=replace(release.candidate, name=HOSTILE))
    for path, text in every_eval_ever(odd, model_id=f"{HOSTILE}/{HOSTILE}").files.items():
        assert ".." not in path.split("/")
        assert path.count("/") == 4
        assert not set(path + text) & set("\u202e\x1b")


@pytest.mark.parametrize(
    ("quantity", "ends"),
    [
        ("accuracy", (0, 1)),
        ("macro_f1", (0, 1)),
        ("auc", (0, 1)),
        ("out_of_scope_auc", (0, 1)),
        ("ece", (0, 1)),
        ("aurc", (0, 1)),
        ("brier", (0, 2)),
        ("log_loss", (0, "Infinity")),
        ("p50_ms", (0, "Infinity")),
    ],
)
def test_each_metric_has_its_ends(release, quantity, ends):
    figure = replace(release.of(release.candidate)[0], quantity=quantity)
    (told,) = record(replace(release, figures=(figure,)))[1]["evaluation_results"]
    config = told["metric_config"]
    assert (config["min_score"], config["max_score"]) == ends


def test_values_and_intervals_lie_between_the_ends(release):
    for told in record(release)[1]["evaluation_results"]:
        config, score = told["metric_config"], told["score_details"]
        most = float(config["max_score"])
        assert config["min_score"] <= score["score"] <= most
        if "uncertainty" in score:
            ends = score["uncertainty"]["confidence_interval"]
            assert ends["lower"] <= score["score"] <= ends["upper"]
            assert config["min_score"] <= ends["lower"]
            assert ends["upper"] <= most


def test_an_exact_number_has_a_unit_and_no_uncertainty(release):
    told = result(release, "size_mb", "")
    assert told["score_details"] == {"score": release.candidate.size_bytes / 1e6}
    assert told["metric_config"]["metric_unit"] == "MB"
    assert told["evaluation_name"] == release.task
    assert result(release, "p50_ms", "batch 1")["metric_config"]["metric_unit"] == "ms"
    assert "metric_unit" not in result(release, "accuracy", "main")["metric_config"]


def test_a_place_is_told_with_its_rows_slice_and_shift(release):
    fingerprint = release.data[0].fingerprint
    source = result(release, "accuracy", "main [left]")["source_data"]
    assert source["dataset_name"] == "main"
    assert source["additional_details"] == {"fingerprint": fingerprint, "slice": "left"}
    figure = next(f for f in release.of(release.candidate) if f.where == "main")
    shifted = replace(release, figures=(replace(figure, shift="typos", severity=2.5),))
    told = result(shifted, figure.quantity, "main + typos 2.5")["source_data"]
    assert told["additional_details"] == {
        "fingerprint": fingerprint, "shift": "typos", "severity": "2.5",
    }  # fmt: skip
    bare = result(replace(release, data=()), "accuracy", "main")["source_data"]
    assert bare["additional_details"] == {}


def test_the_recipe_and_the_engine_are_those_of_the_bundle(ruined):
    told = record(ruined)[1]["model_info"]
    assert json.loads(told["additional_details"]["surefoot_recipe"]) == [
        ["quantize_dynamic", {"head": True, "per_channel": False}]
    ]
    version = ruined.environment["libraries"]["onnxruntime"]
    assert told["inference_engine"] == {"name": "onnxruntime", "version": version}
    unknown = record(replace(ruined, environment={}))[1]
    assert unknown["model_info"]["inference_engine"] == {"name": "onnxruntime"}
    assert unknown["eval_library"] == {"name": "surefoot", "version": "unknown"}


def test_who_evaluated_is_who_is_named(release):
    told = record(release, organisation="Ada Ltd", relationship="first_party")[1]
    assert told["source_metadata"]["source_organization_name"] == "Ada Ltd"
    assert told["source_metadata"]["evaluator_relationship"] == "first_party"
    assert told["source_metadata"]["additional_details"] == {"bundle_key": release.key}


def test_each_answer_is_that_of_the_cell(release, bundle):
    rows = {(one["evaluation_name"], one["sample_id"]): one for one in samples(release)}
    for name in ("main", "grouped"):
        path = bundle / "cells" / "same" / f"{name}.parquet"
        cell = duckdb.sql(f"SELECT id, label, predicted, correct FROM '{path}'").fetchall()
        for id_, label, predicted, correct in cell:
            one = rows.pop((name, id_))
            assert one["input"]["reference"] == [label]
            assert one["output"]["raw"] == [predicted]
            assert one["evaluation"] == {"score": float(correct), "is_correct": correct}
            assert one["answer_attribution"][0]["extracted_value"] == predicted
    assert rows == {}


def test_data_sets_that_are_no_test_set_or_have_no_cell_give_no_rows(release):
    train = replace(release.data[0], role="train")
    gone = replace(release.data[1], name="gone")
    files = every_eval_ever(replace(release, data=(train, gone)), samples=True).files
    (text,) = (text for path, text in files.items() if path.endswith(".jsonl"))
    assert text == ""
    assert record(replace(release, data=(train, gone)), samples=True)[1][
        "detailed_evaluation_results"
    ]["total_rows"] == 0  # fmt: skip


@pytest.fixture(scope="module")
def hidden(bundle, tmp_path_factory):
    """The same run with hashed evidence."""
    folder = tmp_path_factory.mktemp("hashed")
    for name in ("model.onnx", "main.csv", "grouped.csv", "plan.toml"):
        shutil.copy(bundle.parents[1] / name, folder / name)
    plan = read_plan(folder / "plan.toml", ['evaluate.evidence="hashed"'])
    made, _ = run_plan(plan, folder / "run")
    return read_release(made.path, "same")


def test_hashed_evidence_tells_answers_and_no_row(release, hidden):
    plain, told = samples(release), samples(hidden)
    assert len(told) == len(plain)
    texts = json.dumps(told)
    assert "grouped-0" not in texts
    assert "onerror" not in texts
    by_set = [
        [one["evaluation"]["is_correct"] for one in rows if one["evaluation_name"] == "main"]
        for rows in (plain, told)
    ]
    assert sum(by_set[0]) == sum(by_set[1])
    for one in told:
        right = one["input"]["reference"] == one["output"]["raw"]
        assert right == one["evaluation"]["is_correct"]


def test_hashed_evidence_has_the_same_accuracies(release, hidden):
    of_rows = {
        f.where: f.estimate for f in release.of(release.candidate) if f.quantity == "accuracy"
    }
    of_hashes = {
        f.where: f.estimate for f in hidden.of(hidden.candidate) if f.quantity == "accuracy"
    }
    assert of_hashes == of_rows


def test_outcomes_alone_are_written_without_an_answer(bundle, tmp_path):
    """A bundle may hold neither ids nor answers."""
    copied = shutil.copytree(bundle, tmp_path / "bundle")
    path = copied / "cells" / "same" / "main.parquet"
    columns = read_parquet(path)
    path.unlink()
    write_parquet(path, {"correct": columns["correct"], "accuracy": columns["accuracy"]})
    release = read_release(copied)
    told = [one for one in samples(release) if one["evaluation_name"] == "main"]
    assert len(told) == 300
    assert {one["sample_id"] for one in told} == {""}
    assert all(one["answer_attribution"] == [] for one in told)
    assert sum(one["evaluation"]["score"] for one in told) == columns["correct"].sum()
