"""Calibration of every candidate of a finished run, before and after temperature.

`python benchmarks/calibration.py PLAN RUN_FOLDER [CANDIDATE ...]` takes the run folder, seen from
the plan, as it lies there, whatever surefoot made it, and fills the cells of the calibration rows
alone; work on a copy of the folder if it is to stay as it is.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from surefoot.bundle.encode import encode
from surefoot.compress import compress_all
from surefoot.core.hashing import hash_json
from surefoot.data import for_classes, read_task
from surefoot.evaluate import beside_tests, calibration_evidence, fill_cells, under_shifts
from surefoot.models import adopt_baseline
from surefoot.plan import read_plan
from surefoot.report.calibration import calibration_lines
from surefoot.store import Store


def main(plan_file: str, folder: str, *names: str) -> None:
    """Print the table of the report, and the warnings."""
    plan = read_plan(plan_file)
    if names:
        plan = replace(plan, recipes=tuple(r for r in plan.recipes if r.name in names))
    out = plan.path.parent / folder
    made_in = json.loads((out / "bundle" / "environment.json").read_text())
    store = Store(out, hash_json(made_in))
    raw = read_task(plan)
    baseline = adopt_baseline(plan.model, raw, store, "baseline")
    task = for_classes(raw, baseline.model.signature.classes)
    recipes = [(recipe, plan.runtimes.get(recipe.name)) for recipe in plan.recipes]
    made = compress_all(baseline.model, recipes, task, store)
    sets, others = under_shifts(task.test, plan.shifts), beside_tests(task)
    everyone = [baseline, *made.candidates]
    cells, beside = (
        {c.name: fill_cells(c, part, store, batch=plan.evaluate.batch) for c in everyone}
        for part in (sets, others)
    )
    found = calibration_evidence(cells, sets, beside, others, store)
    print("\n".join(calibration_lines(encode(found))))
    print(*(f"warning: {line}" for line in found.warnings), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
