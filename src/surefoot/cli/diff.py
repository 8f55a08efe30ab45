"""`surefoot diff`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    "diff",
    help="Say what moved from THEN to NOW: run folders, bundles, or zip files of bundles. Answers"
    " are compared row by row where ids match. Exit code 1 if something is shown to be worse, 4 if"
    " the two do not fit each other, 3 if something is undecided, else 0.",
)
@click.argument("then", type=click.Path(path_type=Path))
@click.argument("now", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(*, then: Path, now: Path, as_json: bool) -> int:
    """Compare two bundles."""
    from surefoot.bundle import open_bundle
    from surefoot.bundle.encode import encode
    from surefoot.diff import diff_bundles
    from surefoot.report.diff import diff_exit_code, diff_lines

    with open_bundle(then) as old, open_bundle(now) as new:
        found = diff_bundles(old, new)
    told = json.dumps(encode(found), indent=1, ensure_ascii=True)
    click.echo(told if as_json else "\n".join(diff_lines(found)))
    return diff_exit_code(found)
