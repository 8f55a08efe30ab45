"""The card for people, and the dossier after Annex IV of the AI Act."""

import math
import re
from dataclasses import replace
from itertools import pairwise

from surefoot.report.card import card_lines, figure_text, not_measured
from surefoot.report.dossier import NO_ADVICE, POINTS, dossier_lines

NUMBERS = [f"1({c})" for c in "abcdefgh"] + [f"2({c})" for c in "abcdefgh"] + list("3456789")


def parts(lines):
    """The text of each point by its number."""
    found = re.split(r"^## ([0-9](?:\([a-h]\))?): ", "\n".join(lines), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_points_are_those_of_the_annex(release):
    assert [point.number for point in POINTS] == NUMBERS
    assert list(parts(dossier_lines(release))) == NUMBERS


def test_it_says_that_it_is_no_legal_advice_before_anything_else(release):
    lines = dossier_lines(release)
    assert NO_ADVICE.startswith("This is no legal advice.")
    assert lines.index(f"**{NO_ADVICE}**") < lines.index("## The points")


def test_every_point_says_what_is_not_answered(release):
    found = parts(dossier_lines(release))
    for point in POINTS:
        assert f"*Not answered by this evidence:* {point.gap}" in found[point.number]
        answered = found[point.number].partition("*Not answered")[0].count("\n") > 2
        assert answered == (point.answer is not None)


def test_what_a_measurement_cannot_know_is_never_answered(release):
    table = [line for line in dossier_lines(release) if re.match(r"\| [1-9]", line)]
    state = {line.split(" | ")[0].strip("| "): line.rsplit(" | ")[-1].strip(" |") for line in table}
    for number in ("1(d)", "1(f)", "1(g)", "1(h)", "2(e)", "2(f)", "2(h)", "5", "7", "8", "9"):
        assert state[number] == "not answered"
    assert set(state.values()) == {"not answered", "answered in part"}


def test_numbers_stand_with_their_basis(release):
    found = parts(dossier_lines(release))
    assert "| 95 % Clopper-Pearson |" in found["3"]
    assert "By declared group (slice):" in found["3"]
    assert "| main | 300 | 0 | 0 | 0 |" in found["6"]
    assert release.candidate.fingerprint in found["1(a)"]


def test_headings_go_down_one_step_at_a_time(release):
    for lines in (card_lines(release), dossier_lines(release)):
        levels = [len(line) - len(line.lstrip("#")) for line in lines if line.startswith("#")]
        assert levels[0] == 1
        assert all(new <= old + 1 for old, new in pairwise(levels))


def test_the_card_shows_both_models_and_every_budget(release):
    text = "\n".join(card_lines(release))
    assert "| quantity | where | baseline | same | n | method |" in text
    for finding in release.verdict.findings:
        assert f"| PASS | {finding.subject} |" in text
    assert "too few calls for an upper end" in text  # of p99, which no number stands for
    assert "macro_f1 on grouped: measured, but the bundle holds no interval" in text
    assert "Intended use, users and licence: not said by this evidence." in text


def test_what_was_not_measured_is_said(release):
    assert list(not_measured(release)) == [
        "No data shift was measured.",
        "No latency under load was measured: calls came one after the other.",
        "No behaviour check was run.",
        "One seed was measured; another may give another model.",
    ]
    bare = replace(release, figures=())
    assert "No slice was measured." in not_measured(bare)
    assert "No latency was measured." in not_measured(bare)


def test_a_doubt_and_a_warning_stand_in_the_card(release):
    evidence = {**release.evidence, "doubts": ["knows nothing"], "warnings": ["3 rows | odd"]}
    text = "\n".join(card_lines(replace(release, evidence=evidence)))
    assert "- Doubt: knows nothing" in text
    assert "- Warning: 3 rows \\| odd" in text


def test_no_number_stands_without_an_interval(release):
    figure = next(f for f in release.figures if f.quantity == "p50_ms")
    e = figure.estimate
    assert figure_text(figure) == f"{e.value:.4g} [{e.low:.4g}, {e.high:.4g}] ms"
    ends = {"low": -math.inf, "high": math.inf}
    unknown = replace(figure, estimate=replace(e, value=123.0, **ends))
    assert figure_text(unknown) == "too little was measured for an interval"
    half = replace(figure, estimate=replace(e, value=123.0, low=45.0, high=math.inf))
    assert figure_text(half) == "at least 45 ms: too few calls for an upper end"


def test_the_noise_of_the_machine_is_told(release):
    lines = [line for line in card_lines(release) if line.startswith("- Noise: ")]
    assert [line.partition(" x as long as itself ")[2] for line in lines] == ["at batch 1."]


def test_a_failed_candidate_has_a_dossier_too(ruined):
    text = "\n".join(dossier_lines(ruined))
    assert "**Verdict: FAIL.**" in text
    assert "quantize_dynamic" in parts(dossier_lines(ruined))["2(a)"]
    assert "logits of" not in text  # the bundle does not hold it, so nobody knows
