"""`surefoot gate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from surefoot.cli.options import out_option, plan_argument
from surefoot.cli.progress import shown


@click.command(
    "gate",
    help="Show the verdict of a finished run of PLAN, or test the gate with planted regressions.",
)
@plan_argument
@out_option
@click.option(
    "--selftest",
    "test",
    is_flag=True,
    help="Plant regressions in PLAN's baseline, and fail if one of them is not seen.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(plan: Path, out: Path | None, *, test: bool, as_json: bool) -> int:
    """Show or test the gate."""
    from surefoot.bundle import read_verdict_json
    from surefoot.bundle.encode import encode
    from surefoot.plan import read_plan
    from surefoot.report.bundle import bundle_exit_code, bundle_lines
    from surefoot.report.selftest import selftest_lines
    from surefoot.run import finished_bundle
    from surefoot.selftest import selftest

    checked = read_plan(plan)
    folder = out or checked.path.parent / "surefoot-run"
    if test:
        with shown() as progress:
            plants = selftest(checked, folder, progress)
        lines = [json.dumps(encode(plants), indent=1)] if as_json else selftest_lines(plants)
        click.echo("\n".join(lines))
        return 0 if all(plant.seen for plant in plants) else 1
    bundle = finished_bundle(checked, folder)
    data = read_verdict_json(bundle.path)
    if as_json:
        click.echo((bundle.path / "verdict.json").read_text())
    else:
        click.echo("\n".join(bundle_lines(bundle.path, data)))
    return bundle_exit_code(bundle.path, data)
