"""The report as one HTML page that needs no script, no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import surefoot
from surefoot.core.evidence import Outcome
from surefoot.core.printable import printable
from surefoot.report.calibration import calibration_tables
from surefoot.report.checks import check_tables
from surefoot.report.content import BudgetLine, Content, title, worst_first
from surefoot.report.costs import cost_tables
from surefoot.report.curves import Plotted, envelope_plots, shift_plots
from surefoot.report.diagnosis import diagnosis_parts
from surefoot.report.envelope import envelope_tables
from surefoot.report.figures import (
    ablation_figure,
    confidence_figures,
    front_figure,
    front_table,
    speed_figures,
)
from surefoot.report.heat import SIGNS, Heat, every_place, heat_map, other_metrics
from surefoot.report.load import deadline_tables, load_tables
from surefoot.report.reproduce import fingerprints
from surefoot.report.search import search_tables
from surefoot.report.slices import found_tables
from surefoot.report.svg.bars import interval_glyph
from surefoot.report.tables import Table, as_table

MEANING: Mapping[Outcome, str] = {
    "PASS": "Every budget was shown to hold on these test sets. What that does not prove is below.",
    "FAIL": "At least one budget was shown to be broken. This releases nothing.",
    "INCONCLUSIVE": "Neither was shown: the data are too few or the machine is too noisy. This"
    " releases nothing; the remarks say what would decide.",
}
FRONT = (
    "Each box is the interval of both numbers. Dashed is the limit; dotted joins those that no"
    " other candidate beats in both, as measured. ● pass, ▲ inconclusive, ✕ fail, ■ baseline."
)
ABLATION = (
    "The recommended candidate with one thing changed at a time, on the selection rows: what each"
    " change does to its accuracy, with intervals."
)
MOST_OTHERS = 20
"""Budgets that are listed of each candidate that is not the verdict's; the worst first."""
MOST_FIRST = 400
"""Budgets of the candidate that the verdict is about."""


def page(content: Content) -> str:
    """The page; whatever others wrote is shown as text.

    Args:
        content: What it says.

    Returns:
        HTML.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = resources.files("surefoot.report").joinpath("templates")
    names = ("report.html", "parts.html", "style.css")
    files = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in names}
    environment = Environment(
        loader=DictLoader(files),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"line": printable, "number": _numeric, "glyph": _glyph}
    environment.filters["heading"] = _heading
    environment.globals |= {"signs": SIGNS}
    shown = _parts(content) | {"style": _markup(files["style.css"])}
    return environment.get_template("report.html").render(c=content, **shown)


def _parts(content: Content) -> dict[str, Any]:
    """Everything that the template names, section by section."""
    data = content.data
    candidates = [s.name for s in content.standings[1:]]
    parts = {
        "title": title(content),
        "meaning": MEANING[content.outcome],
        "waived": content.waivers if content.waivers.rows else None,
        "version": surefoot.__version__,
        "holds": "ids and labels of changed answers, and no row's own words"
        if content.gallery.shown
        else "no row of data",
        "most_others": MOST_OTHERS,
        **_judged(content),
        **_where(content, candidates),
        "curves": [_marked(p) for p in _curves(content)],
        "envelope": envelope_tables(data.get("envelopes", ())),
        "speed": [_speed(one) for one in speed_figures(content)],
        "loads": [*load_tables(data), *deadline_tables(data)],
        "diagnoses": diagnosis_parts(data.get("diagnoses", ())),
        "confidence": [_pair(one) for one in confidence_figures(content)],
        "calibration": calibration_tables(data["calibration"]),
        **_changed(content),
        "checks": check_tables(data.get("checks", ())),
        **_search(data),
        "costs": cost_tables(data),
        "gaps": as_table(
            "", ("not tested", "what would tell"), [(gap.what, gap.fix) for gap in content.gaps]
        ),
        "environment": _environment(content.environment),
        "prints": as_table("", ("what", "name", "SHA-256"), fingerprints(data)),
    }
    return parts | {"contents": _contents(parts)}


def _contents(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Links to the sections that there are."""
    known = (
        ("budgets", "Budgets", True),
        ("candidates", "Candidates", True),
        ("places", "Where it holds", True),
        ("far", "How far", parts["curves"] or parts["envelope"]),
        ("speed", "Latency", parts["speed"]),
        ("confidence", "Confidence", parts["confidence"] or parts["calibration"]),
        ("changed", "Changed answers", True),
        ("checks", "Checks", parts["checks"]),
        ("search", "Search", parts["searched"]),
        ("cost", "Cost", True),
        ("untested", "Not tested", True),
        ("environment", "Environment", True),
        ("reproduce", "Reproduce", True),
    )
    return [(name, words) for name, words, there in known if there]


def _judged(content: Content) -> dict[str, Any]:
    first = next(s for s in content.standings if s.name == content.candidate)
    others = [s for s in content.standings[1:] if s.name != content.candidate]
    rows = [
        (
            s.outcome or "",
            s.name,
            "" if s.p50_ms is None else _interval(s.p50_ms),
            f"{s.size_mb:.2f}",
            s.runtime,
            s.recipe,
            s.decided,
        )
        for s in content.standings
    ]
    failed = [f"not made: {name}: {why}" for name, why in content.data["failed"].items()]
    header = ("outcome", "candidate", "p50 ms", "MB", "runtime", "recipe", "decided by")
    figure = front_figure(content.front)
    return {
        "first": worst_first(first.budgets)[:MOST_FIRST],
        "others": [{"name": s.name, "outcome": s.outcome, **_other(s.budgets)} for s in others],
        "standings": as_table(
            "The baseline, then the candidates, the leanest first", header, rows, failed
        ),
        "front": _markup(figure) if figure else "",
        "front_words": FRONT,
        "front_table": front_table(content.front),
    }


def _other(budgets: Sequence[BudgetLine]) -> dict[str, Any]:
    count = {o: sum(one.outcome == o for one in budgets) for o in ("FAIL", "INCONCLUSIVE", "PASS")}
    words = ", ".join(f"{n:,} {o.lower()}" for o, n in count.items() if n)
    return {"lines": worst_first(budgets), "words": f"{words} of {len(budgets):,} budgets"}


def _where(content: Content, candidates: Sequence[str]) -> dict[str, Any]:
    places, data = content.places, content.data
    found = list(found_tables(data.get("found_slices")))
    if not places:
        empty = Heat(caption="no place was measured", columns=(), rows=(), left_out="")
        return {"heat": _named(empty), "every": empty, "found_slices": found}
    others = other_metrics(places)
    if others:
        header = ("metric", "place", "candidate", "baseline", "value", "difference")
        found.append(as_table("Other metrics on whole test sets", header, others[:200]))
    every = every_place(places, candidates, data)
    return {
        "heat": _named(heat_map(places, content.candidate, data)),
        "every": every,
        "found_slices": found,
    }


def _named(heat: Heat) -> dict[str, Any]:
    words = (
        "Each cell is the difference from the baseline with its interval: the verdict's own where a"
        " budget limits the drop, else one of 95 % on its own. The sign in front is the outcome of"
        " the budgets on rows there."
    )
    return {"words": words, "caption": heat.caption, "columns": heat.columns, "rows": heat.rows,
            "left_out": heat.left_out}  # fmt: skip


def _curves(content: Content) -> list[Plotted]:
    if not content.places:
        return []
    return [
        *envelope_plots(content.data.get("envelopes", ()), content.candidate),
        *shift_plots(content.places, content.candidate),
    ]


def _marked(one: Plotted) -> dict[str, Any]:
    return {
        "name": one.name,
        "caption": one.caption,
        "plot": _markup(one.plot),
        "table": one.table,
    }


def _speed(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "plot": _markup(one["plot"])}


def _pair(one: Mapping[str, Any]) -> dict[str, Any]:
    plots = {key: _markup(one[key]) for key in ("reliability", "coverage")}
    return {**one, **plots}


def _changed(content: Content) -> dict[str, Any]:
    found = content.gallery
    counts = ", ".join(f"{n:,} {kind}" for kind, n in found.counts.items())
    words = f"{counts} on {', '.join(found.places)}" if counts else found.note
    more = f"; those that moved furthest of each kind are listed. {_sentence(found.note)}"
    rows = [
        (one.kind, one.where, one.id, one.label, one.before, one.after, f"{one.moved:+.3f}")
        for one in found.shown
    ]
    header = ("", "where", "id", "right", "was", "now", "moved")
    table = as_table("Moved: probability that went from the right class to others", header, rows)
    return {
        "gallery_words": words + more if counts else _sentence(words),
        "gallery_table": table,
    }


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _search(data: Mapping[str, Any]) -> dict[str, Any]:
    tables = search_tables(data.get("search"))
    figure = ablation_figure(data.get("search"))
    return {
        "searched": tables,
        "ablation": _markup(figure) if figure else "",
        "ablation_words": ABLATION,
    }


def _environment(made: Mapping[str, Any]) -> Table:
    rows = []
    for key, value in made.items():
        if isinstance(value, Mapping):
            rows += [(f"{key}: {name}", str(part)) for name, part in value.items() if part]
        else:
            rows.append(
                (key, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            )
    return as_table("", ("what", "value"), rows)


def _interval(estimate: Any) -> str:
    high = "none" if estimate.high == float("inf") else f"{estimate.high:.3g}"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {high}]"


def _numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers, so that they stand right-aligned."""
    words = [row[column] for row in table.rows if row[column]]
    return bool(words) and all(word[0] in "0123456789+-" and word[-1:].isdigit() for word in words)


def _heading(kept: Sequence[int], table: Table) -> int:
    """The column that names a row: the first that holds no outcomes."""
    return next((i for i in kept if table.header[i] != "outcome"), 0)


def _glyph(one: BudgetLine) -> Any:
    e = one.estimate
    return _markup(interval_glyph(e.value, e.low, e.high, one.held_against, one.outcome))


def _markup(text: str) -> Any:
    """Our own SVG and CSS, whose texts of others were escaped where they were drawn."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704
