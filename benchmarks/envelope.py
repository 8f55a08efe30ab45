"""What fails first of the candidates of a finished run, and how few rows that takes.

    python benchmarks/envelope.py PLAN DATASET MAX_DROP BASELINE,CANDIDATE,… AXIS…

PLAN was run (`surefoot run PLAN`): its candidates lie in `surefoot-run` beside it. Each AXIS is a
shift. Printed is the table of the report, and what all rows at every severity would have taken.
What was asked is kept in `envelope-run` in the current folder: an interrupted one goes on.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from surefoot.bundle.encode import encode
from surefoot.core.dataset import Dataset
from surefoot.core.model import Candidate, Recipe
from surefoot.core.plan import EnvelopePlan, EvaluatePlan
from surefoot.core.progress import Silent
from surefoot.data import for_classes, read_task
from surefoot.evaluate import fill_cells
from surefoot.evaluate.envelope.axes import measure_envelopes
from surefoot.models import read_model
from surefoot.plan import read_plan
from surefoot.report.envelope import envelope_lines, fails_first
from surefoot.store import Store


class Told(Silent):
    """Says on stderr what is tried."""

    def start(self, title: str, total: int) -> None:
        """What is tried next."""
        del total
        print(title, file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """A warning."""
        print(line, file=sys.stderr, flush=True)


def finished(run: Path, names: list[str]) -> list[Candidate]:
    """The candidates of a finished run, by name."""
    listed = {
        c["name"]: c for c in json.loads((run / "bundle/verdict.json").read_text())["candidates"]
    }
    models = [read_model(folder, trust=True) for folder in (run / "models").iterdir()]
    by_print = {model.fingerprint: model for model in models}
    return [
        Candidate(
            name=name,
            model=by_print[listed[name]["fingerprint"]],
            runtime=listed[name]["runtime"],
            recipe=Recipe(name=name),
        )
        for name in names
    ]


def main() -> None:
    """Measure, and print."""
    path, name, margin, names, *axes = sys.argv[1:]
    plan, store = read_plan(path), Store(Path("envelope-run"))
    candidates = finished(plan.path.parent / "surefoot-run", names.split(","))
    task = for_classes(read_task(plan, Silent()), candidates[0].model.signature.classes)
    sets: dict[str, Dataset] = {name: task.test[name]}
    cells = {c.name: fill_cells(c, sets, store) for c in candidates}
    wanted = [EnvelopePlan(axis=a, max_drop=float(margin), dataset=name) for a in axes]
    began = time.perf_counter()
    found = encode(
        measure_envelopes(EvaluatePlan(envelope=wanted), candidates, sets, cells, store, Told())
    )
    print("\n".join([*fails_first(found), *envelope_lines(found)]))
    asked, grid = (sum(one[key] for one in found) for key in ("asked", "grid"))
    print(f"{asked:,} of {grid:,} rows ({asked / grid:.1%}), {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
