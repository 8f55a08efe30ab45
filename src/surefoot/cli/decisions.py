"""`surefoot decisions`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    "decisions",
    help="Say what the decision log in FOLDER holds: who answered, what was promised, and how much"
    " of it was right where labels came. Services may be writing to it.",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(folder: Path, *, as_json: bool) -> None:
    """Count decisions."""
    from surefoot.bundle.encode import encode
    from surefoot.report.decisions import decision_lines
    from surefoot.serve.rotation import tallied

    found = tallied(folder)
    lines = [json.dumps(encode(found), indent=1)] if as_json else decision_lines(found)
    click.echo("\n".join(lines))
