"""Annex IV of Regulation (EU) 2024/1689, point by point: what the evidence answers, and gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from surefoot.core.markdown import escaped, markdown_table
from surefoot.core.release import Figure, Release
from surefoot.report.card import (
    budgets_part,
    data_part,
    figure_text,
    figures_part,
    identity_part,
    making_part,
    method_text,
    not_measured,
    recipe_text,
    verdict_part,
)

ACT = "Regulation (EU) 2024/1689 (the AI Act), Annex IV, as published on 12 July 2024"
NO_ADVICE = (
    "This is no legal advice. It orders measured evidence by the points of the annex; whether the"
    " annex applies, and whether an answer is enough, is for the provider and a lawyer to say. The"
    " points are told in short words here: read the regulation itself, in its present form."
)
State = Literal["answered in part", "not answered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the annex."""

    number: str
    """Its number there, for example `2(g)`."""
    asks: str
    """What it asks for, in short."""
    gap: str
    """What the evidence cannot say of it."""
    answer: Callable[[Release], list[str]] | None = None
    """Markdown lines that the evidence gives; None where it gives none."""


def dossier_lines(release: Release) -> list[str]:
    """The dossier of one candidate: a table of the points, then each of them.

    No point counts as answered in full: evidence of measurements knows one side of each.

    Args:
        release: The candidate.
    """
    answers = {point.number: point.answer(release) if point.answer else [] for point in POINTS}
    rows = [(point.number, point.asks, _state(answers[point.number])) for point in POINTS]
    parts = [
        [
            f"# Technical documentation of {escaped(release.candidate.name)}",
            "",
            f"After {ACT}.",
            "",
        ],
        [f"**{NO_ADVICE}**", ""],
        verdict_part(release),
        ["## The points", "", *markdown_table(("point", "asks for", "this evidence"), rows)],
        *(_part(point, answers[point.number]) for point in POINTS),
    ]
    return [line for part in parts for line in part]


def _state(answer: list[str]) -> State:
    return "answered in part" if answer else "not answered"


def _part(point: Point, answer: list[str]) -> list[str]:
    # What an answer brings of headings stands below that of its point.
    told = [f"#{line}" if line.startswith("## ") else line for line in answer]
    head = [f"## {point.number}: {escaped(point.asks)}", "", *told]
    return [*head, f"*Not answered by this evidence:* {escaped(point.gap)}", ""]


def _version(release: Release) -> list[str]:
    model = release.candidate
    told = (
        f"The version is told by the model's fingerprint, {escaped(model.fingerprint)}. It was made"
        f" from the model of fingerprint {escaped(release.baseline.fingerprint)}, against which"
        " every change was measured."
    )
    return [told, ""]


def _interaction(release: Release) -> list[str]:
    model = release.candidate
    if model.signature is None:
        return []
    kinds = {"text": "texts", "image": "images", "numeric": "rows of numbers"}
    classes = ", ".join(model.signature.classes)
    told = (
        f"The model takes {kinds[model.signature.input]} and gives {model.signature.output} of"
        f" {len(model.signature.classes)} classes ({escaped(classes)}). It was run by"
        f" {escaped(model.runtime)}."
    )
    return [told, ""]


def _software(release: Release) -> list[str]:
    return making_part(release)


def _hardware(release: Release) -> list[str]:
    """The machine of the measurements, which is no promise about another one."""
    environment = release.environment
    timed = [f for f in release.of(release.candidate) if f.batch or f.quantity.endswith("_mb")]
    cpu, cpus = str(environment.get("cpu", "unknown")), environment.get("cpus", "unknown")
    system = escaped(str(environment.get("system", "unknown")))
    told = f"Measured on {escaped(cpu)}, {cpus} processors, {system}. Times hold for that machine:"
    return [told, "", *_table(timed)]


def _development(release: Release) -> list[str]:
    steps = recipe_text(release.candidate) or "none: the model as it came"
    costs = next(
        c.get("made_in", {})
        for c in release.evidence["candidates"]
        if c["name"] == release.candidate.name
    )
    told = [f"Recipe, from the model it was made from: {escaped(steps)}.", ""]
    if costs.get("wall_s"):
        told += [f"Making it took {costs['wall_s']:.3g} s, {costs['cpu_s']:.3g} s of CPU time.", ""]
    return told


def _design(release: Release) -> list[str]:
    limits = [f"{f.outcome}: {escaped(f.subject)}" for f in release.verdict.findings]
    told = f"A {release.kind} model, held to these budgets, which say what was traded for what:"
    return [told, "", *(f"- {line}" for line in limits), "", *identity_part(release)]


def _resources(release: Release) -> list[str]:
    """What making all candidates took."""
    rows = [
        (c["name"], f"{c['made_in']['wall_s']:.3g}", f"{c['made_in']['cpu_s']:.3g}")
        for c in release.evidence["candidates"]
        if c["made_in"].get("wall_s")
    ]
    table = markdown_table(("candidate", "seconds", "CPU seconds"), rows)
    return ["Computation spent on compression, candidate by candidate:", "", *table] if rows else []


def _testing(release: Release) -> list[str]:
    return [*budgets_part(release), *data_part(release)]


def _performance(release: Release) -> list[str]:
    """How accurate it is, for groups too, and where it is not known."""
    sliced = [f for f in release.of(release.candidate) if f.slice is not None]
    told = ["By declared group (slice):", "", *_table(sliced)] if sliced else []
    limits = [f"- {escaped(line)}" for line in not_measured(release)]
    return [*figures_part(release), *told, *(["Not measured:", "", *limits, ""] if limits else [])]


def _metrics(release: Release) -> list[str]:
    found = dict.fromkeys(f.quantity for f in release.of(release.candidate) if f.dataset)
    told = (
        f"The metrics are {escaped(', '.join(found))}; the plan's own is {escaped(release.metric)}."
        " Each is given with an interval, the number of rows it rests on, and its method."
    )
    return [told, ""]


def _changes(release: Release) -> list[str]:
    """What the compression changed, row by row in numbers."""
    rows = [
        (c["dataset"], f"{c['n']:,}", str(c["lost"]), str(c["won"]), str(c["other"]))
        for c in release.evidence["comparisons"]
        if c["candidate"] == release.candidate.name
        and c["slice"] is None
        and not c["shift"]
        and c["metric"] == release.metric
    ]
    header = ("test set", "rows", "right to wrong", "wrong to right", "wrong to wrong")
    note = "Answers that differ from those of the model it was made from:"
    return [note, "", *markdown_table(header, rows)] if rows else []


def _table(figures: list[Figure]) -> list[str]:
    rows = [
        (f.quantity, f.where, figure_text(f), f"{f.estimate.n:,}", method_text(f.estimate))
        for f in figures
    ]
    return markdown_table(("quantity", "where", "measured", "n", "method"), rows)


POINTS = (
    Point(
        number="1(a)",
        asks="intended purpose, provider, version and its relation to earlier ones",
        gap="the intended purpose, the name of the provider, and a version number.",
        answer=_version,
    ),
    Point(
        number="1(b)",
        asks="how the system works together with other hardware and software",
        gap="the system around the model.",
        answer=_interaction,
    ),
    Point(
        number="1(c)",
        asks="versions of software and firmware, and what updates require",
        gap="firmware, the software of the system around the model, and what an update requires.",
        answer=_software,
    ),
    Point(
        number="1(d)",
        asks="the forms in which it is put on the market or into service",
        gap="all of it.",
    ),
    Point(
        number="1(e)",
        asks="the hardware that it is meant to run on",
        gap="the hardware that is meant; only the machine of the measurements is known.",
        answer=_hardware,
    ),
    Point(
        number="1(f)",
        asks="pictures of the product that it is a component of, where it is one",
        gap="all of it.",
    ),
    Point(
        number="1(g)", asks="the user interface that deployers get, in outline", gap="all of it."
    ),
    Point(
        number="1(h)",
        asks="instructions for use for deployers, and the interface if applicable",
        gap="all of it.",
    ),
    Point(
        number="2(a)",
        asks="methods and steps of development, pre-trained parts, tools of others",
        gap="how the model that it was made from was itself made.",
        answer=_development,
    ),
    Point(
        number="2(b)",
        asks="design: logic, choices and their reasons, trade-offs, expected output",
        gap="the reasons of the choices, the people that it is meant for, and the requirements of"
        " Chapter III, Section 2 that they serve.",
        answer=_design,
    ),
    Point(
        number="2(c)",
        asks="system architecture, and the computation used",
        gap="the architecture of the system, and what the model that it was made from took.",
        answer=_resources,
    ),
    Point(
        number="2(d)",
        asks="data sheets: training data, origin, selection, labelling, cleaning",
        gap="where the data come from, how they were chosen, labelled and cleaned, and what the"
        " model that it was made from was trained on.",
        answer=data_part,
    ),
    Point(
        number="2(e)",
        asks="human oversight (Article 14) and help to interpret outputs (13(3)(d))",
        gap="all of it.",
    ),
    Point(
        number="2(f)", asks="changes of the system that are determined beforehand", gap="all of it."
    ),
    Point(
        number="2(g)",
        asks="validation, testing: data, metrics, discriminatory impact, signed logs",
        gap="impacts on groups that no slice was declared for, and reports that persons responsible"
        " have dated and signed.",
        answer=_testing,
    ),
    Point(number="2(h)", asks="cybersecurity measures", gap="all of it."),
    Point(
        number="3",
        asks="monitoring, functioning, control: accuracy overall and for groups, risks,"
        " oversight, input data",
        gap="risks to health, safety and rights, unintended outcomes, oversight, and the accuracy"
        " that the intended purpose needs.",
        answer=_performance,
    ),
    Point(
        number="4",
        asks="why the performance metrics are the right ones for this system",
        gap="why they are appropriate; that is for the provider to argue.",
        answer=_metrics,
    ),
    Point(number="5", asks="the risk management system (Article 9)", gap="all of it."),
    Point(
        number="6",
        asks="changes that the provider made through the lifecycle",
        gap="changes before the model that it was made from, and after this bundle.",
        answer=_changes,
    ),
    Point(
        number="7",
        asks="harmonised standards applied, or the solutions in their place",
        gap="all of it.",
    ),
    Point(
        number="8", asks="a copy of the EU declaration of conformity (Article 47)", gap="all of it."
    ),
    Point(
        number="9",
        asks="how performance is evaluated after release (Article 72), with its plan",
        gap="all of it.",
    ),
)
"""All points: 1(a) to 1(h), 2(a) to 2(h), and 3 to 9."""
