"""A model card for people, in Markdown: what a candidate is, what was shown, and what was not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from surefoot.core.estimate import Estimate
from surefoot.core.markdown import escaped, markdown_table
from surefoot.core.release import Figure, Release, Shipped
from surefoot.report.terminal import (
    UNITS,
    amount,
    interval,
    limit,
    remark,
)

_MEANS = {
    "PASS": "Every budget was shown to hold on data like the test sets.",
    "FAIL": "At least one budget was shown to be broken.",
    "INCONCLUSIVE": "The evidence decides neither way. This is no PASS: do not read it as one.",
}


def card_lines(release: Release) -> list[str]:
    """The card of one candidate; every number has its interval, n and method.

    Args:
        release: The candidate.
    """
    parts = [
        [f"# {escaped(release.candidate.name)} ({escaped(release.task)})", ""],
        verdict_part(release),
        identity_part(release),
        budgets_part(release),
        figures_part(release),
        data_part(release),
        limits_part(release),
        making_part(release),
    ]
    return [line for part in parts for line in part]


def verdict_part(release: Release) -> list[str]:
    """The outcome and what it means."""
    outcome, tried = release.verdict.outcome, release.verdict.tried
    told = [f"**Verdict: {outcome}.** {_MEANS[outcome]}", ""]
    if release.winner:
        told += ["It is the leanest candidate that passed.", ""]
    if tried > 1:
        told += [
            f"{tried} candidates were tried; those that were judged on the same rows share alpha.",
            "",
        ]
    use = release.verdict.use
    if use is not None:
        spent = f"it spent {100 * use.share:.2g} % of alpha, {100 * use.left:.2g} % are left"
        told += [f"The verdict was use {use.count} of these test sets: {spent}.", ""]
    return told


def identity_part(release: Release) -> list[str]:
    """What the model is and what it was made from."""
    model = release.candidate
    rows = [
        ("task", release.kind),
        ("made from", f"{release.baseline.name} ({release.baseline.fingerprint[:12]})"),
        ("recipe", recipe_text(model) or "none: the model as it came"),
        ("seed", str(model.seed)),
        ("runtime", model.runtime),
        ("size", f"{model.size_bytes / 1e6:.4g} MB"),
        ("fingerprint", model.fingerprint),
    ]
    if model.signature is not None:
        rows.insert(1, ("classes", ", ".join(model.signature.classes)))
        rows.append(("format", model.format))
    return ["## The model", "", *markdown_table(("", ""), rows)]


def recipe_text(model: Shipped) -> str:
    """The steps of a recipe in one line."""
    return " → ".join(
        f"{use} {json.dumps(dict(options))}" if options else use for use, options in model.steps
    )


def budgets_part(release: Release) -> list[str]:
    """The verdict budget by budget."""
    rows = [
        (
            finding.outcome,
            finding.subject,
            amount(finding),
            limit(finding),
            f"{finding.estimate.n:,}",
            method_text(finding.estimate),
            remark(finding),
        )
        for finding in release.verdict.findings
    ]
    header = ("outcome", "budget", "measured", "limit", "n", "method", "what is missing")
    note = "A budget that says *allowed* is about the change against the baseline."
    return ["## Budgets", "", note, "", *markdown_table(header, rows)]


def figures_part(release: Release) -> list[str]:
    """Everything that was measured, beside the baseline."""
    own = release.of(release.candidate)
    theirs = {(f.quantity, f.where): f for f in release.of(release.baseline)}
    rows = [
        (
            f.quantity,
            f.where or "everywhere",
            _beside(theirs.get((f.quantity, f.where))),
            figure_text(f),
            f"{f.estimate.n:,}",
            method_text(f.estimate),
        )
        for f in own
    ]
    header = ("quantity", "where", "baseline", release.candidate.name, "n", "method")
    return ["## Measured", "", *markdown_table(header, rows)]


def _beside(figure: Figure | None) -> str:
    return "" if figure is None else figure_text(figure)


def figure_text(figure: Figure) -> str:
    """`0.754 [0.737, 0.770]`; an end that the evidence cannot bound is said, never made up."""
    e, unit = figure.estimate, UNITS.get(figure.quantity, "")
    if e.method == "exact":
        return f"{e.value:.4g} {unit}".rstrip()
    if math.isinf(e.low):
        return "too little was measured for an interval"
    if math.isinf(e.high):
        return f"at least {e.low:.3g} {unit}".rstrip() + ": too few calls for an upper end"
    return f"{e.value:.4g} [{e.low:.4g}, {e.high:.4g}] {unit}".rstrip()


def method_text(estimate: Estimate) -> str:
    """`95 % Clopper-Pearson`."""
    exact = estimate.method == "exact"
    return "exact" if exact else f"{100 * estimate.level:.4g} % {estimate.method}"


def data_part(release: Release) -> list[str]:
    """The data sets; no rows."""
    rows = [
        (
            used.name,
            used.role,
            used.source,
            "" if used.rows is None else f"{used.rows:,}",
            ", ".join(f"{column} ({kind})" for column, kind in used.columns.items()),
            used.fingerprint or "",
        )
        for used in release.data
    ]
    header = ("data set", "used for", "source", "rows", "columns", "fingerprint")
    return ["## Data", "", *markdown_table(header, rows)]


def limits_part(release: Release) -> list[str]:
    """What a reader must not conclude."""
    lines = list(map(escaped, _limits(release)))
    return ["## Limits", "", *(f"- {line}" for line in lines), ""]


def _limits(release: Release) -> Iterator[str]:
    evidence = release.evidence
    yield "The verdict holds for data drawn as the test sets were; it says nothing of other data."
    yield from (f"Doubt: {doubt}" for doubt in evidence.get("doubts", ()))
    yield from (f"Warning: {warning}" for warning in evidence["warnings"])
    for entry in evidence["noise"]:
        ratio = interval(entry["ratio"])
        if None in (entry["ratio"]["low"], entry["ratio"]["high"]):
            yield f"Noise: too few calls at batch {entry['batch']} to tell it."
            continue
        yield f"Noise: the baseline took {ratio} x as long as itself at batch {entry['batch']}."
    yield from not_measured(release)
    for what in release.without_interval:
        yield f"{what}: measured, but the bundle holds no interval, so no number is given."
    yield "Intended use, users and licence: not said by this evidence."


def not_measured(release: Release) -> Iterator[str]:
    """What the plan did not ask for, in sentences."""
    evidence, own = release.evidence, release.of(release.candidate)
    if not any(f.shift for f in own):
        yield "No data shift was measured."
    if not any(f.slice for f in own):
        yield "No slice was measured."
    if not any(f.batch for f in own):
        yield "No latency was measured."
    elif not evidence.get("loads"):
        yield "No latency under load was measured: calls came one after the other."
    if not evidence.get("checks"):
        yield "No behaviour check was run."
    if not any(c["seeds"] for c in evidence["comparisons"]):
        yield "One seed was measured; another may give another model."


def making_part(release: Release) -> list[str]:
    """With what it was measured, and by which bundle."""
    environment = release.environment
    rows = [
        (name, str(environment[name])) for name in ("python", "system", "cpu", "cpus")
        if name in environment
    ]  # fmt: skip
    rows += [(k, str(v)) for k, v in environment.get("libraries", {}).items() if v]
    told = f"Evidence: the surefoot bundle of key {escaped(release.key)}."
    return ["## Measured with", "", *markdown_table(("", ""), rows), told, ""]
