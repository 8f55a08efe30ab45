"""`surefoot serve`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import click

from surefoot.core.errors import BundleError


@click.command(
    "serve",
    help="Serve the lean model of BUNDLE over HTTP, the fallback behind it, as its plan's [serve]"
    " table promises. BUNDLE is the folder of a run or of a bundle, or a zip file.",
)
@click.argument("bundle", type=click.Path(path_type=Path), default="surefoot-run")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A TOML file that says where and how it runs; the options below win over it.",
)
@click.option("--host", help="Address to listen at; default: 127.0.0.1.")
@click.option("--port", type=int, help="Port; 0 takes a free one; default: 8080.")
@click.option("--workers", type=int, help="Processes that answer; default: 1.")
@click.option("--force", is_flag=True, help="Serve what did not pass; answers say so.")
@click.option(
    "--print-dockerfile", is_flag=True, help="Print a Dockerfile that serves it, and end."
)
def command(  # size: one argument per option of the verb
    bundle: Path,
    config: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    *,
    force: bool,
    print_dockerfile: bool,
) -> int:
    """Serve."""
    if print_dockerfile:
        return _dockerfile(bundle)
    if not hasattr(os, "fork"):
        raise BundleError(
            "this system cannot fork processes",
            fix="serve on Linux or macOS, or in the container of --print-dockerfile",
        )
    # The process that forks workers must have no threads, and a library of numpy starts some.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from surefoot.serve.deployment import read_deployment
    from surefoot.serve.safety import watching
    from surefoot.serve.sockets import bound, reserved
    from surefoot.serve.supervisor import supervise

    said = {"host": host, "port": port, "workers": workers}
    given = {key: value for key, value in said.items() if value is not None}
    deployment = read_deployment(config, given)
    listener, grpc = bound(deployment.host, deployment.port), deployment.grpc_port
    with nullcontext() if grpc is None else reserved(deployment.host, grpc):
        supervise(
            bundle, deployment, listener, force=force, tell=lambda line: click.echo(line, err=True),
            watch=watching(deployment.log),
        )  # fmt: skip
    return 0


def _dockerfile(bundle: Path) -> int:
    from surefoot.bundle import open_bundle, read_plan_json
    from surefoot.core.printable import printable
    from surefoot.report.exports.dockerfile import dockerfile
    from surefoot.report.release import read_release

    with open_bundle(bundle) as folder:
        candidate = read_plan_json(folder).get("serve", {}).get("candidate")
        export = dockerfile(read_release(folder, candidate))
    click.echo(export.files["Dockerfile"], nl=False)
    for note in export.notes:
        click.echo(f"note: {printable(note)}", err=True)
    return 0
