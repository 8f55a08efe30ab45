"""`surefoot cascade`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    "cascade",
    help="Say which answers of the lean model of BUNDLE may stand, and what that costs. BUNDLE is"
    " the folder of a run or of a bundle, or a zip file; its plan's [serve] table says what is"
    " promised, and the options win over it.",
)
@click.argument("bundle", type=click.Path(path_type=Path), default="surefoot-run")
@click.option("--candidate", help="The lean model; default: the plan's, or the one that passed.")
@click.option(
    "--max-error",
    type=float,
    help="Share of requests it may answer wrong where the fallback is right.",
)
@click.option("--delta", type=float, help="How often such a promise may be broken.")
@click.option("--abstain", is_flag=True, help="No fallback: nobody answers where it is not sure.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(
    bundle: Path,
    candidate: str | None,
    *,
    max_error: float | None,
    delta: float | None,
    abstain: bool,
    as_json: bool,
) -> int:
    """Show the trade-off."""
    from surefoot.bundle import open_bundle
    from surefoot.bundle.encode import encode
    from surefoot.report.cascade import cascade_lines
    from surefoot.serve.cascade import cascade, promised_plan

    with open_bundle(bundle) as folder:
        plan = promised_plan(folder, max_error=max_error, delta=delta, abstain=abstain)
        found = cascade(folder, plan, candidate)
    lines = [json.dumps(encode(found), indent=1)] if as_json else cascade_lines(found)
    click.echo("\n".join(lines))
    return 0 if found.chosen else 3
