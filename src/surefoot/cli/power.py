"""`surefoot power`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from surefoot.cli.options import plan_argument, set_option
from surefoot.cli.progress import shown
from surefoot.core.dataset import Dataset
from surefoot.core.plan import Plan


@click.command(
    "power",
    help="Say which budgets of PLAN its test sets can decide, and how many rows are missing."
    " Only the data are read; no model is.",
)
@plan_argument
@click.option(
    "--flips",
    type=float,
    multiple=True,
    metavar="SHARE",
    help="Assume that this share of answers changes; default: 0.02, 0.05 and 0.1.",
)
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(
    *, plan: Path, flips: tuple[float, ...], overrides: tuple[str, ...], as_json: bool
) -> int:
    """Look ahead: exit code 0 if every budget can be decided, else 3."""
    from surefoot.bundle.encode import encode
    from surefoot.data import sketch
    from surefoot.evaluate import asked_rows
    from surefoot.gate.power import FLIPS, Design, foresee, places
    from surefoot.ledger import LEDGER, planned_use
    from surefoot.plan import read_plan
    from surefoot.report.power import power_lines

    checked = read_plan(plan, overrides)
    tests = _tests(checked)
    sketches = {name: sketch(dataset.inputs) for name, dataset in tests.items()}
    design = Design(
        candidates=len(checked.recipes) + (checked.search.finalists if checked.search else 0),
        calls=checked.evaluate.latency.calls,
        use=planned_use(checked.path.parent / LEDGER, sketches),
        seeds=checked.evaluate.seeds,
        checks=asked_rows(checked, sum(map(len, tests.values()))),
        requests={n: load.requests for n, load in checked.evaluate.load.items() if load.requests},
    )
    outlook = foresee(checked.budgets, places(tests, checked.shifts), design, flips or FLIPS)
    if as_json:
        click.echo(json.dumps(encode(outlook), indent=1))
    else:
        click.echo("\n".join(power_lines(outlook)))
    return 0 if outlook.decided == outlook.budgets else 3


def _tests(plan: Plan) -> dict[str, Dataset]:
    """The test sets alone."""
    from surefoot.data import confirmation_sets, read_tests

    with shown() as progress:
        progress.start("reading test sets", len(plan.task.test))
        found, notes = confirmation_sets(plan, read_tests(plan, progress))
        for note in notes:
            progress.note(note)
    return found
