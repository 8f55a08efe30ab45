"""`surefoot init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "init",
    help="Look at MODEL and DATA (csv, jsonl or parquet to judge on), and write a plan that runs.",
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--train", type=click.Path(path_type=Path), help="Rows that steps may learn from.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="surefoot.toml",
    show_default=True,
    help="The plan.",
)
def command(model: Path, data: Path, train: Path | None, out: Path) -> None:
    """Draft a plan."""
    from surefoot.draft import draft_plan

    plan = draft_plan(model, data, out, train=train)
    click.echo(plan.read_text())
    click.echo(f"written to {plan}; look it over, then: surefoot run {plan}", err=True)
