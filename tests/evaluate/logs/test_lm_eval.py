import json
import shutil
from pathlib import Path

import pytest

from surefoot.core.errors import DataError
from surefoot.evaluate.logs.lm_eval import lm_eval, recognises

WRITTEN = Path(__file__).parent / "written"
REAL = WRITTEN / "lm_eval_base"


def lm_sample(number, value, metric="acc", **more):
    """A record as lm-evaluation-harness 0.4.13 writes it."""
    return {
        "doc_id": number,
        "doc": {"question": f"question {number}", "subject": "ab"[number % 2], "rank": number // 4},
        "target": str(number % 4),
        "arguments": {"gen_args_0": {"arg_0": f"question {number}", "arg_1": {"until": ["\n"]}}},
        "resps": [["text"]],
        "filtered_resps": [f"answer {value}"],
        "filter": "none",
        "metrics": [metric],
        "doc_hash": f"doc {number}",
        "prompt_hash": f"prompt {number}",
        "target_hash": f"target {number}",
        metric: value,
    } | more


def real(task):
    (file,) = REAL.glob(f"samples_{task}_*.jsonl")
    return file


def reported(task, metric):
    (results,) = REAL.glob("results_*.json")
    return json.loads(results.read_text())["results"][task][metric]


@pytest.mark.parametrize(
    ("task", "asked", "label", "theirs"),
    [
        ("toy_anatomy", None, "acc", "acc,none"),
        ("toy_virology", "acc_norm", "acc_norm", "acc_norm,none"),
        ("toy_sums", None, "exact_match,strict-match", "exact_match,strict-match"),
        (
            "toy_sums",
            "exact_match,flexible-extract",
            "exact_match,flexible-extract",
            "exact_match,flexible-extract",
        ),
    ],
)
def test_the_mean_is_what_the_harness_reported(task, asked, label, theirs):
    log = lm_eval(real(task), asked, ["task"])
    assert (log.task, log.metric, log.model) == (task, label, "dummy-1")
    assert log.values.mean() == pytest.approx(reported(task, theirs), abs=1e-12)
    assert set(log.columns["task"].tolist()) == {task}
    assert log.higher_is_better


def test_a_folder_is_a_group_whose_tasks_are_slices(tmp_path):
    for file in REAL.glob("*"):
        if "sums" not in file.name:
            shutil.copy(file, tmp_path)
    log = lm_eval(tmp_path, None, ["task", "subject"])
    assert (log.task, log.metric, len(log.ids)) == ("toy", "acc", 16)
    assert log.values.mean() == pytest.approx(reported("toy", "acc,none"))
    assert log.ids[0] == "toy_anatomy/0"
    assert set(log.columns["subject"].tolist()) == {"anatomy", "virology"}
    assert log.settings["num_fewshot of toy_anatomy"] == "0"
    assert log.settings["version of toy_virology"] == "1.0"


def test_what_the_harness_wrote_is_recognised_whatever_it_is_called(tmp_path):
    assert recognises(REAL)
    assert recognises(shutil.copy(real("toy_sums"), tmp_path / "x.txt"))
    (tmp_path / "cut").write_text(real("toy_sums").read_text()[:200])
    assert recognises(tmp_path / "cut")
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "label": "a", "predicted": "a"}\n')
    assert not recognises(tmp_path / "rows.jsonl")


def test_the_choice_of_acc_is_the_likeliest_one_and_acc_norm_has_none():
    log = lm_eval(real("toy_anatomy"), None, [])
    for answer, line in zip(log.answers, real("toy_anatomy").read_text().splitlines(), strict=True):
        record = json.loads(line)
        assert (answer == record["target"]) == (record["acc"] == 1.0)
    assert lm_eval(real("toy_anatomy"), "acc_norm", []).answers is None


def test_records_without_hashes_filter_and_metrics_are_read(write):
    rows = [lm_sample(i, i % 2) for i in range(4)]
    for row in rows:
        for key in ("doc_hash", "prompt_hash", "target_hash", "filter", "metrics"):
            del row[key]
        row["arguments"] = [["old prompt", {"until": []}]]
    log = lm_eval(write("old.jsonl", rows), None, ["subject"])
    assert (log.metric, log.task) == ("acc", "old")
    assert log.prompts.tolist() == ["old prompt"] * 4
    assert log.columns["subject"].tolist() == ["a", "b", "a", "b"]
    assert "tasks" not in log.settings  # nobody knows it


def test_numbers_and_truth_as_the_harness_may_write_them(write):
    values = [True, "0.5", 1, "False"]
    rows = [lm_sample(i, value) for i, value in enumerate(values)]
    assert lm_eval(write("a.jsonl", rows), None, []).values.tolist() == [1, 0.5, 1, 0]


SAMPLES = "samples_gsm8k_2026-01-02T03-04-05.678901.jsonl"
RESULTS = "results_2026-01-02T03-04-05.678901.json"


def test_the_results_beside_it_say_which_way_is_better(write):
    file = write(SAMPLES, [lm_sample(i, 0.1 * i, "wer") for i in range(3)])
    write(RESULTS, {"higher_is_better": {"gsm8k": {"wer": False}}, "n-shot": {"gsm8k": 5}})
    log = lm_eval(file, None, [])
    assert not log.higher_is_better
    assert log.settings == {"tasks": "gsm8k", "num_fewshot of gsm8k": "5"}


def test_a_mean_over_opposite_directions_is_refused(write):
    for task in ("gsm8k", "asr"):
        write(SAMPLES.replace("gsm8k", task), [lm_sample(i, 0.1 * i, "wer") for i in range(3)])
    ways = {"gsm8k": {"wer": True}, "asr": {"wer": False}}
    folder = write(RESULTS, {"higher_is_better": ways}).parent
    with pytest.raises(DataError, match="larger is better for 'gsm8k' and worse for 'asr'"):
        lm_eval(folder, None, [])
    assert not lm_eval(folder / SAMPLES.replace("gsm8k", "asr"), None, []).higher_is_better
    write(RESULTS, {"higher_is_better": {"asr": {"wer": False}}})
    assert not lm_eval(folder, None, []).higher_is_better


def two_filters(*names):
    return [lm_sample(i, 1.0, "exact_match", filter=name) for name in names for i in range(3)]


@pytest.mark.parametrize(
    ("rows", "metric", "said"),
    [
        ([lm_sample(0, 1)] * 2, None, r"\.jsonl:2: doc_id 0 is given twice"),
        (
            [lm_sample(0, 1), lm_sample(0, 1, doc_hash="other")],
            None,
            r":2: doc_id 0 is two documents; a file holds one run of one task",
        ),
        ([lm_sample(0, 1)], "exact_match", "no metric 'exact_match'.*this log has acc"),
        ([lm_sample(0, 1)], "acc,strict", "no metric 'acc,strict'.*acc,none"),
        (two_filters("strict", "loose"), "exact_match", "several filters; name one: .*,loose"),
        ([lm_sample(0, [1, 2], "bleu")], None, "no metric that every sample has a number for"),
        ([lm_sample(0, -3.2, "perplexity")], None, "'perplexity' of .* is no mean of its samples"),
        (
            [lm_sample(0, 1), lm_sample(1, None)],
            None,
            "1 of 2 samples have no number for 'acc', the first is '1'; run them again",
        ),
        ([lm_sample(0, float("nan")) | {"acc": 1}, lm_sample(1, float("nan"))], None, "no number"),
        ([lm_sample(0, 1, doc_id=None)], None, ":1: has no doc_id"),
    ],
)
def test_bad_samples_are_one_clear_line(write, rows, metric, said):
    with pytest.raises(DataError, match=said) as caught:
        lm_eval(write("s.jsonl", rows), metric, [])
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_named_with_its_line(write):
    file = write("s.jsonl", [lm_sample(i, 1) for i in range(3)])
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"s\.jsonl:3: is no JSON: .*cut off"):
        lm_eval(file, None, [])


def test_a_column_that_is_not_there_is_met_with_the_nearest(write):
    with pytest.raises(DataError, match="no column 'subjct'; did you mean 'subject'"):
        lm_eval(write("s.jsonl", [lm_sample(0, 1)]), None, ["subjct"])


def test_a_limited_run_is_refused(write):
    file = write(SAMPLES, [lm_sample(i, 1) for i in range(3)])
    write(RESULTS, {"n-samples": {"gsm8k": {"original": 1319, "effective": 3}}})
    with pytest.raises(DataError, match="a run with a limit: 3 of 1319 samples; run it without"):
        lm_eval(file, None, [])


def test_an_aggregation_that_is_no_mean_is_refused(write):
    file = write(SAMPLES, [lm_sample(i, 1.0, "score") for i in range(3)])
    listed = [{"metric": "score", "aggregation": "median"}]
    write(RESULTS, {"configs": {"gsm8k": {"metric_list": listed}}})
    with pytest.raises(DataError, match=r"'score' of gsm8k is no mean .* aggregation 'median'"):
        lm_eval(file, None, [])


def test_a_folder_of_two_runs_or_of_tasks_that_share_no_metric(write):
    write(f"two/{SAMPLES}", [lm_sample(0, 1)])
    other = write(f"two/{SAMPLES.replace('2026', '2027')}", [lm_sample(0, 1)])
    with pytest.raises(DataError, match="two runs of the task 'gsm8k'"):
        lm_eval(other.parent, None, [])
    with pytest.raises(DataError, match="share no metric: toy_anatomy has acc, acc_norm; toy_sums"):
        lm_eval(REAL, None, [])


def test_long_answers_and_targets_differ_though_only_their_hashes_are_kept(write):
    texts = ["x" * 500 + "a", "x" * 500 + "b", "x" * 500 + "a\ud800"]
    rows = [lm_sample(i, 1, filtered_resps=[t], target=t) for i, t in enumerate(texts)]
    log = lm_eval(write("long.jsonl", rows), None, [])
    for column in (log.answers, log.same["target"]):
        assert len(set(column.tolist())) == 3
        assert max(map(len, column.tolist())) == 64


def test_half_a_character_stops_nobody(write):
    half = [lm_sample(i, 1, filtered_resps=["\ud83d"], doc={"a": "\ud83d"}) for i in range(2)]
    log = lm_eval(write("half.jsonl", half), None, ["a"])
    assert log.answers[0] == log.answers[1]
    assert log.columns["a"].tolist() == ["?", "?"]
