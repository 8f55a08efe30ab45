"""`surefoot sign`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "sign",
    help="Sign the bundle of RUN, a run's folder or a bundle's, with a private Ed25519 key. The"
    " signature goes into the bundle, beside the manifest that it signs.",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The private key as PEM: openssl genpkey -algorithm ed25519 -out FILE",
)
def command(run: Path, key: Path) -> None:
    """Sign a bundle."""
    from surefoot.bundle import open_bundle, read_verdict_json, refuse_changed
    from surefoot.bundle.sign import sign_bundle
    from surefoot.core.errors import BundleError

    if run.is_file():
        raise BundleError(
            "is one file, which a signature would change",
            where=str(run),
            fix="sign the folder of the run, then write it with surefoot pack",
        )
    with open_bundle(run) as folder:
        refuse_changed(folder, run)
        name = sign_bundle(folder, key, read_verdict_json(folder))
    click.echo(f"signed by the key {name[:16]}…", err=True)
