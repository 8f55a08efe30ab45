"""What is wrong with the `[search]` table, each problem as `key: what; fix`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from surefoot.plan.calls import call_problems, file_problems, named
from surefoot.plan.numbers import DAY, positive_problems
from surefoot.plan.typed import File

MOST_FINALISTS = 20


def search_problems(file: File, folder: Path) -> Iterator[str]:
    """Numbers out of range, steps and files that there are not, and no rows to choose on."""
    search = file.search
    if search is None:
        return
    yield from positive_problems("search.minutes", search.minutes, 7 * DAY / 60)
    if not 0 <= search.worth < 1:
        yield f"search.worth: must be at least 0 and below 1, found {search.worth}"
    if not 1 <= search.finalists <= MOST_FINALISTS:
        yield f"search.finalists: must be 1 to {MOST_FINALISTS}, found {search.finalists}"
    if file.task.train is None and file.task.selection is None:
        yield "search: needs rows to choose on that no verdict sees; name task.train"
    seen = set()
    for i, call in enumerate(search.steps):
        key, (use, table) = f"search.steps[{i}]", named(call)
        problems = list(call_problems("step", table, key))
        if not problems:
            problems = list(file_problems(table, key, folder))
        # What the grammar gives, such as how many layers to keep, a plan need not.
        yield from (problem for problem in problems if ": missing; step" not in problem)
        if use in seen:
            yield f"{key}: '{use}' is given twice; leave one out"
        seen.add(use)
