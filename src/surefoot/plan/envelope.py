"""What is wrong with the envelopes of a plan, each problem as `key: what; fix`."""

from __future__ import annotations

from collections.abc import Iterator

from surefoot import plugins
from surefoot.core.errors import nearest
from surefoot.core.model import INPUTS
from surefoot.core.plan import TIMED_AXES, EnvelopePlan
from surefoot.plan.numbers import CALL, DAY, count_problems, positive_problems, total_problems
from surefoot.plan.typed import File


def envelope_problems(file: File) -> Iterator[str]:
    """Axes that are not known or do not fit, limits of another axis, and values out of range."""
    seen = set()
    for i, wanted in enumerate(file.evaluate.envelope):
        key = f"evaluate.envelope[{i}]"
        if wanted.axis in TIMED_AXES:
            found = _timed_problems(wanted)
        else:
            found = _shift_problems(wanted, INPUTS[file.task.kind])
        yield from (f"{key}.{problem}" for problem in found)
        name, sets = wanted.dataset, file.task.test
        if name is not None and name not in sets:
            yield f"{key}.dataset: no dataset called '{name}'; {nearest(name, sets)}"
        place = (wanted.axis, name or next(iter(sets), None))
        if place in seen:
            yield f"{key}: '{wanted.axis}' is given twice for one data set; leave one out"
        seen.add(place)


def _shift_problems(wanted: EnvelopePlan, inputs: str) -> Iterator[str]:
    axis, shifts = wanted.axis, plugins.names("shift")
    if axis not in shifts:
        yield f"axis: no axis called '{axis}'; {nearest(axis, (*shifts, *TIMED_AXES))}"
        return
    takes = plugins.module("shift", axis).INPUT
    if getattr(plugins.module("shift", axis), "GIVES", "inputs") == "rows":
        yield f"axis: '{axis}' chooses rows, and an envelope asks the same ones at each severity"
    if takes != inputs:
        yield f"axis: '{axis}' shifts {takes} inputs, and the task's are {inputs}"
    if "severity" not in plugins.options("shift", axis):
        yield f"axis: '{axis}' has no severity, so there is nothing to go along"
    yield from _misplaced(wanted, "max_drop", "at_most")
    yield from _out_of_place(wanted, "up_to", f"'{axis}' ends at severity 5")
    if wanted.max_drop is not None and not 0 < wanted.max_drop < 1:
        yield f"max_drop: must be between 0 and 1, found {wanted.max_drop}"


def _timed_problems(wanted: EnvelopePlan) -> Iterator[str]:
    axis, share = wanted.axis, wanted.axis == "deadline"
    yield from _misplaced(wanted, "at_most", "max_drop")
    if share and wanted.at_most is not None and not 0 < wanted.at_most < 1:
        yield f"at_most: must be between 0 and 1, found {wanted.at_most}"
    elif wanted.at_most is not None:
        yield from positive_problems("at_most", wanted.at_most)
    if TIMED_AXES[axis] is None:
        yield from _out_of_place(wanted, "up_to", f"'{axis}' has an end of its own")
    elif wanted.up_to is not None:
        yield from count_problems("up_to", wanted.up_to, CALL, least=2)
    yield from positive_problems("seconds", wanted.seconds, DAY)
    if axis == "arrival_rate":
        yield from _many(wanted)


def _many(wanted: EnvelopePlan) -> Iterator[str]:
    """More requests at the end of the axis than can be kept, where that end is in range."""
    end = wanted.up_to or TIMED_AXES[wanted.axis] or 1
    if end <= CALL and 0 < wanted.seconds <= DAY:
        yield from total_problems("up_to" if wanted.up_to else "seconds", end, wanted.seconds)


def _misplaced(wanted: EnvelopePlan, needed: str, other: str) -> Iterator[str]:
    """The limit of the other kind of axis, or none."""
    if getattr(wanted, needed) is None:
        yield f"{needed}: missing; '{wanted.axis}' needs it"
    yield from _out_of_place(wanted, other, f"'{wanted.axis}' takes {needed}")


def _out_of_place(wanted: EnvelopePlan, key: str, why: str) -> Iterator[str]:
    if getattr(wanted, key) is not None:
        yield f"{key}: {why}; leave {key} out"
