"""`surefoot report`."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("html", "plain", "markdown", "json", "junit")


@click.command(
    "report",
    help="Write what a run found, from BUNDLE alone: a bundle, its zip file, or a run's folder.",
)
@click.argument("bundle", type=click.Path(path_type=Path), default="surefoot-run")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="html",
    help="A page (default), text, Markdown for a comment, JSON, or JUnit XML.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file; default: standard output, of a page `report.html` beside the bundle.",
)
def command(bundle: Path, *, form: str, out: Path | None) -> None:
    """Write a report; that it could be written is success, whatever the verdict."""
    from surefoot.bundle import open_bundle
    from surefoot.report.forms import beside, in_form, write_report

    with open_bundle(bundle) as folder:
        text = in_form(form, folder, shown=bundle)
        target = out or (beside(bundle, folder) if form == "html" else None)
        if target is None:
            click.echo(text, nl=False)
            return
        written = write_report(target, text, form, folder)
    click.echo(f"written to {written}", err=True)
