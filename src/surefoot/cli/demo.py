"""`surefoot demo`."""

from __future__ import annotations

from pathlib import Path

import click

from surefoot.cli.progress import shown

DEMOS = ("sentiment", "fashion")


@click.command(
    "demo", help="Run a demo: `sentiment` (texts, MiniLM) or `fashion` (images, a small CNN)."
)
@click.argument("name", type=click.Choice(DEMOS), default="sentiment")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where to work; default: surefoot-demo/NAME."
)
def command(name: str, out: Path | None) -> int:
    """Prepare a demo's data and model, then run its plan."""
    from importlib import import_module

    from surefoot.bundle import read_verdict_json
    from surefoot.plan import read_plan
    from surefoot.report.bundle import bundle_exit_code, bundle_lines
    from surefoot.run import run_plan

    folder = out or Path("surefoot-demo") / name
    folder.mkdir(parents=True, exist_ok=True)
    prepare = getattr(import_module(f"surefoot.demos.{name}"), name)
    with shown() as progress:
        plan = read_plan(prepare(folder, progress))
        bundle, _ = run_plan(plan, folder / "surefoot-run", progress)
    data = read_verdict_json(bundle.path)
    click.echo("\n".join(bundle_lines(bundle.path, data)))
    return bundle_exit_code(bundle.path, data)
