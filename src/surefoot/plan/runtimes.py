"""Runtimes that a candidate's steps choose for it, as `set_runtime` does."""

from __future__ import annotations

from collections.abc import Iterator

from surefoot import plugins
from surefoot.core.plan import CandidatePlan
from surefoot.plan.calls import name_problems, named
from surefoot.plan.numbers import WORKERS, count_problems


def own_runtime_problems(candidate: CandidatePlan, key: str, has: str | None) -> Iterator[str]:
    """Settings of runtimes that cannot be had.

    They come from steps whose file says `SETS_RUNTIME`.

    Args:
        candidate: A candidate whose steps there are, with options that they take.
        key: Where it stands in the plan.
        has: The format that its steps give, as far as it is known.

    Yields:
        A runtime that does not exist, is not installed, does not read what the steps give, or is
        not the one that the candidate itself asks for; and threads out of range.
    """
    chosen, at = None, key
    for j, (use, table) in enumerate(map(named, candidate.steps)):
        if not getattr(plugins.module("step", use), "SETS_RUNTIME", False):
            continue
        if isinstance(table.get("threads"), int):
            yield from count_problems(f"{key}.steps[{j}].threads", table["threads"], WORKERS)
        if isinstance(table.get("runtime"), str):
            chosen, at = table["runtime"], f"{key}.steps[{j}].runtime"
    if chosen is None:
        return
    unknown = list(name_problems("runtime", chosen, at))
    yield from unknown
    if unknown:
        return
    module = plugins.module("runtime", chosen)
    missing = plugins.missing_library(chosen)
    if missing:
        library, extra = missing
        yield f"{at}: {library} is not installed; pip install 'surefoot[{extra}]'"
    if has and has not in module.FORMATS:
        runs = " or ".join(module.FORMATS)
        yield f"{at}: '{chosen}' runs {runs}, but the steps give {has}"
    if candidate.runtime not in (None, chosen):
        yield f"{key}.runtime: '{candidate.runtime}', but {at} says '{chosen}'; leave one out"
