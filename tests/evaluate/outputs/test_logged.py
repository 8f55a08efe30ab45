"""Two logs against each other; a log itself is tested in `logs/`."""

import json
from pathlib import Path

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.errors import DataError
from surefoot.core.evidence import Budget
from surefoot.evaluate.outputs.logged import compare_logs, compare_outputs, kind_of
from surefoot.gate import gate_evidence
from surefoot.gate.questions import Questions
from surefoot.gate.verdict import estimated, intervals

WRITTEN = Path(__file__).parents[1] / "logs" / "written"


def sample(i, value, metric="exact_match", **more):
    return {
        "doc_id": i,
        "doc": {"passage": i // 5, "lang": ["es", "en"][i % 2], "number": i},
        "target": "yes",
        "resps": [["x"]],
        "filtered_resps": [f"said {value}"],
        "filter": "none",
        "metrics": [metric],
        "doc_hash": f"doc {i}",
        "prompt_hash": f"prompt {i}",
        metric: value,
    } | more


@pytest.fixture
def logs(tmp_path):
    """Two logs of lm-evaluation-harness with these values of their samples."""

    def write(before, after, metric="exact_match", **more):
        files = tmp_path / "base.jsonl", tmp_path / "candidate.jsonl"
        for file, values, extra in zip(files, (before, after), ({}, more), strict=True):
            rows = [sample(i, v, metric, **extra) for i, v in enumerate(values)]
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return files

    return write


@pytest.fixture
def epochs(tmp_path):
    """Two logs of Inspect; `before` and `after` are (questions, epochs) scores."""

    def write(before, after):
        files = tmp_path / "before.json", tmp_path / "after.json"
        for file, values in zip(files, (before, after), strict=True):
            samples = [
                {"id": i, "epoch": e + 1, "input": f"q{i}", "target": "t",
                 "scores": {"match": {"value": float(value)}}}
                for i, row in enumerate(values) for e, value in enumerate(row)
            ]  # fmt: skip
            spec = {"task": "sums", "dataset": {"samples": len(values)}}
            spec["config"] = {"epochs": len(values[0])}
            log = {"version": 2, "status": "success", "eval": spec, "samples": samples}
            file.write_text(json.dumps(log))
        return files

    return write


def judged(compared, margin, **where):
    budget = Budget(quantity=compared.metric, max_drop=margin, **where)
    (verdict,) = gate_evidence(compared.evidence, [budget])
    return verdict.findings[0]


def drawn(n, seed=0):
    """Scores like F1, a little lower after; and which passage a row is of."""
    rng = np.random.default_rng(seed)
    passages = np.arange(n) // 5
    shared = rng.normal(0, 0.08, n)[passages]
    before = np.clip(rng.beta(4, 2, n), 0, 1)
    after = np.clip(before + shared + rng.normal(-0.01, 0.1, n), 0, 1)
    return before, after, passages


def test_right_or_wrong_answers_are_counted_exactly(logs):
    before = [1] * 60 + [0] * 40
    after = [1] * 55 + [0] * 5 + [1] * 3 + [0] * 37
    compared = compare_logs(*logs(before, after))
    (paired,) = compared.evidence.paired
    assert (paired.n, paired.lost, paired.won, paired.other) == (100, 5, 3, 0)
    assert (paired.baseline, paired.value, paired.difference) == (0.6, 0.58, None)
    finding = judged(compared, 0.1)
    assert finding.subject == "exact_match on base"
    assert finding.estimate.method == "Tango score"


def test_the_interval_of_a_difference_is_that_of_statsmodels(logs):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    before, after, _ = drawn(400)
    compared = compare_logs(*logs(before, after, "f1"))
    finding = judged(compared, 0.05)
    theirs = weightstats.DescrStatsW(after - before)
    assert finding.estimate.value == pytest.approx(theirs.mean, abs=1e-12)
    low, high = theirs.tconfint_mean(alpha=1 - finding.estimate.level)
    assert finding.estimate.method == "paired t"
    # An end may be moved out as the skewness says, never in.
    assert low - 0.05 * (high - low) < finding.estimate.low <= low + 1e-9
    assert high - 1e-9 <= finding.estimate.high < high + 0.05 * (high - low)


def test_the_interval_of_groups_is_that_of_statsmodels(logs):
    api = pytest.importorskip("statsmodels.api")
    before, after, passages = drawn(400)
    finding = judged(compare_logs(*logs(before, after, "f1"), group="passage"), 0.05)
    fitted = api.OLS(after - before, np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": passages}, use_t=True
    )
    low, high = fitted.conf_int(alpha=1 - finding.estimate.level)[0]
    assert finding.estimate.value == pytest.approx(float(fitted.params[0]), abs=1e-12)
    assert (finding.estimate.low, finding.estimate.high) == pytest.approx((low, high), abs=2e-3)
    alone = judged(compare_logs(*logs(before, after, "f1")), 0.05).estimate
    assert finding.estimate.high - finding.estimate.low > 1.2 * (alone.high - alone.low)


def test_groups_of_right_or_wrong_answers_take_the_clustered_score(logs):
    rng = np.random.default_rng(1)
    before, after = (rng.random((2, 300)) < 0.8).astype(int).tolist()
    compared = compare_logs(*logs(before, after), group="passage")
    assert judged(compared, 0.2).estimate.method == "clustered score"
    assert not compared.no_flips


@pytest.mark.parametrize("group", [None, "passage"])
@pytest.mark.parametrize("scale", [1, 100])
def test_an_accuracy_in_percent_is_not_taken_for_right_or_wrong(logs, group, scale):
    """Each row is the mean of ten answers: as shares, or in percent; the ends scale with it."""
    rng = np.random.default_rng(5)
    before = rng.binomial(10, 0.8, 200) / 10
    after = np.clip(before + rng.integers(-2, 3, 200) / 10, 0, 1)
    ends = {}
    for metric, by in (("accuracy", scale), ("f1", 1)):
        compared = compare_logs(*logs((before * by).tolist(), (after * by).tolist(), metric),
                                group=group)  # fmt: skip
        (question,) = Questions(compared.evidence).drops("candidate", metric)
        assert not question.sample.answers
        found = intervals([question], np.array([0.95]))[0]
        ends[metric] = found / by
        shown = estimated(question, found.tolist(), 0.95)
        assert (shown.low, shown.high) == pytest.approx((found[1], found[2]))
    assert ends["accuracy"] == pytest.approx(ends["f1"])


def test_epochs_of_a_question_are_one_value(epochs):
    rng = np.random.default_rng(2)
    ability = rng.beta(3, 1, 80)
    before, after = (rng.random((2, 80, 4)) < ability[:, None]).astype(int)
    compared = compare_logs(*epochs(before, after))
    (paired,) = compared.evidence.paired
    assert paired.n == 80
    means = after.mean(axis=1) - before.mean(axis=1)
    ids = [str(i) for i in range(80)]  # they are sorted as texts
    assert paired.difference == pytest.approx(means[[int(i) for i in sorted(ids)]])
    assert "several epochs count as one" in " ".join(compared.notes)
    # Were each answer a row of its own, the interval would be of 320 independent ones.
    assert judged(compared, 0.1).estimate.n == 80


def test_epochs_as_one_value_release_as_seldom_as_they_should():
    """A question decides most of its four answers; the true drop is the margin."""
    rng, (questions, runs) = np.random.default_rng(3), (120, 2_000)
    ability = rng.choice([0.05, 0.95], (runs, questions))
    spoilt = (ability > 0.5) & (rng.random((runs, questions)) < 0.2)
    chances = np.stack([ability, np.where(spoilt, 0.05, ability)])
    margin = 0.5 * 0.2 * 0.9
    before, after = (rng.random((2, 4, runs, questions)) < chances[:, None]).astype(int)
    as_one = stats.mean_p_value(after.mean(axis=0) - before.mean(axis=0), margin=margin)
    lost, won = (before > after).sum(axis=(0, 2)), (after > before).sum(axis=(0, 2))
    as_rows = stats.noninferiority(lost, won, 4 * questions, margin)
    # The figures of docs/measured.md; the standard error at 5 % is half a point.
    assert (as_one <= 0.05).mean() == pytest.approx(0.052, abs=1e-3)
    assert (as_rows <= 0.05).mean() == pytest.approx(0.145, abs=1e-3)


def test_a_question_asked_once_and_often_is_said(epochs):
    before, after = np.ones((5, 1)), np.ones((5, 3))
    notes = compare_logs(*epochs(before, after)).notes
    assert notes[0] == "the runs differ in epochs (1 before, 3 now)"


def test_slices_by_value_in_the_columns_of_the_samples(logs):
    compared = compare_logs(*logs([1] * 10, [0] + [1] * 9), slices=["lang", "passage"])
    found = {p.slice: (p.n, p.lost) for p in compared.evidence.paired}
    assert found == {
        None: (10, 1), "lang=en": (5, 0), "lang=es": (5, 1), "passage=0": (5, 1),
        "passage=1": (5, 0),
    }  # fmt: skip
    with pytest.raises(DataError, match="column 'number' has more than 100 values"):
        compare_logs(*logs([1] * 101, [1] * 101), slices=["number"])


def test_a_metric_that_is_better_low_may_not_rise(tmp_path, logs):
    rng = np.random.default_rng(4)
    before = rng.beta(2, 5, 300)
    files = logs(before, np.clip(before + 0.2, 0, 1), "wer")
    renamed = []
    for i, file in enumerate(files):
        date = f"2026-01-0{i + 1}T00-00-00.000000"
        results = {"higher_is_better": {"asr": {"wer": False}}}
        (tmp_path / f"results_{date}.json").write_text(json.dumps(results))
        renamed.append(file.rename(tmp_path / f"samples_asr_{date}.jsonl"))
    compared = compare_logs(*renamed)
    assert compared.evidence.paired[0].lost == 300
    finding = judged(compared, 0.1)
    assert (finding.outcome, finding.limit) == ("FAIL", 0.1)
    assert finding.estimate.value == pytest.approx(0.2, abs=0.02)
    back = compare_logs(*reversed(renamed))
    assert judged(back, 0.1).outcome == "PASS"


def test_a_score_beyond_one_has_no_bound(logs):
    compared = compare_logs(*logs([1.0, 7.0, 3.0], [2.0, 6.0, 3.0], "stars"))
    assert compared.evidence.paired[0].span == float("inf")
    assert "not right or wrong by 'stars'" in compared.no_flips


def test_wrong_answers_that_differ_are_told_where_there_are_answers(logs):
    base, candidate = logs([1, 0, 0], [1, 0, 0])
    text = candidate.read_text().splitlines()
    text[2] = text[2].replace("said 0", "said another")
    candidate.write_text("\n".join(text))
    compared = compare_logs(base, candidate)
    assert (compared.evidence.paired[0].other, compared.no_flips) == (1, "")
    silent = compare_logs(*logs([1, 0], [1, 0], filtered_resps=[["a", "b"]]))
    assert "do not hold the answers that 'exact_match' looked at" in silent.no_flips


def test_other_prompts_and_settings_are_said(logs):
    compared = compare_logs(*logs([1, 0, 1], [1, 0, 1], prompt_hash="chat"))
    (note,) = compared.notes
    assert note.startswith("3 of 3 prompts differ, the first that of '0': what is compared is")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"doc_hash": "other"}, "3 of 3 samples have another doc than in the baseline's log"),
        ({"target": "no"}, "3 of 3 samples have another target .* the first is '0'; run both"),
        ({"filter": "strict"}, None),
    ],
)
def test_samples_that_are_not_the_same_are_refused(logs, more, said):
    files = logs([1, 0, 1], [1, 0, 1], **more)
    if said is None:  # a single filter needs no name
        assert compare_logs(*files).metric == "exact_match"
        return
    with pytest.raises(DataError, match=said):
        compare_logs(*files)


def test_missing_samples_are_counted_and_named(logs):
    base, candidate = logs([1, 0, 1], [1, 0])
    with pytest.raises(DataError, match=r"base\.jsonl: 1 of 3 samples are not in .* is '2'"):
        compare_logs(base, candidate)
    with pytest.raises(DataError, match=r"base\.jsonl: 1 of 3 samples are not in"):
        compare_logs(candidate, base)


def test_all_settings_that_differ_are_named_at_once(tmp_path, logs):
    files = []
    for i, file in enumerate(logs([1, 0], [1, 0])):
        date = f"2026-01-0{i + 1}T00-00-00.000000"
        results = {"versions": {"gsm8k": 2.0 + i}, "n-shot": {"gsm8k": 5 * i}}
        (tmp_path / f"results_{date}.json").write_text(json.dumps(results))
        files.append(file.rename(tmp_path / f"samples_gsm8k_{date}.jsonl"))
    said = (
        r"num_fewshot of gsm8k \(0 before, 5 now\); version of gsm8k \(2\.0 before, 3\.0 now\); run"
    )
    with pytest.raises(DataError, match=said):
        compare_logs(*files)


def test_a_log_and_something_else_are_refused(tmp_path, logs):
    base, _ = logs([1], [1])
    rows = tmp_path / "rows.csv"
    rows.write_text("id,label,predicted\n1,a,a\n")
    with pytest.raises(DataError, match=r"rows\.csv: is no log, and .* is a log of lm_eval; comp"):
        compare_outputs(base, rows)
    with pytest.raises(DataError, match=r"is a log of inspect_ai, and .* is a log of lm_eval"):
        compare_outputs(base, WRITTEN / "base.eval")
    with pytest.raises(DataError, match="a file of predictions has accuracy alone; leave --metric"):
        compare_outputs(rows, rows, metric="f1")
    assert compare_outputs(rows, rows).metric == "accuracy"
    assert kind_of(rows) is None


def test_logs_that_the_tools_wrote_pair_by_themselves():
    compared = compare_logs(WRITTEN / "base.eval", WRITTEN / "two_epochs.eval")
    assert compared.metric == "match"
    assert compared.evidence.paired[0].n == 12
    base, candidate = (
        next((WRITTEN / f"lm_eval_{name}").glob("samples_toy_anatomy*"))
        for name in ("base", "candidate")
    )
    compared = compare_logs(base, candidate, slices=["subject"])
    assert compared.evidence.candidates == ("dummy-2",)
    assert [p.slice for p in compared.evidence.paired] == [None, "subject=anatomy"]
    assert compared.notes == ()
