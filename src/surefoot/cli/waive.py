"""`surefoot waive`."""

from __future__ import annotations

from pathlib import Path

import click

from surefoot.cli.options import out_option, plan_argument
from surefoot.core.printable import printable


@click.command(
    "waive",
    help="Sign for BUDGET, which a finished run of PLAN did not show to hold, until a day: it is"
    " called as in the report. The verdict stays; the exit code is 0 once all that is open is"
    " signed for. Written to surefoot-waivers.toml beside PLAN.",
)
@click.argument("budget")
@plan_argument
@click.option("--until", required=True, metavar="DAY", help="The last day, as 2026-12-31.")
@click.option("--reason", required=True, help="Why it may be so for a while.")
@out_option
def command(budget: str, plan: Path, until: str, reason: str, out: Path | None) -> int:
    """Write a waiver."""
    from surefoot.plan import read_plan
    from surefoot.report.waivers import waiver_text
    from surefoot.waive import waive
    from surefoot.waivers import WAIVERS

    checked = read_plan(plan)
    folder = (out or checked.path.parent / "surefoot-run") / "bundle"
    waiver, others = waive(checked.path, folder, budget, until=until, reason=reason)
    click.echo(printable(f"{waiver.budget} of {waiver.candidate}: ") + waiver_text(waiver))
    if others:
        left = ", ".join(map(printable, others))
        click.echo(f"not waived, so that the exit code stays as it is: {left}", err=True)
    click.echo(f"written to {WAIVERS}; the next surefoot run takes it up", err=True)
    return 0
