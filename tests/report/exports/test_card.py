"""The card for people part by part: each number as the bundle has it, and each gap said."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Use
from surefoot.core.markdown import escaped
from surefoot.core.release import Figure
from surefoot.report import card
from surefoot.report.terminal import amount, limit

TIMED = Estimate(value=2.0, low=1.5, high=2.5, level=0.95, method="order statistics", n=40)


def figure(quantity="p50_ms", **changes):
    estimate = replace(TIMED, **changes)
    return Figure(model="same", quantity=quantity, estimate=estimate, lower_is_better=True, batch=1)


def cells(lines):
    """The cells of a table's rows, without header and rule."""
    rows = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "2 [1.5, 2.5] ms"),
        ({"high": math.inf}, "at least 1.5 ms: too few calls for an upper end"),
        ({"low": -math.inf}, "too little was measured for an interval"),
        ({"low": -math.inf, "high": math.inf}, "too little was measured for an interval"),
        ({"method": "exact"}, "2 ms"),
    ],
)
def test_a_number_is_told_with_the_ends_that_it_has(changes, text):
    assert card.figure_text(figure(**changes)) == text
    bare = card.figure_text(figure("log_loss", **changes))
    assert bare == text.replace(" ms", "")


@pytest.mark.parametrize(
    ("level", "text"), [(0.95, "95 % t"), (0.9696, "96.96 % t"), (0.9, "90 % t")]
)
def test_a_method_is_told_with_its_level(level, text):
    assert card.method_text(replace(TIMED, level=level, method="t")) == text
    assert card.method_text(replace(TIMED, level=level, method="exact")) == "exact"


def test_each_budget_has_the_numbers_that_the_terminal_has(release, ruined):
    for one in (release, ruined):
        rows = cells(card.budgets_part(one))
        for row, finding in zip(rows, one.verdict.findings, strict=True):
            told = [finding.outcome, finding.subject, amount(finding), limit(finding)]
            assert row[:4] == list(map(escaped, told))
            assert row[4] == f"{finding.estimate.n:,}"
            assert row[5] == card.method_text(finding.estimate)


def test_each_figure_stands_beside_that_of_the_baseline(ruined):
    theirs = {(f.quantity, f.where): f for f in ruined.of(ruined.baseline)}
    rows = cells(card.figures_part(ruined))
    own = ruined.of(ruined.candidate)
    assert len(rows) == len(own)
    for row, f in zip(rows, own, strict=True):
        beside = theirs.get((f.quantity, f.where))
        assert row[:2] == [escaped(f.quantity), escaped(f.where or "everywhere")]
        assert row[2] == ("" if beside is None else escaped(card.figure_text(beside)))
        assert row[3] == escaped(card.figure_text(f))
    assert [row[2] for row in rows if row[0] == "macro_f1"] == [""]


def test_an_undecided_budget_says_what_is_missing(release):
    finding = replace(
        release.verdict.findings[0], outcome="INCONCLUSIVE", needed=1234, reason="too noisy"
    )
    verdict = replace(release.verdict, outcome="INCONCLUSIVE", findings=(finding,))
    (row,) = cells(card.budgets_part(replace(release, verdict=verdict)))
    assert row[-1] == "needs about 1,234 rows; too noisy"


def test_the_verdict_says_how_many_were_tried_and_which_use_it_was(release):
    use = Use(count=3, share=0.125, left=0.25)
    verdict = replace(release.verdict, tried=7, use=use)
    told = "\n".join(card.verdict_part(replace(release, verdict=verdict, winner=True)))
    assert "It is the leanest candidate that passed." in told
    assert "7 candidates were tried" in told
    assert "use 3 of these test sets: it spent 12 % of alpha, 25 % are left" in told
    alone = replace(release, verdict=replace(verdict, tried=1, use=None), winner=False)
    assert "\n".join(card.verdict_part(alone)) == (
        "**Verdict: PASS.** Every budget was shown to hold on data like the test sets.\n"
    )


def test_the_model_is_told_as_the_bundle_has_it(release, ruined):
    told = dict(cells(card.identity_part(ruined)))
    assert told["recipe"] == escaped('quantize_dynamic {"head": true, "per_channel": false}')
    assert told["size"] == f"{ruined.candidate.size_bytes / 1e6:.4g} MB"
    assert told["made from"] == f"baseline ({ruined.baseline.fingerprint[:12]})"
    assert told["fingerprint"] == ruined.candidate.fingerprint
    assert "classes" not in told  # what the bundle does not hold nobody knows
    kept = dict(cells(card.identity_part(release)))
    assert kept["recipe"] == "none: the model as it came"
    assert kept["format"] == "onnx"
    assert "&lt;img" in kept["classes"]


def test_steps_are_told_in_order_with_their_options(release):
    steps = (("export_onnx", {}), ("drop_layers", {"keep": 2}), ("refit_head", {"l2": 0.5}))
    text = card.recipe_text(replace(release.candidate, steps=steps))
    names = [part.partition(" ")[0] for part in text.split(" → ")]
    assert names == ["export_onnx", "drop_layers", "refit_head"]
    options = [json.loads(part.partition(" ")[2] or "{}") for part in text.split(" → ")]
    assert options == [options for _, options in steps]


def test_data_are_told_with_role_rows_and_columns(release):
    rows = {row[0]: row for row in cells(card.data_part(release))}
    for used in release.data:
        assert rows[used.name][1:4] == ["test", "csv", f"{used.rows:,}"]
        assert rows[used.name][5] == used.fingerprint
        assert "tree (label)" in rows[used.name][4]
    unknown = replace(release.data[0], rows=None, fingerprint=None, columns={})
    (row,) = cells(card.data_part(replace(release, data=(unknown,))))
    assert row[3:] == ["", "", ""]
    assert card.data_part(replace(release, data=())) == ["## Data", ""]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"shift": "typos"}, "No data shift was measured."),
        ({"slice": "left"}, "No slice was measured."),
        ({"batch": 1}, "No latency was measured."),
    ],
)
def test_a_gap_is_said_until_something_fills_it(release, change, line):
    plain = replace(figure("accuracy"), dataset="main", batch=None)
    assert line in card.not_measured(replace(release, figures=(plain,)))
    filled = replace(release, figures=(plain, replace(plain, **change)))
    assert line not in card.not_measured(filled)


def test_what_was_measured_of_the_baseline_alone_fills_no_gap(release):
    theirs = replace(figure(), model="baseline", slice="left", shift="typos")
    lines = list(card.not_measured(replace(release, figures=(theirs,))))
    assert lines[:3] == [
        "No data shift was measured.", "No slice was measured.", "No latency was measured.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "gone"),
    [
        ({"loads": [{}]}, "No latency under load was measured: calls came one after the other."),
        ({"checks": [{}]}, "No behaviour check was run."),
        ({"comparisons": [{"seeds": {"rest": 0}}]}, "One seed was measured; another may give"),
    ],
)
def test_evidence_of_loads_checks_and_seeds_fills_its_gap(release, evidence, gone):
    def lines(one):
        return "\n".join(card.not_measured(one))

    assert gone in lines(release)
    assert gone not in lines(replace(release, evidence={**release.evidence, **evidence}))


def test_the_machine_and_the_libraries_are_told_as_far_as_they_are_known(release):
    told = dict(cells(card.making_part(release)))
    assert told["cpus"] == str(release.environment["cpus"])
    assert told["numpy"] == release.environment["libraries"]["numpy"]
    bare = card.making_part(replace(release, environment={"libraries": {"numpy": None}}))
    assert bare == [
        "## Measured with", "", f"Evidence: the surefoot bundle of key {release.key}.", "",
    ]  # fmt: skip
