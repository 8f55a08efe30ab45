"""What moved between two bundles of real runs, changed where a test says so."""

from __future__ import annotations

import json
import re
import shutil

import duckdb
import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from surefoot.bundle import pack_bundle
from surefoot.core.errors import BundleError, MachineError, MismatchError
from surefoot.diff import diff_bundles
from surefoot.plan import read_plan
from surefoot.report.diff import diff_exit_code, diff_lines
from surefoot.run import run_plan

CLASSES = np.array(["x", "y", "z"], np.dtypes.StringDType())


def answers(found, **wanted):
    """The moves of places with these fields."""
    return [m for m in found.answers if all(getattr(m, k) == v for k, v in wanted.items())]


def one(found, candidate="int8", place="main", metric="accuracy"):
    (move,) = answers(found, candidate=candidate, place=place, metric=metric)
    return move


def lose(rows):
    """Makes so many right answers wrong."""

    def change(columns):
        right = np.flatnonzero(columns["correct"])[:rows]
        label = columns["label"][right]
        columns["predicted"][right] = np.where(label == "x", "y", "x").astype(label.dtype)
        columns["correct"][right] = False
        columns["accuracy"][right] = 0

    return change


def win(rows):
    def change(columns):
        wrong = np.flatnonzero(~columns["correct"])[:rows]
        columns["predicted"][wrong] = columns["label"][wrong]
        columns["correct"][wrong] = True
        columns["accuracy"][wrong] = 1

    return change


def test_a_run_beside_itself_is_the_same(then, now):
    found = diff_bundles(then, now)
    assert {move.status for move in found.answers} == {"same"}
    assert {move.status for move in found.budgets} == {"same"}
    assert (found.plan, found.data, found.environment, found.incompatible) == ((), (), (), ())
    # Three candidates on two sets under one shift and none, whole and in a slice, by two metrics.
    assert len(found.answers) == 3 * 2 * 2 * 2 * 2
    assert diff_exit_code(found) == 0
    lines = diff_lines(found)
    assert lines[0] == lines[-1]
    assert lines[0].startswith("SAME  0 of 48 places moved; 0 of ")
    assert "same answers in every place: baseline, same, int8" in lines


def test_answers_are_counted_and_tested_row_by_row(then, now, cell):
    cell(now, "int8", "main", lose(40))
    cell(now, "int8", "main", win(5))
    found = diff_bundles(then, now)
    move = one(found)
    query = (
        "SELECT count(*) FILTER (b.correct AND NOT a.correct), count(*) FILTER (a.correct AND NOT"
        f" b.correct) FROM '{then}/cells/int8/main.parquet' b"
        f" JOIN '{now}/cells/int8/main.parquet' a USING (id)"
    )
    assert (move.lost, move.won) == duckdb.sql(query).fetchall()[0]
    assert move.lost - move.won == 35
    assert move.difference.value == pytest.approx(-35 / 600)
    assert move.difference.low < -35 / 600 < move.difference.high < 0
    assert move.difference.method == "Tango score"
    moved = [m for m in found.answers if m.status != "same"]
    raw = binomtest(move.won, move.lost + move.won).pvalue
    assert raw <= move.p <= raw * len(moved) + 1e-12
    assert move.status == "worse"
    assert diff_exit_code(found) == 1
    line = diff_lines(found)[0]
    assert re.match(r"WORSE  int8: accuracy on main -5\.83 pp \[-\d\.\d\d, -\d\.\d\d\]; ", line)
    assert {m.candidate for m in moved} == {"int8"}
    assert {m.place for m in moved} == {"main", "main [left]"}


def test_more_right_answers_are_better_and_let_pass(then, now, cell):
    cell(now, "int8", "main", win(40))
    found = diff_bundles(then, now)
    assert one(found).status == "better"
    assert diff_exit_code(found) == 0
    assert diff_lines(found)[0].startswith("MOVED  ")


def test_what_might_be_worse_than_the_plan_allows_is_undecided(then, now, cell):
    """Nothing is shown, but a drop of 5 points on 600 rows is ruled out or it is not."""
    cell(now, "int8", "talks", lose(4))
    cell(now, "int8", "talks", win(3))
    found = diff_bundles(then, now)
    assert one(found, place="talks").status == "undecided"
    assert (
        "may be worse by more than the 5 pp that the plan allows" in one(found, place="talks").note
    )
    assert diff_exit_code(found) == 3
    assert diff_lines(found)[0].startswith("UNDECIDED  int8: accuracy on talks")


def test_what_is_ruled_out_let_pass(then, now, cell):
    cell(now, "int8", "main", lose(3))
    found = diff_bundles(then, now)
    assert one(found).status == "moved"
    assert diff_exit_code(found) == 0


def test_another_wrong_answer_moves_and_is_no_worse(then, now, cell):
    def swap(columns):
        wrong = np.flatnonzero(~columns["correct"])[:30]
        taken = columns["label"][wrong], columns["predicted"][wrong]
        columns["predicted"][wrong] = [
            next(c for c in "xyz" if c not in pair) for pair in zip(*taken, strict=True)
        ]

    cell(now, "int8", "main", swap)
    move = one(diff_bundles(then, now))
    assert (move.lost, move.won, move.other, move.status) == (0, 0, 30, "moved")
    assert move.p == 1.0


def test_rows_of_a_speaker_count_as_one(then, now, cell):
    """All rows that are lost are of four speakers: four signs show nothing, twelve rows would."""

    def change(columns):
        speakers = columns["group"]
        few = np.isin(speakers, list(dict.fromkeys(speakers[columns["correct"]]))[:4])
        rows = np.flatnonzero(few & columns["correct"])
        columns["predicted"][rows] = np.where(columns["label"][rows] == "x", "y", "x").astype(
            columns["label"].dtype
        )
        columns["correct"][rows] = False

    cell(now, "int8", "talks", change)
    move = one(diff_bundles(then, now), place="talks")
    assert move.difference.method == "clustered score"
    assert move.p >= 2 * 0.5**4
    assert move.status in ("moved", "undecided")


def test_a_metric_of_each_row_is_compared_beyond_rounding(then, now, cell):
    def shift(by):
        def change(columns):
            columns["log_loss"] = columns["log_loss"] + by

        return change

    cell(now, "int8", "main", shift(5e-5))
    assert one(diff_bundles(then, now), metric="log_loss").status == "same"
    noise = np.random.default_rng(0).normal(0.05, 0.1, 600)
    cell(now, "int8", "main", shift(noise))
    move = one(diff_bundles(then, now), metric="log_loss")
    assert move.status == "worse"  # more of a loss is worse
    assert move.difference.value == pytest.approx(noise.mean(), abs=1e-3)
    assert move.difference.low < move.difference.value < move.difference.high
    cell(now, "int8", "main", shift(-3 * noise))
    assert one(diff_bundles(then, now), metric="log_loss").status == "better"


def test_rows_pair_by_id_whatever_their_order_and_what_is_missing_is_said(then, now, cell):
    def change(columns):
        order = np.random.default_rng(3).permutation(600)[:450]
        return {name: values[order] for name, values in columns.items()}

    for name in ("baseline", "int8", "same"):
        cell(now, name, "main", change)
    move = one(diff_bundles(then, now))
    assert (move.status, move.rows, move.lost, move.won) == ("same", 450, 0, 0)
    assert move.note == "150 rows of then are gone"
    assert one(diff_bundles(now, then)).note == "150 rows of now are new"


def test_a_row_of_another_label_is_left_out(then, now, cell):
    def relabel(columns):
        columns["label"][:7] = np.roll(CLASSES, 1)[np.searchsorted(CLASSES, columns["label"][:7])]

    cell(now, "int8", "main", relabel)
    move = one(diff_bundles(then, now))
    assert move.rows == 593
    assert move.note == "7 rows have another label and are left out"


def test_without_a_shared_id_the_interval_is_wider_and_it_is_said(then, now, cell):
    def rename(columns):
        columns["id"] = np.array([f"new-{i}" for i in columns["id"]], np.dtypes.StringDType())

    cell(now, "int8", "main", lambda c: lose(60)(c) or rename(c))
    cell(now, "int8", "talks", rename)
    found = diff_bundles(then, now)
    move = one(found)
    assert not move.paired
    assert "no id is shared: not paired" in move.note
    assert move.difference.method == "Newcombe hybrid score, not paired"
    right = [round(x * 600) for x in (move.then, move.now)]
    raw = fisher_exact([[k, 600 - k] for k in right]).pvalue
    assert move.p >= raw * 0.999
    shutil.copy(then / "cells" / "same" / "main.parquet", now / "cells" / "same" / "main.parquet")
    cell(now, "same", "main", lose(60))
    paired = one(diff_bundles(then, now), candidate="same")
    width = [m.difference.high - m.difference.low for m in (move, paired)]
    assert width[0] > width[1]
    grouped = one(found, place="talks")
    assert grouped.difference.method == "two intervals, not paired"
    assert grouped.p > 0.5
    assert grouped.difference.low < 0 < grouped.difference.high
    assert any("rows are not paired" in line for line in diff_lines(found))


def test_hashed_evidence_pairs_by_its_salt(made, tmp_path):
    """Two runs of one folder have one salt; without it, nothing pairs."""
    home = made.parents[1]
    for name in ("linear.onnx", "main.csv", "talks.csv", "surefoot.toml"):
        shutil.copy(home / name, tmp_path / name)
    found = []
    for i, batch in enumerate((32, 16)):
        plan = read_plan(
            tmp_path / "surefoot.toml",
            ['evaluate.evidence="hashed"', f"evaluate.batch={batch}", "evaluate.shifts=[]"],
        )
        found.append(run_plan(plan, tmp_path / f"run-{i}")[0].path)
    moves = answers(diff_bundles(*found), metric="accuracy")
    assert {m.paired for m in moves} == {True}
    # Dynamic int8 may depend on the batch; the others do not.
    assert {m.status for m in moves if m.candidate != "int8"} == {"same"}
    assert {m.paired for m in diff_bundles(made, found[0]).answers} == {False}


def test_a_slice_that_was_redrawn_keeps_the_rows_of_both(then, now, cell):
    def redraw(columns):
        columns["slice_left"][:20] = ~columns["slice_left"][:20]

    cell(now, "int8", "main", redraw)
    move = one(diff_bundles(then, now), place="main [left]")
    assert move.note == "20 rows lie in this slice in one version alone"
    assert move.status == "same"


def test_an_outcome_that_got_worse_is_told_with_both_intervals(then, now, told):
    def change(data):
        (verdict,) = (v for v in data["verdicts"] if v["candidate"] == "int8")
        verdict["outcome"] = verdict["findings"][0]["outcome"] = "FAIL"

    told(now, change)
    was = json.loads((then / "verdict.json").read_text())["verdicts"][1]["findings"][0]["outcome"]
    found = diff_bundles(then, now)
    (move,) = (m for m in found.budgets if m.status != "same")
    assert (move.status, move.then.outcome, move.now.outcome) == ("worse", was, "FAIL")
    assert diff_exit_code(found) == 1
    line = diff_lines(found)[0]
    assert line.startswith(f"WORSE  int8: accuracy on main {was} -> FAIL, ")
    (moved,) = (v for v in found.verdicts if v.candidate == "int8" and v.now == "FAIL")
    assert moved.then != "FAIL"


@pytest.mark.parametrize(
    ("old", "new", "status", "code"),
    [
        ("PASS", "INCONCLUSIVE", "undecided", 3),
        ("INCONCLUSIVE", "FAIL", "worse", 1),
        ("FAIL", "INCONCLUSIVE", "moved", 0),
        ("FAIL", "PASS", "better", 0),
        ("FAIL", "FAIL", "same", 0),
    ],
)
def test_each_way_an_outcome_can_go(then, now, told, old, new, status, code):
    for bundle, outcome in ((then, old), (now, new)):
        told(bundle, lambda d, o=outcome: d["verdicts"][1]["findings"][0].update(outcome=o))
    found = diff_bundles(then, now)
    assert next(m for m in found.budgets if m.candidate == "int8").status == status
    assert diff_exit_code(found) == code


def test_a_stricter_limit_is_no_worse_model(then, now, told):
    def change(data):
        finding = data["verdicts"][1]["findings"][0]
        finding.update(outcome="FAIL", limit=-0.001)
        finding["budget"]["max_drop"] = 0.001

    told(now, change)
    told(now, lambda d: d["budgets"][0].update(max_drop=0.001), "plan.json")
    found = diff_bundles(then, now)
    (move,) = (m for m in found.budgets if m.status != "same")
    assert (move.status, move.note) == ("moved", "the limit is another")
    assert diff_exit_code(found) == 0
    (change,) = found.plan
    assert (change.what, change.there, change.here) == (
        "budget accuracy max_drop", "0.05, level 0.95", "0.001, level 0.95",
    )  # fmt: skip


def test_candidates_of_one_version_alone_are_told(then, now, told):
    def rename(data):
        for entry in (data["candidates"][2], data["verdicts"][1]):
            entry["name" if "name" in entry else "candidate"] = "int4"
        for finding in data["comparisons"]:
            finding["candidate"] = finding["candidate"].replace("int8", "int4")

    told(now, rename)
    (now / "cells" / "int8").rename(now / "cells" / "int4")
    found = diff_bundles(then, now)
    rows = {v.candidate: (v.model_then is None, v.model_now is None) for v in found.verdicts}
    assert rows["int4"] == (True, False)
    assert rows["int8"] == (False, True)
    assert not answers(found, candidate="int4")
    assert diff_exit_code(found) == 0
    assert any(re.match(r"int4 +not there -> ", line) for line in diff_lines(found))


def slower(factor, only="int8"):
    def change(data):
        for entry in data["latencies"]:
            if only in (entry["candidate"], None):
                entry["p50_ms"] |= {
                    k: entry["p50_ms"][k] * factor for k in ("value", "low", "high")
                }

    return change


def test_a_candidate_that_is_slower_beside_its_baseline_is_worse(then, now, told):
    told(now, slower(3.0))
    found = diff_bundles(then, now)
    moves = {m.candidate: m for m in found.latencies}
    assert moves["int8"].status == "worse"
    assert moves["int8"].ratio.value == pytest.approx(3.0)
    assert moves["int8"].ratio.low < 3.0 < moves["int8"].ratio.high
    assert diff_exit_code(found) == 1
    assert diff_lines(found)[0].startswith("WORSE  int8: p50 at batch 1 3 [")


def test_a_day_on_which_all_is_slower_is_no_worse_model(then, now, told):
    told(now, slower(3.0, only=None))
    found = diff_bundles(then, now)
    moves = {m.candidate: m for m in found.latencies}
    assert moves["int8"].ratio.value == pytest.approx(3.0)
    assert moves["int8"].beside_baseline.value == pytest.approx(1.0)
    assert moves["int8"].status in ("same", "open")
    assert diff_exit_code(found) == 0


def test_another_baseline_leaves_latencies_open(then, now, told):
    told(now, lambda d: d["candidates"][0].update(fingerprint="f" * 64))
    told(now, slower(3.0))
    moves = {m.candidate: m for m in diff_bundles(then, now).latencies}
    assert moves["int8"].status == "open"
    assert "another baseline" in moves["int8"].note


def test_latencies_of_another_machine_are_not_compared_and_do_not_pass(then, now, told):
    told(now, lambda d: d.update(cpu="Another", cpu_flags=["neon"]), "environment.json")
    found = diff_bundles(then, now)
    assert {m.status for m in found.latencies} == {"not compared"}
    assert {m.note for m in found.latencies} == {"another machine: cpu, cpu_flags"}
    (speedup,) = (m for m in found.budgets if m.candidate == "int8" and m.subject[:7] == "speedup")
    assert speedup.status == "not compared"
    assert diff_exit_code(found) == 4
    assert diff_lines(found)[0].startswith("NOT COMPARABLE")
    assert "budgets on latencies cannot be compared: another machine: cpu" in diff_lines(found)[1]
    assert {m.status for m in found.answers} == {"same"}


def test_without_a_budget_on_latencies_another_machine_may_be_compared(then, now, told):
    told(now, lambda d: d.update(cpu="Another"), "environment.json")
    for bundle in (then, now):
        told(bundle, lambda d: [v["findings"].pop() for v in d["verdicts"]] and None)
    assert diff_exit_code(diff_bundles(then, now)) == 0


def test_another_library_is_told_and_compared(then, now, told):
    told(now, lambda d: d["libraries"].update(onnxruntime="99"), "environment.json")
    found = diff_bundles(then, now)
    assert [c.what for c in found.environment] == ["onnxruntime"]
    assert {m.status for m in found.latencies} <= {"same", "open"}
    assert diff_exit_code(found) == 0
    assert diff_lines(found)[0].startswith("MOVED")


def test_another_test_set_is_told(then, now, told):
    told(now, lambda d: d["rows"].update(main="0" * 64))
    found = diff_bundles(then, now)
    (change,) = found.data
    assert change.what == "main"
    assert change.here == "600 rows 000000000000"
    assert "the test set is another" in one(found).note


def test_an_older_version_that_kept_no_fingerprint_is_compared_by_its_ids(then, now, told):
    told(then, lambda d: d.pop("rows") and d)
    found = diff_bundles(then, now)
    assert found.data == ()
    assert {m.status for m in found.answers} == {"same"}


def test_a_later_use_of_the_test_sets_is_told(then, now, told):
    told(now, lambda d: [v["use"].update(count=3) for v in d["verdicts"]] and None)
    found = diff_bundles(then, now)
    assert [(c.what, c.there, c.here) for c in found.plan] == [("use of the test sets", "1", "3")]
    assert any("a later use of the test sets" in line for line in diff_lines(found))


def test_nothing_in_common_is_not_comparable(then, now, told):
    told(now, lambda d: d["task"].update(kind="text-classification"), "plan.json")
    found = diff_bundles(then, now)
    assert diff_exit_code(found) == 4
    assert found.incompatible[0] == (
        "the task was tabular-classification and is text-classification"
    )
    shutil.rmtree(then / "cells")
    assert diff_exit_code(diff_bundles(then, then)) == 4


def test_worse_outweighs_what_could_not_be_compared(then, now, told, cell):
    told(now, lambda d: d.update(cpu="Another"), "environment.json")
    cell(now, "int8", "main", lose(60))
    assert diff_exit_code(diff_bundles(then, now)) == 1


def test_other_formats_and_missing_environments_are_refused(then, now, told):
    told(now, lambda d: d.update(format=99))
    with pytest.raises(MismatchError, match="format 99"):
        diff_bundles(then, now)
    (then / "environment.json").write_text("{}")
    with pytest.raises(MachineError, match="does not describe an environment"):
        diff_bundles(then, then)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("verdict.json", lambda d: d["candidates"][0].pop("name") and d),
        ("verdict.json", lambda d: d | {"latencies": [7]}),
        ("verdict.json", lambda d: d["comparisons"][0].pop("metric") and d),
        ("verdict.json", lambda d: d["candidates"][1].update(name="../../etc") or d),
        ("plan.json", lambda d: [d]),
        ("plan.json", lambda d: d["budgets"][0].update(max_drop="much") or d),
        ("plan.json", lambda d: d | {"task": 7}),
    ],
)
def test_what_is_not_as_surefoot_writes_it_is_one_error(then, now, told, file, change):
    told(now, change, file)
    with pytest.raises(BundleError):
        diff_bundles(then, now)


@pytest.mark.parametrize("column", ["correct", "id", "predicted"])
def test_a_cell_that_lacks_a_column_is_one_error(then, now, cell, column):
    cell(now, "int8", "main", lambda columns: columns.pop(column) is None or columns)
    with pytest.raises(BundleError, match=rf"int8/main\.parquet: a cell without {column}"):
        diff_bundles(then, now)


def test_the_verb_takes_runs_bundles_and_zip_files(cli, then, now, tmp_path, cell):
    cell(now, "int8", "main", lose(60))
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(then, run / "bundle")
    pack_bundle(now, tmp_path / "now.zip")
    said = cli("diff", "run", "now.zip")
    assert said.code == 1, said.err
    assert said.out.startswith("WORSE  int8: accuracy on main")
    assert said.out.splitlines()[0] == said.out.splitlines()[-1]
    data = json.loads(cli("diff", "run", "now.zip", "--json").out)
    (move,) = (
        a for a in data["answers"]
        if (a["candidate"], a["place"], a["metric"]) == ("int8", "main", "accuracy")
    )  # fmt: skip
    assert (move["lost"], move["status"]) == (60, "worse")
    assert cli("diff", "run", "then").code == 0


def test_the_verb_says_what_it_cannot_read(cli, then, now, told):
    said = cli("diff", "nowhere", "now")
    assert said.code == 2
    assert said.err.startswith("surefoot: nowhere: there is no bundle")
    told(now, lambda d: d.update(format=99))
    said = cli("diff", "then", "now")
    assert said.code == 4
    assert "use the surefoot that wrote it" in said.err


def test_names_of_others_cannot_mislead_the_terminal(cli, then, now, told, cell):
    evil = "<b>\x1b[2J\u202e=cmd|' C'!A0"
    for bundle in (then, now):
        told(bundle, lambda d: json.loads(json.dumps(d).replace('"int8"', json.dumps(evil))))
        (bundle / "cells" / "int8").rename(bundle / "cells" / evil)
    told(now, lambda d: d["task"].update(name=evil), "plan.json")
    told(now, lambda d: d["libraries"].update({evil: evil}), "environment.json")
    cell(now, evil, "main", lose(60))
    said = cli("diff", "then", "now")
    assert said.code == 1
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert r"\x1b[2J\u202e" in said.out
    told_json = cli("diff", "then", "now", "--json").out
    assert "\x1b" not in told_json
    assert "\u202e" not in told_json
