"""What moved between two versions, in words: the summary, its exit code, and each table."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.report.test_terminal import finding

from surefoot.core.diff import USE, AnswersMove, BudgetMove, Diff, LatencyMove, VerdictMove
from surefoot.core.drift import Change
from surefoot.core.estimate import Estimate
from surefoot.report.diff import MOST_PLACES, ORDER, diff_exit_code, diff_lines

HARM = "\x1b[2J\u202emain\nSAME  all is well"
FIELDS = ("plan", "data", "environment", "verdicts", "budgets", "answers", "latencies")


def diff(**found):
    return Diff(**dict.fromkeys(FIELDS, ()) | found)


def spread(value, low, high):
    return Estimate(value=value, low=low, high=high, level=0.95, method="exact McNemar", n=100)


def answers(status="worse", **changes):
    known = {
        "candidate": "int8", "place": "main", "metric": "accuracy", "rows": 1200, "lost": 30,
        "won": 6, "other": 2, "then": 0.9, "now": 0.88, "difference": spread(-0.02, -0.03, -0.01),
        "p": 0.0123,
    }  # fmt: skip
    return AnswersMove(**known | {"status": status} | changes)


def budget(status="worse", old="PASS", new="FAIL", **changes):
    known = {"candidate": "int8", "subject": "accuracy on main"}
    both = {"then": finding(outcome=old), "now": finding(-0.05, outcome=new)}
    return BudgetMove(**known | both | {"status": status} | changes)


def latency(status="worse", **changes):
    known = {
        "candidate": "int8",
        "batch": 8,
        "ratio": spread(1.25, 1.2, 1.3),
        "beside_baseline": spread(1.5, 1.4, 1.6),
    }
    return LatencyMove(**known | {"status": status} | changes)


def rows(lines, start):
    """The cells of the table whose header begins so, blanks between columns dropped."""
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(start))
    end = lines.index("", at)
    return [" ".join(line.split()) for line in lines[at + 2 : end]]


@pytest.mark.parametrize(
    ("found", "code", "word"),
    [
        (diff(answers=(answers("same"),)), 0, "SAME"),
        (diff(answers=(answers("moved"),)), 0, "MOVED"),
        (diff(answers=(answers("better"),)), 0, "MOVED"),
        (diff(answers=(answers("worse"),)), 1, "WORSE"),
        (diff(budgets=(budget("worse"),)), 1, "WORSE"),
        (diff(latencies=(latency("worse"),)), 1, "WORSE"),
        (diff(latencies=(latency("open"),)), 0, "SAME"),
        (diff(answers=(answers("undecided"),)), 3, "UNDECIDED"),
        (diff(answers=(answers("undecided"), answers("worse"))), 1, "WORSE"),
        (diff(answers=(answers("same"),), incompatible=("another task",)), 4, "NOT COMPARABLE"),
        (diff(answers=(answers("undecided"),), incompatible=("x",)), 4, "NOT COMPARABLE"),
        (diff(answers=(answers("worse"),), incompatible=("x",)), 1, "WORSE"),
        (diff(plan=(Change(what="alpha", there="0.05", here="0.1"),)), 0, "MOVED"),
        (diff(environment=(Change(what="numpy", there="2.0", here="2.1"),)), 0, "MOVED"),
        (diff(), 0, "SAME"),
    ],
)
def test_the_word_and_the_code_are_those_of_the_worst(found, code, word):
    assert diff_exit_code(found) == code
    lines = diff_lines(found)
    assert lines[0] == lines[-1]
    assert lines[0].startswith(f"{word}  ")


def test_nothing_at_all_is_said_to_be_nothing():
    assert diff_lines(diff()) == ["SAME  nothing to compare", "", "SAME  nothing to compare"]


def test_the_summary_counts_places_and_budgets_and_names_the_worst():
    statuses = ["worse", "worse", "better", "moved", "undecided", "not compared", "same", "same"]
    found = diff(
        answers=tuple(
            answers(s, place=f"set{i}", p=0.04 / (i + 1)) for i, s in enumerate(statuses)
        ),
        budgets=(budget("same"), budget("not compared")),
    )
    assert diff_lines(found)[0] == (
        "WORSE  int8: accuracy on set1 -2.00 pp [-3.00, -1.00]; 5 of 8 places moved:"
        " 2 worse, 1 undecided, 1 better, 1 not compared; 0 of 2 budgets moved: 1 not compared"
    )


def test_a_budget_is_quoted_before_a_place_and_a_place_before_a_latency():
    every = {"budgets": (budget(),), "answers": (answers(),), "latencies": (latency(),)}
    quoted = "int8: accuracy on main PASS -> FAIL, -5.0 pp [-2.0, +0.2]"
    assert quoted in diff_lines(diff(**every))[0]
    assert "int8: accuracy on main -2.00 pp" in diff_lines(diff(**every | {"budgets": ()}))[0]
    only = diff_lines(diff(latencies=every["latencies"]))[0]
    assert only == "WORSE  int8: p50 at batch 8 1.25 [1.2, 1.3] x"


def test_a_budget_of_one_version_alone_is_not_quoted():
    found = diff(budgets=(budget(then=None), budget(candidate="int4")))
    assert diff_lines(found)[0].startswith("WORSE  int4: accuracy on main PASS -> FAIL")


def test_changes_of_plan_data_and_environment_have_a_table_each():
    change = Change(what="alpha", there="0.05", here="0.1")
    found = diff(plan=(change,), data=(replace(change, what="main"),), environment=(change,))
    lines = diff_lines(found)
    heads = [line.split()[0] for line in lines if line.endswith("now")]
    assert heads == ["plan", "test", "environment"]
    assert rows(lines, "test set") == ["main 0.05 0.1"]


def test_answers_that_moved_stand_in_order_with_their_counts():
    found = diff(answers=tuple(answers(s, place=s.replace(" ", "-")) for s in reversed(ORDER)))
    *table, same = rows(diff_lines(found), "candidate")
    assert same == "same answers: int8 on same (n=1,200)"
    assert [line.split(" int8 ")[0] for line in table] == [s for s in ORDER if s != "same"]
    assert table[0] == (
        "worse int8 worse accuracy 1,200 30/6/2 0.9000 -> 0.8800 -2.00 pp [-3.00, -1.00] 0.012"
    )


def test_places_that_could_not_be_compared_show_no_numbers():
    bare = answers("not compared", rows=0, difference=None, note="no id is shared")
    (line,) = rows(diff_lines(diff(answers=(bare,))), "candidate")
    assert line == "not compared int8 main accuracy no id is shared"


def test_rows_that_are_not_paired_are_not_counted_one_by_one():
    (line,) = rows(diff_lines(diff(answers=(answers(paired=False),))), "candidate")
    assert "30/6/2" not in line
    assert "1,200" in line
    said = "where no id is shared, the change has a wider interval: rows are not paired"
    assert said in diff_lines(diff(answers=(answers(paired=False),)))
    assert said not in diff_lines(diff(answers=(answers(),)))


def test_other_metrics_are_no_percentage_points():
    loss = answers(metric="log_loss", difference=spread(0.0123, -0.0, math.inf))
    assert "log_loss on main +0.0123 [+0, none]" in diff_lines(diff(answers=(loss,)))[0]


def test_candidates_whose_answers_are_all_the_same_share_a_line():
    found = diff(
        answers=(
            *(answers("same", candidate=name) for name in ("a", "b")),
            *(answers("same", place=f"p{i}") for i in range(MOST_PLACES + 2)),
            answers("worse", place="p99"),
        )
    )
    lines = diff_lines(found)
    assert "same answers in every place: a, b" in lines
    (line,) = (line for line in lines if line.startswith("same answers: int8 on "))
    assert line.startswith("same answers: int8 on p0 (n=1,200), p1 (n=1,200), ")
    assert line.endswith(f"p{MOST_PLACES - 1} (n=1,200) and 2 more")


def test_budgets_that_stayed_are_counted_and_those_that_moved_shown():
    moves = [budget("same")] * 3 + [
        budget("not compared", now=None, note="not judged any more"),
        budget("better", "FAIL", "PASS"),
    ]
    lines = diff_lines(diff(budgets=tuple(moves)))
    table = rows([*lines[: lines.index("3 budgets have the outcome that they had")], ""], "candid")
    assert table[0].startswith("better int8 accuracy on main FAIL -0.9 pp")
    assert table[1].endswith("allowed -1.0 pp not judged any more")


@pytest.mark.parametrize(("count", "said"), [(1, "1 budget has"), (2, "2 budgets have")])
def test_one_budget_is_one(count, said):
    lines = diff_lines(diff(budgets=(budget("same"),) * count))
    assert f"{said} the outcome that {'it' if count == 1 else 'they'} had" in lines


def test_models_say_what_they_were_and_are():
    print_ = "0123456789abcdef"
    stayed = {"model_then": print_, "model_now": print_, "bytes_then": 5_000_000,
              "bytes_now": 5_000_000, "runtime_then": "onnx", "runtime_now": "onnx"}  # fmt: skip
    moves = (
        VerdictMove(candidate="baseline", **stayed),
        VerdictMove(candidate="int8", then="PASS", now="FAIL", **stayed | {"bytes_now": 4_000_000}),
        VerdictMove(candidate="new", now="PASS", model_now=print_, bytes_now=1, runtime_now="onnx"),
    )
    assert rows(diff_lines(diff(verdicts=moves)), "candidate") == [
        "baseline 0123456789ab 5 onnx",
        "int8 PASS -> FAIL 0123456789ab 5 -> 4 onnx",
        "new not there -> PASS none -> 0123456789ab none -> 1e-06 none -> onnx",
    ]
    assert diff_lines(diff(verdicts=moves))[0].startswith("MOVED  ")
    assert diff_lines(diff(verdicts=moves[:1]))[0].startswith("SAME  ")


def test_latencies_show_both_ratios_or_why_there_is_none():
    bare = latency("not compared", ratio=None, beside_baseline=None, note="another machine: cpu")
    table = rows(diff_lines(diff(latencies=(latency("better"), bare))), "candidate")
    assert table == [
        "better int8 8 1.25 [1.2, 1.3] x 1.5 [1.4, 1.6] x",
        "not compared int8 8 another machine: cpu",
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (diff(answers=(answers("worse"), answers("moved"))), "for all 2 places that moved"),
        (diff(plan=(Change(what=USE, there="1", here="2"),)), "is allowed less error"),
        (diff(answers=(answers("undecided"),)), "a drop beyond what the plan allows is not ruled"),
    ],
)
def test_what_a_reader_must_know_is_said_only_where_it_matters(found, said):
    assert sum(said in line for line in diff_lines(found)) == 1
    assert not any(said in line for line in diff_lines(diff(answers=(answers("same"),))))


def test_words_of_others_stay_on_their_line():
    change = Change(what=HARM, there=HARM, here=HARM)
    names = {"candidate": HARM, "note": HARM}
    found = diff(
        plan=(change,), environment=(change,), incompatible=(HARM,),
        answers=(answers(place=HARM, **names), answers("same", candidate=HARM, place=HARM)),
        budgets=(budget(subject=HARM, **names),), latencies=(latency(**names),),
        verdicts=(VerdictMove(candidate=HARM, model_now=HARM, runtime_now=HARM, bytes_now=1),),
    )  # fmt: skip
    lines = diff_lines(found)
    assert not any("\x1b" in line or "\u202e" in line for line in lines)
    assert not any(line.startswith("SAME") for line in lines)
    assert lines[0].startswith("WORSE  \\x1b[2J")
    assert any(line.startswith("not comparable: \\x1b[2J") for line in lines)
