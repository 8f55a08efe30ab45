"""`surefoot serve`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "serve",
    help="Serve the lean model of BUNDLE over HTTP, the fallback behind it, as its plan's [serve]"
    " table promises. BUNDLE is the folder of a run or of a bundle, or a zip file.",
)
@click.argument("bundle", type=click.Path(path_type=Path), default="surefoot-run")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8080, show_default=True, help="Port; 0 takes a free one.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads inside an operator.",
)
@click.option("--force", is_flag=True, help="Serve what did not pass; answers say so.")
def command(bundle: Path, host: str, port: int, threads: int, *, force: bool) -> int:
    """Serve."""
    from surefoot.bundle import open_bundle, read_verdict_json
    from surefoot.core.model import BASELINE
    from surefoot.core.printable import printable
    from surefoot.report.cascade import promise_line
    from surefoot.serve import cascade_or_alone, open_router, promised_plan
    from surefoot.serve.board import Board
    from surefoot.serve.flow import ABSTAIN, Flow
    from surefoot.serve.listen import listen
    from surefoot.serve.meters import CELLS, Meters, name_models
    from surefoot.serve.readiness import Readiness
    from surefoot.serve.service import Service

    with open_bundle(bundle) as folder:
        plan = promised_plan(folder, max_error=None, delta=None, abstain=False)
        data = read_verdict_json(folder)
        found = cascade_or_alone(folder, plan, data)
        with open_router(folder, data, found, threads=threads, force=force) as opened:
            behind = () if opened.fallback is None else (opened.fallback,)
            flow = Flow(
                opened.stages,
                opened.fallback,
                len(opened.model.signature.classes),
                standing=opened.standing,
                fallback_s=(found.fallback_slow_ms or 0.0) / 1000,
            )
            ready = Readiness([*opened.stages, *behind], opened.golden)
            board = Board(slots=1, cells=CELLS)
            name_models(board, (found.lean, BASELINE, ABSTAIN))
            service = Service(opened, flow, ready, Meters(board, 0))

            def tell(address: str) -> None:
                told = f"the verdict of {printable(found.lean)} is {opened.verdict}"
                lines = (promise_line(found), told, f"surefoot: listening at {address}")
                click.echo("\n".join(lines), err=True)

            listen(service, host, port, tell)
    return 0
