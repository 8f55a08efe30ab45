"""`surefoot evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from surefoot.cli.options import out_option, plan_argument, set_option
from surefoot.cli.progress import shown
from surefoot.core.plan import Plan


@click.command(
    "evaluate",
    help="Measure everything that PLAN asks for, and judge nothing: PLAN needs no budget, and a run"
    " of it afterwards has nothing left to measure. The test sets are looked at, which the ledger"
    " counts.",
)
@plan_argument
@out_option
@set_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Instead, run the models of RUN, a run folder or a bundle of another machine or version,"
    " on PLAN's rows, and say which answers moved: exit code 1 if any did.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def command(
    *,
    plan: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    against: Path | None,
    as_json: bool,
) -> int:
    """Measure, or compare with what was measured elsewhere."""
    from surefoot.plan import read_plan

    checked = read_plan(plan, overrides, judged=False)
    folder = out or checked.path.parent / "surefoot-run"
    if against is not None:
        return _against(checked, against, folder, as_json=as_json)

    from surefoot.bundle.encode import encode
    from surefoot.report.bundle import evaluation_lines
    from surefoot.run import evaluate_plan

    with shown() as progress:
        data, use = evaluate_plan(checked, folder, progress)
    told = json.dumps({**data, "use": encode(use)}, indent=1, ensure_ascii=False, default=list)
    click.echo(told if as_json else "\n".join(evaluation_lines(data, use)))
    return 0


def _against(plan: Plan, run: Path, out: Path, *, as_json: bool) -> int:
    from surefoot.bundle import open_bundle
    from surefoot.bundle.encode import encode
    from surefoot.drift import drift
    from surefoot.report.drift import drift_exit_code, drift_lines

    with open_bundle(run) as bundle, shown() as progress:
        found = drift(plan, bundle, out, progress)
    told = json.dumps(encode(found), indent=1, ensure_ascii=False)
    click.echo(told if as_json else "\n".join(drift_lines(found)))
    return drift_exit_code(found)
