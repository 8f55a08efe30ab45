"""The dossier point by point: what each answer says, and what is left out where it is unknown."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from surefoot.core.markdown import escaped
from surefoot.report import dossier
from surefoot.report.card import figure_text
from surefoot.report.dossier import dossier_lines

HOSTILE = "<script>\u202e\x1b[2J|`x`\n# [y](http://evil.example)"


def point(release, number):
    """The lines of one point, its gap left out."""
    text = "\n".join(dossier_lines(release))
    after = re.split(rf"^## {re.escape(number)}: ", text, flags=re.MULTILINE)[1]
    return after.partition("*Not answered")[0]


def states(release):
    rows = [line for line in dossier_lines(release) if re.match(r"\| [1-9]", line)]
    cells = [row.strip("| ").split(" | ") for row in rows]
    return {row[0]: row[-1] for row in cells}


def test_the_version_is_that_of_both_models(ruined):
    text = point(ruined, "1(a)")
    assert ruined.candidate.fingerprint in text
    assert ruined.baseline.fingerprint in text


def test_how_it_interacts_is_told_only_of_a_model_that_is_there(release, ruined):
    text = point(release, "1(b)")
    assert "takes rows of numbers and gives logits of 3 classes" in text
    assert "It was run by onnxruntime." in text
    assert states(release)["1(b)"] == "answered in part"
    assert states(ruined)["1(b)"] == "not answered"


@pytest.mark.parametrize(("kind", "words"), [("text", "texts"), ("image", "images")])
def test_inputs_are_told_by_their_kind(release, kind, words):
    signature = replace(release.candidate.signature, input=kind, output="probabilities")
    other = replace(release, candidate=replace(release.candidate, signature=signature))
    assert f"takes {words} and gives probabilities of 3 classes" in point(other, "1(b)")


def test_times_and_sizes_stand_with_the_machine_of_the_measurement(release):
    text = point(release, "1(e)")
    assert f"Measured on {escaped(release.environment['cpu'])}" in text
    timed = [f for f in release.of(release.candidate) if f.batch]
    assert timed
    for figure in timed:
        assert f"| {figure.quantity} | {figure.where} | {escaped(figure_text(figure))} |" in text
    assert "size_mb" in text
    assert "accuracy" not in text


def test_a_machine_that_nobody_noted_is_unknown(release):
    text = point(replace(release, environment={}), "1(e)")
    assert "Measured on unknown, unknown processors, unknown." in text


def test_steps_and_what_they_cost_are_those_of_the_candidate(release, ruined):
    text = point(ruined, "2(a)")
    (cost,) = (c["made_in"] for c in ruined.evidence["candidates"] if c["name"] == "ruined")
    assert f"Making it took {cost['wall_s']:.3g} s, {cost['cpu_s']:.3g} s of CPU time." in text
    assert "quantize_dynamic" in text
    plain = point(release, "2(a)")
    assert "none: the model as it came" in plain
    assert "Making it took" not in plain  # it was not made


def test_computation_is_told_for_each_candidate_that_was_made(release):
    text = point(release, "2(c)")
    rows = [line for line in text.splitlines() if line.startswith("| ruined")]
    assert len(rows) == 1
    assert "| same |" not in text
    evidence = {**release.evidence, "candidates": [
        {**c, "made_in": {}} for c in release.evidence["candidates"]
    ]}  # fmt: skip
    assert states(replace(release, evidence=evidence))["2(c)"] == "not answered"


def test_the_design_names_every_budget_with_its_outcome(ruined):
    text = point(ruined, "2(b)")
    for finding in ruined.verdict.findings:
        assert f"- {finding.outcome}: {escaped(finding.subject)}" in text


def test_groups_have_a_table_only_where_a_slice_was_declared(release):
    sliced = [f for f in release.of(release.candidate) if f.slice]
    text = point(release, "3")
    table = text.partition("By declared group (slice):")[2].partition("Not measured:")[0]
    assert len([line for line in table.splitlines() if line.startswith("|")]) == len(sliced) + 2
    whole = replace(release, figures=tuple(f for f in release.figures if not f.slice))
    text = point(whole, "3")
    assert "By declared group" not in text
    assert "- No slice was measured." in text


def test_the_metrics_are_those_of_data_sets(release):
    text = point(release, "4")
    assert "accuracy, log_loss, ece, aurc, brier, macro_f1" in text
    assert "the plan's own is accuracy" in text
    assert "p50_ms" not in text


def test_changes_are_the_counts_of_the_comparisons(ruined):
    text = point(ruined, "6")
    told = [
        c for c in ruined.evidence["comparisons"]
        if (c["candidate"], c["metric"], c["slice"]) == ("ruined", "accuracy", None)
    ]  # fmt: skip
    assert {c["dataset"] for c in told} == {"main", "grouped"}
    for c in told:
        row = f"| {c['dataset']} | {c['n']:,} | {c['lost']} | {c['won']} | {c['other']} |"
        assert row in text
    assert sum(c["lost"] for c in told) > 0


def test_without_comparisons_changes_are_not_answered(release):
    bare = replace(release, evidence={**release.evidence, "comparisons": []})
    assert states(bare)["6"] == "not answered"


def test_a_search_tells_the_cost_of_every_finalist(release):
    """Candidates of a search are no recipes of the plan: only the evidence knows them."""
    found = {"name": "found-1", "made_in": {"wall_s": 12.5, "cpu_s": 40.0}}
    evidence = {**release.evidence, "candidates": [*release.evidence["candidates"], found]}
    text = point(replace(release, evidence=evidence), "2(c)")
    assert "| found-1 | 12.5 | 40 |" in text


def test_hostile_names_open_no_heading_link_or_markup(release):
    model = replace(release.candidate, runtime=HOSTILE, fingerprint=HOSTILE)
    environment = {"cpu": HOSTILE, "system": HOSTILE, "libraries": {HOSTILE: HOSTILE}}
    data = tuple(replace(used, name=HOSTILE) for used in release.data)
    odd = replace(
        release, candidate=model, environment=environment, data=data, metric=HOSTILE, key=HOSTILE
    )
    lines = dossier_lines(odd)
    assert not [line for line in lines if "<script>" in line or "[y](" in line]
    assert not [line for line in lines if set(line) & set("\u202e\x1b\n")]
    headings = [line for line in lines if line.startswith("#")]
    usual = [line for line in dossier_lines(release) if line.startswith("#")]
    assert headings == usual


def test_every_point_has_a_gap_and_asks_something_of_its_own():
    assert len({p.number for p in dossier.POINTS}) == len(dossier.POINTS)
    assert len({p.asks for p in dossier.POINTS}) == len(dossier.POINTS)
    assert all(p.gap.endswith(".") for p in dossier.POINTS)
    assert all(p.answer is not None or p.gap == "all of it." for p in dossier.POINTS)
