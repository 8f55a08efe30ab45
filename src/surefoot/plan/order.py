"""Whether the steps of a candidate fit each other, and in which order they would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from surefoot import plugins
from surefoot.core.plan import CandidatePlan
from surefoot.plan.runtimes import own_runtime_problems

EXPORT = "export_onnx"
MOST_STEPS = 6
"""Of more steps not every order is tried: there are 720 of six."""


def order_problems(candidate: CandidatePlan, key: str, has: str | None) -> Iterator[str]:
    """Steps whose formats do not fit, each of which must take what the one before it gives.

    Args:
        candidate: The candidate.
        key: Its key in the plan.
        has: The format of the baseline; None where it is not known.

    Yields:
        What is wrong, with an order of the same steps that fits, or one with an export, where
        there is one.
    """
    names = [call if isinstance(call, str) else str(call["use"]) for call in candidate.steps]
    given, runtime = _given(names, has), candidate.runtime
    for place, (use, found) in enumerate(zip(names, given, strict=False)):
        if found is not None and not plugins.fits(use, found):
            what = f"'{use}' needs {' or '.join(plugins.takes(use))}, but is given {found}"
            yield f"{key}.steps[{place}]: {what}; {_fix(names, place, has, runtime)}"
            return
    gives = given[-1]
    if gives and runtime in plugins.names("runtime"):
        runs = plugins.module("runtime", str(runtime)).FORMATS
        if gives not in runs:
            yield f"{key}.runtime: '{runtime}' runs {' or '.join(runs)}, but the steps give {gives}"
    yield from own_runtime_problems(candidate, key, gives)


def _fix(names: Sequence[str], place: int, has: str | None, runtime: str | None) -> str:
    added = () if EXPORT in names else (EXPORT,)
    for steps in ([*names], [*added, *names]):
        if len(steps) <= MOST_STEPS:
            fitting = (order for order in permutations(steps) if _fits(order, has, runtime))
            order = next(fitting, None)
            if order is not None:
                return f"{_move(names, order, place)}: {list(order)}"
    return f"put {EXPORT} before it" if "onnx" in plugins.takes(names[place]) else "put it first"


def _move(names: Sequence[str], order: Sequence[str], place: int) -> str:
    """What to put before the step that does not fit: whatever newly stands right before it."""
    use = names[place]
    here = order.index(use)
    before = order[here - 1] if here else ""
    if before and before not in names[:place]:
        return f"put {before} before {use}"
    return f"put {use} before {order[here + 1]}" if here + 1 < len(order) else "an order that fits"


def _fits(order: Sequence[str], has: str | None, runtime: str | None) -> bool:
    given = _given(order, has)
    steps = zip(order, given, strict=False)
    if any(f is not None and not plugins.fits(use, f) for use, f in steps):
        return False
    known = runtime in plugins.names("runtime") and given[-1] is not None
    return not known or given[-1] in plugins.module("runtime", str(runtime)).FORMATS


def _given(names: Sequence[str], has: str | None) -> list[str | None]:
    """The format before each step, and at last what the last one gives."""
    formats = [has]
    for use in names:
        formats.append(plugins.gives(use, formats[-1]))
    return formats
