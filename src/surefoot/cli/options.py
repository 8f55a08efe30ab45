"""What several verbs take: the plan, its overrides, and the folder of its run."""

from __future__ import annotations

from pathlib import Path

import click

plan_argument = click.argument("plan", type=click.Path(path_type=Path), default="surefoot.toml")
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run; default: `surefoot-run` beside PLAN.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Override one key of the plan.",
)
