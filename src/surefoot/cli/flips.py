"""`surefoot flips`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from surefoot.cli.options import out_option, plan_argument
from surefoot.cli.progress import shown


@click.command(
    "flips",
    help="Show the rows of PLAN's data whose answer a candidate changed, the worst first.",
)
@plan_argument
@click.option("--candidate", metavar="NAME", help="Whose answers; default: the winner's.")
@click.option("--dataset", metavar="NAME", help="Only on this test set.")
@click.option("--shift", metavar="NAME", help="Only under this shift; '' for none.")
@out_option
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write a page with the inputs to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print all of them as JSON.")
def command(  # size: one argument per option of the verb
    *,
    plan: Path,
    candidate: str | None,
    dataset: str | None,
    shift: str | None,
    out: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show changed answers."""
    from surefoot.bundle import open_bundle
    from surefoot.plan import read_plan
    from surefoot.report.flips import inputs_of, other_source, read_flips
    from surefoot.report.flips_lines import flips_json, flips_lines
    from surefoot.report.flips_page import write_page

    checked = read_plan(plan)
    columns = checked.task.columns()
    with open_bundle(out or checked.path.parent / "surefoot-run") as bundle, shown() as progress:
        flips = read_flips(bundle, candidate=candidate, dataset=dataset, shift=shift)
        inputs = inputs_of(checked, bundle, flips, progress)
        others = other_source(bundle)
    note = ""
    if any(place.shift for place in flips.places) and others:
        note = "another version of surefoot made the run; its shifts may have been others"
        click.echo(note, err=True)
    if html:
        write_page(html, flips, inputs, columns, note=note)
        click.echo(f"written to {html}; it holds rows of your data", err=True)
    if as_json:
        click.echo(json.dumps(flips_json(flips, inputs, columns), indent=1, ensure_ascii=True))
    else:
        click.echo("\n".join(flips_lines(flips, inputs, columns)))
