import json

import pytest

from surefoot.core.errors import DataError
from surefoot.evaluate.logs.every_eval_ever import every_eval_ever, recognises


def eee_record(number, score, name="mmlu_physics", **more):
    """An instance-level record of Every Eval Ever's schema 0.3.0."""
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "mmlu/small/1",
        "model_id": "org/small",
        "evaluation_name": name,
        "sample_id": str(number),
        "sample_hash": f"{name} {number}",
        "interaction_type": "single_turn",
        "input": {"raw": f"question {number}", "reference": ["yes"]},
        "output": {"raw": ["yes"]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": f"answer {score}",
                "extraction_method": "regex",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": score, "is_correct": score == 1},
        "metadata": {"difficulty": "hard"},
    } | more


def aggregate(path, names=("mmlu_physics",), *, lower=False):
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "mmlu/small/1",
        "source_metadata": {"source_type": "evaluation_run"},
        "eval_library": {"name": "lm_eval", "version": "0.4.13"},
        "evaluation_results": [
            {
                "evaluation_name": name,
                "metric_config": {"lower_is_better": lower},
                "generation_config": {"generation_args": {"temperature": 0.0}},
            }
            for name in names
        ],
        "detailed_evaluation_results": {"format": "jsonl", "file_path": path},
    }


def test_records_become_columns(write):
    rows = [eee_record(i, i % 2) for i in range(4)]
    file = write("run.jsonl", rows)
    assert recognises(file)
    log = every_eval_ever(file, None, ["difficulty", "task"])
    assert (log.metric, log.task, log.model) == ("score", "mmlu_physics", "org/small")
    assert log.values.tolist() == [0, 1, 0, 1]
    assert log.answers.tolist() == ["answer 0", "answer 1"] * 2
    assert log.columns["difficulty"].tolist() == ["hard"] * 4
    assert log.same["target"][0] == '["yes"]'
    assert every_eval_ever(file, "is_correct", []).values.tolist() == [0, 1, 0, 1]


def test_the_aggregate_leads_to_its_samples_and_says_the_direction(write):
    rows = [eee_record(i, 0.5) for i in range(3)]
    write("run_samples.jsonl", rows)
    file = write("run.json", aggregate("data/mmlu/org/run_samples.jsonl", lower=True))
    assert recognises(file)
    log = every_eval_ever(file, None, [])
    assert not log.higher_is_better
    assert log.conditions["eval_library version"] == "0.4.13"
    assert "0.0" in log.conditions["generation_config of mmlu_physics"]
    beside = every_eval_ever(file.with_name("run_samples.jsonl"), None, [])
    assert (beside.higher_is_better, beside.settings) == (False, log.settings)


def test_other_results_of_the_same_evaluation_have_no_say(write):
    """An aggregate may hold a loss beside the accuracy that the samples are of."""
    rows = [eee_record(i, i % 2, evaluation_result_id="accuracy") for i in range(4)]
    file = write("run_samples.jsonl", rows)
    whole = aggregate("data/mmlu/org/small/run_samples.jsonl", ("mmlu_physics", "mmlu_physics"))
    for one, name in zip(whole["evaluation_results"], ("accuracy", "log_loss"), strict=True):
        one["evaluation_result_id"] = name
        one["metric_config"]["lower_is_better"] = name == "log_loss"
    file.with_name("run.json").write_text(json.dumps(whole))
    assert every_eval_ever(file, None, []).higher_is_better
    for one in whole["evaluation_results"]:  # without ids all of them count
        del one["evaluation_result_id"]
    file.with_name("run.json").write_text(json.dumps(whole))
    with pytest.raises(DataError, match="larger is better"):
        every_eval_ever(file, None, [])


def test_a_mean_over_opposite_directions_is_refused(write):
    names = ("mmlu_law", "mmlu_physics")
    rows = [eee_record(i, 0.5, name) for name in names for i in range(3)]
    whole = aggregate("run_samples.jsonl", names)
    whole["evaluation_results"][1]["metric_config"]["lower_is_better"] = True
    write("run_samples.jsonl", rows)
    file = write("run.json", whole)
    with pytest.raises(DataError) as error:
        every_eval_ever(file, None, [])
    assert "larger is better for 'mmlu_law' and worse for 'mmlu_physics'" in str(error.value)
    assert "choose one evaluation with --metric" in str(error.value)
    assert every_eval_ever(file, "mmlu_law", []).higher_is_better
    assert not every_eval_ever(file, "mmlu_physics", []).higher_is_better
    # One that says nothing agrees with whatever the other says.
    whole["evaluation_results"][0]["metric_config"] = {}
    assert not every_eval_ever(write("run.json", whole), None, []).higher_is_better


def test_subtasks_are_slices_though_their_ids_are_the_same(write):
    rows = [eee_record(i, 1, name) for name in ("mmlu_law", "mmlu_physics") for i in range(3)]
    log = every_eval_ever(write("run.jsonl", rows), None, ["task"])
    assert (log.task, len(set(log.ids.tolist()))) == ("2 tasks", 6)
    assert log.columns["task"].tolist() == ["mmlu_law"] * 3 + ["mmlu_physics"] * 3


def test_epochs_of_metadata_are_several_values_of_one_sample(write):
    rows = [eee_record(0, i, metadata={"epoch": str(i)}) for i in range(2)]
    log = every_eval_ever(write("run.jsonl", rows), None, [])
    assert log.ids.tolist() == ["mmlu_physics/0"] * 2


def test_one_of_several_results_of_a_sample(write):
    rows = [
        eee_record(i, score, evaluation_result_id=result)
        for result, score in (("gsm8k/strict", 0), ("gsm8k/loose", 1))
        for i in range(2)
    ]
    file = write("run.jsonl", rows)
    assert every_eval_ever(file, "gsm8k/loose", []).values.tolist() == [1, 1]
    with pytest.raises(DataError, match=r":3: sample '0' has several results: gsm8k/strict, gsm8k"):
        every_eval_ever(file, None, [])


def test_filters_under_two_names_do_not_count_a_question_twice(write):
    rows = [eee_record(0, 1, name, sample_hash="one") for name in ("gsm8k/strict", "gsm8k/loose")]
    file = write("run.jsonl", rows)
    with pytest.raises(DataError, match="several results: gsm8k/strict, gsm8k/loose; choose one"):
        every_eval_ever(file, None, [])
    assert len(every_eval_ever(file, "gsm8k/strict", []).ids) == 1


@pytest.mark.parametrize(
    ("rows", "metric", "said"),
    [
        ([eee_record(0, 1)] * 2, None, ":2: sample '0' is given twice"),
        ([eee_record(0, 1, error="timeout\nmore")], None, "sample '0' ended in an error: timeout;"),
        ([eee_record(0, 1, evaluation=None)], None, ":1: has no evaluation"),
        ([eee_record(0, 1)], "acuracy", "no metric 'acuracy'.*score, is_correct"),
        (
            [eee_record(0, 1), eee_record(1, None)],
            None,
            "1 of 2 samples have no number for 'score', the first is 'mmlu_physics/1'",
        ),
    ],
)
def test_bad_records_are_one_clear_line(write, rows, metric, said):
    with pytest.raises(DataError, match=said) as caught:
        every_eval_ever(write("run.jsonl", rows), metric, [])
    assert "\n" not in str(caught.value)


def test_an_aggregate_without_its_samples(write):
    lost = write("lost.json", aggregate("data/x/gone.jsonl"))
    with pytest.raises(DataError, match=r"its samples, gone\.jsonl, are not beside it"):
        every_eval_ever(lost, None, [])
    content = aggregate("x")
    del content["detailed_evaluation_results"]
    with pytest.raises(DataError, match=r"names no file of them; name the \.jsonl"):
        every_eval_ever(write("none.json", content), None, [])
