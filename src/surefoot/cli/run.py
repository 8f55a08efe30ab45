"""`surefoot run`."""

from __future__ import annotations

from pathlib import Path

import click

from surefoot.cli.options import out_option, plan_argument, set_option
from surefoot.cli.progress import shown


@click.command(
    "run",
    help="Run PLAN: all stages up to the bundle and its verdict. Finished stages are kept,"
    " and an unchanged plan prints its verdict alone: `gate` shows the rest.",
)
@plan_argument
@out_option
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def command(plan: Path, out: Path | None, overrides: tuple[str, ...], as_json: bool) -> int:
    """Run a plan and print its verdict."""
    from surefoot.bundle import read_verdict_json
    from surefoot.plan import read_plan
    from surefoot.report.bundle import bundle_exit_code, bundle_line, bundle_lines
    from surefoot.run import run_plan

    checked = read_plan(plan, overrides)
    with shown() as progress:
        bundle, new = run_plan(checked, out or checked.path.parent / "surefoot-run", progress)
    if not new:
        click.echo("nothing to do: the plan, its files and this machine are unchanged", err=True)
    data = read_verdict_json(bundle.path)
    if as_json:
        click.echo((bundle.path / "verdict.json").read_text())
    elif new:
        click.echo("\n".join(bundle_lines(bundle.path, data)))
    else:  # who runs it on every commit reads one line as long as nothing changes
        click.echo(bundle_line(bundle.path, data))
    return bundle_exit_code(bundle.path, data)
