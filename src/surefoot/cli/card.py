"""`surefoot card`."""

from __future__ import annotations

from pathlib import Path

import click

from surefoot.core.printable import printable


@click.command(
    "card",
    help="Write a model card of a candidate of BUNDLE for people, in Markdown.",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The Markdown file to write."
)
@click.option("--candidate", help="The candidate; default: the winner, or the best verdict.")
@click.option(
    "--dossier",
    is_flag=True,
    help="Go through Annex IV of the EU AI Act instead: what the evidence answers, what it does"
    " not. No legal advice.",
)
def command(bundle: Path, out: Path, candidate: str | None, *, dossier: bool) -> None:
    """Write a card or a dossier."""
    from surefoot.bundle import open_bundle
    from surefoot.report.card import card_lines
    from surefoot.report.dossier import dossier_lines
    from surefoot.report.release import read_release
    from surefoot.store import whole_file

    with open_bundle(bundle) as folder:
        release = read_release(folder, candidate)
    lines = dossier_lines(release) if dossier else card_lines(release)
    with whole_file(out) as part:
        part.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    click.echo(printable(str(out)))
