"""`surefoot compare`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from surefoot.core.budget import problems
from surefoot.core.errors import PlanError
from surefoot.core.evidence import Budget
from surefoot.core.printable import printable


@click.command(
    "compare",
    help="Judge CANDIDATE against BASE: csv, jsonl or parquet files with id, label, predicted, or"
    " logs of lm-evaluation-harness, Inspect or Every Eval Ever.",
)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--max-drop",
    type=float,
    help="Accuracy, or a log's metric, may get worse by at most this, for example 0.01.",
)
@click.option("--max-flips", type=float, help="At most this share of answers may change.")
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="COLUMN",
    help="Hold the budgets on each value of a column too.",
)
@click.option("--group", metavar="COLUMN", help="Rows of one group are not independent.")
@click.option("--metric", help="Logs: the metric to compare; default: the log's own main one.")
@click.option(
    "--level", type=float, default=0.95, show_default=True, help="One-sided confidence of a PASS."
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def command(  # size: one argument per option of the verb
    *,
    base: Path,
    candidate: Path,
    max_drop: float | None,
    max_flips: float | None,
    slices: tuple[str, ...],
    group: str | None,
    metric: str | None,
    level: float,
    as_json: bool,
) -> int:
    """Judge two files of predictions, or two logs."""
    from surefoot.bundle.encode import encode
    from surefoot.evaluate.outputs.logged import compare_outputs
    from surefoot.gate import exit_code, gate_evidence
    from surefoot.report.terminal import findings_table, verdict_line

    if max_drop is None and max_flips is None:
        raise PlanError("nothing to judge; give --max-drop or --max-flips")
    found = compare_outputs(base, candidate, metric=metric, slices=slices, group=group)
    if max_flips is not None and found.no_flips:
        raise PlanError(f"--max-flips: {found.no_flips}; give --max-drop alone")
    budgets = _budgets(found.metric, max_drop, max_flips, level, sliced=bool(slices))
    (verdict,) = gate_evidence(found.evidence, budgets)
    for note in found.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if as_json:
        click.echo(json.dumps(encode(verdict), indent=1))
    else:
        line = verdict_line(verdict)
        click.echo("\n".join([line, "", *findings_table(verdict), "", line]))
    return exit_code(verdict)


def _budgets(
    metric: str, max_drop: float | None, max_flips: float | None, level: float, *, sliced: bool
) -> list[Budget]:
    budgets: list[Budget] = []
    for place in [None, "*"] if sliced else [None]:
        if max_drop is not None:
            budgets.append(Budget(quantity=metric, max_drop=max_drop, slice=place, level=level))
        if max_flips is not None:
            budgets.append(Budget(quantity="flips", at_most=max_flips, slice=place, level=level))
    found = [problem for budget in budgets for problem in problems(budget, [metric])]
    if found:
        raise PlanError(dict.fromkeys(found))
    return budgets
