"""`surefoot verify`."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from pathlib import Path

import click

from surefoot.cli.progress import shown


@click.command(
    "verify",
    help="Look into BUNDLE, a bundle's folder, a run's folder or a zip file: whether its files are"
    " whole, whether its verdict follows from them, and whether its models give the same here.",
)
@click.argument("bundle", type=click.Path(path_type=Path), default="surefoot-run")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Where the paths of the plan start; default: the folder that the run lies in, or that of"
    " the zip file.",
)
@click.option(
    "--rows",
    type=click.IntRange(1),
    help="Ask so many rows of each cell, drawn at random, instead of all.",
)
@click.option("--seed", type=int, help="What the draw starts from; default: drawn, and told.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The public Ed25519 key, as PEM, that has to have signed it.",
)
@click.option(
    "--from-scratch", is_flag=True, help="Make the winner anew from its recipe and seed, too."
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(  # size: one argument per option of the verb
    *,
    bundle: Path,
    data: Path | None,
    rows: int | None,
    seed: int | None,
    key: Path | None,
    from_scratch: bool,
    as_json: bool,
) -> int:
    """Look into a bundle."""
    from surefoot.bundle import open_bundle
    from surefoot.bundle.encode import encode
    from surefoot.core.drift import Sample
    from surefoot.core.errors import DamageError
    from surefoot.core.printable import printable
    from surefoot.report.verify import verification_exit_code, verification_lines
    from surefoot.verify import Wanted, verify

    drawn = secrets.randbelow(1 << 31) if seed is None else seed
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(open_bundle(bundle))
        except DamageError as error:
            click.echo(f"NOT INTACT  {printable(str(error))}")
            return 1
        progress = stack.enter_context(shown())
        wanted = Wanted(
            data=data or _beside(bundle, folder),
            sample=None if rows is None else Sample(rows=rows, seed=drawn),
            key=key,
            from_scratch=from_scratch,
        )
        found = verify(folder, wanted, progress)
    lines = [json.dumps(encode(found), indent=1)] if as_json else verification_lines(found)
    click.echo("\n".join(lines))
    return verification_exit_code(found)


def _beside(bundle: Path, folder: Path) -> Path:
    """The folder of the plan, if the bundle lies where its run wrote it."""
    return bundle.resolve().parent if bundle.is_file() else folder.resolve().parent.parent
