"""`surefoot export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from surefoot.core.errors import PlanError
from surefoot.core.printable import printable


@click.command(
    "export",
    help="Write a candidate of BUNDLE in FORMAT, a form that other tools read: `surefoot list"
    " export` names them.",
)
@click.argument("form", metavar="FORMAT")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="What to write: a file, or a folder where the format has several.",
)
@click.option("--candidate", help="The candidate; default: the winner, or the best verdict.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Set an option of the format: `surefoot list export FORMAT` shows them.",
)
def command(
    form: str, bundle: Path, out: Path, candidate: str | None, settings: tuple[str, ...]
) -> None:
    """Write an export."""
    from surefoot.bundle import open_bundle
    from surefoot.report.export import write_export
    from surefoot.report.release import read_release

    options = _options(form, settings)
    with open_bundle(bundle) as folder:
        export = write_export(form, read_release(folder, candidate), out, options)
    for note in export.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(printable(str(out)))


def _options(form: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """The options of a format, checked as those of plugins in a plan are."""
    from surefoot import plugins
    from surefoot.plan.calls import call_problems
    from surefoot.plan.read import set_key

    plugins.module("export", form)
    options: dict[str, Any] = {}
    found = [problem for setting in settings for problem in set_key(options, setting)]
    found += call_problems("export", {**options, "use": form}, form)
    found += ["--set use: the format is the first argument"] if "use" in options else []
    if found:
        raise PlanError(found)
    return options
