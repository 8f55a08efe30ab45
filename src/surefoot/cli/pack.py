"""`surefoot pack`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "pack",
    help="Write the bundle of RUN, a run's folder or a bundle's, as the single zip file OUT. The"
    " same bundle gives the same bytes; every verb that takes a bundle takes it.",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def command(run: Path, out: Path) -> None:
    """Write a bundle as one file."""
    from surefoot.bundle import open_bundle, pack_bundle, refuse_changed

    with open_bundle(run) as folder:
        refuse_changed(folder, run)
        pack_bundle(folder, out)
        size = out.stat().st_size / 1e6
    click.echo(f"written to {out}, {size:.1f} MB", err=True)
