"""What a service counts, as Prometheus reads it: one sum over all its processes.

The numbers lie in shared memory (`Board`), and each process writes cells of its own. So every
process tells what all of them did, also those that have ended, and a count costs no message.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal

from surefoot.core.errors import nearest
from surefoot.serve.board import Board

if TYPE_CHECKING:
    from surefoot.serve.flow import Answered

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Where the histogram of times is cut."""
SHARES = tuple(i / 20 for i in range(1, 21))
"""Where the histogram of confidence is cut."""
STATUSES = (
    "200", "202", "400", "401", "404", "405", "408", "409", "413", "415", "429", "499",
    "500", "503", "504",
)  # fmt: skip
NAMED = 32
"""Names of models at most, over all reloads; the numbers of any more are those of `other`."""
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One thing that is counted."""

    kind: Literal["counter", "gauge", "histogram"]
    """`counter`: never goes back. `gauge`: a state, which ends with its process."""
    text: str
    """What it is, for who reads the page."""
    label: str = ""
    """What tells its numbers apart; empty where it is one number."""
    values: tuple[str, ...] = ()
    """What the label may say; none for names of models, which the bundle decides."""
    cuts: tuple[float, ...] = ()
    """Of a histogram: the upper ends of all but the last part."""

    @property
    def cells(self) -> int:
        """How many numbers it takes."""
        if self.cuts:
            return len(self.cuts) + 2  # what lies above the last cut, and the sum of all
        if not self.label:
            return 1
        return (len(self.values) or NAMED) + 1


METERS: Mapping[str, Meter] = {
    "requests": Meter(
        kind="counter", text="Requests for answers, by HTTP status.", label="status",
        values=STATUSES,
    ),
    "rows": Meter(kind="counter", text="Rows, by the model that answered.", label="route"),
    "void_rows": Meter(kind="counter", text="Rows whose promise is void."),
    "request_seconds": Meter(
        kind="histogram", text="From the head of a request that is not refused to its answer.",
        cuts=SECONDS,
    ),
    "confidence": Meter(
        kind="histogram", text="Of the model that answered, in its answer.", cuts=SHARES
    ),
    "fallback_left_alone": Meter(
        kind="gauge", text="Processes that do not ask a fallback which has been failing."
    ),
    "workers": Meter(kind="gauge", text="Processes that answer requests."),
    "workers_died": Meter(kind="counter", text="Processes that ended without being told to."),
    "reloads": Meter(
        kind="counter", text="Times that another bundle was asked for.", label="outcome",
        values=("taken", "refused"),
    ),
    "records_dropped": Meter(
        kind="counter", text="Records for the supervisor that found its pipe full."
    ),
    "decisions": Meter(kind="counter", text="Answers that were logged."),
    "decisions_dropped": Meter(
        kind="counter", text="Answers for which the decision log had no room."
    ),
    "labels": Meter(kind="counter", text="Labels that came for earlier answers."),
    "safe_mode": Meter(kind="gauge", text="1 during an alarm, while nothing is promised."),
    "safe_mode_epoch": Meter(kind="gauge", text="How often that has changed."),
    "safe_mode_capital": Meter(
        kind="gauge", text="What a bet on more disagreement has made of 1."
    ),
    "shadow_pairs": Meter(kind="gauge", text="Rows that both models were compared on."),
    "shadow_disagreement": Meter(
        kind="gauge", text="The share of the last 200 answers that stood and the fallback's differ."
    ),
    "shadow_limit": Meter(kind="gauge", text="The share that may differ."),
}  # fmt: skip
"""Everything that is counted, by name."""


def _placed() -> tuple[dict[str, int], int]:
    """The first cell of each meter, and how many cells there are."""
    places, cells = {}, 0
    for name, meter in METERS.items():
        places[name], cells = cells, cells + meter.cells
    return places, cells


_AT, CELLS = _placed()
"""The first cell of each meter; and how many numbers a process has."""


class Meters:
    """The numbers of one process, and a look at those of all.

    Args:
        board: The shared memory.
        slot: Which of its processes this is.
    """

    def __init__(self, board: Board, slot: int) -> None:
        self._board, self._cells = board, board.slot(slot)
        # A request may be counted in the thread that its model ran in, and += takes two steps.
        self._lock = Lock()
        self._known = {
            (name, label): _AT[name] + i
            for name, meter in METERS.items()
            for i, label in enumerate(_fixed(meter))
        }

    def add(self, name: str, by: float = 1.0, label: str = "") -> None:
        """Count.

        Args:
            name: The meter.
            by: How much.
            label: Which of its numbers; one that is not known counts as `other`.

        Raises:
            KeyError: No such meter.
        """
        place = self._known.get((name, label))
        if place is None:
            place = self._place(name, label)
        with self._lock:
            self._cells[place] += by

    def set(self, name: str, value: float) -> None:
        """Tell a state; the service's is the sum over its processes.

        Args:
            name: The meter.
            value: The state.

        Raises:
            KeyError: No such meter.
        """
        self._cells[_at(name)] = value

    def observe(self, name: str, value: float) -> None:
        """Put a value into a histogram.

        Args:
            name: The meter.
            value: The value.

        Raises:
            KeyError: No such meter.
        """
        first, cuts = _at(name), METERS[name].cuts
        with self._lock:
            self._cells[first + bisect_left(cuts, value)] += 1
            self._cells[first + len(cuts) + 1] += value

    def answered(self, is_call: bool, status: int, seconds: float) -> None:
        """Count a request; pages such as this one's are none."""
        if is_call:
            self.add("requests", 1, str(status))
            if not 400 <= status < 500:  # a bad request is answered quickly
                self.observe("request_seconds", seconds)

    def routed(self, answered: Answered) -> None:
        """Count the rows of a request."""
        routes = answered.routes
        for route in set(routes):
            self.add("rows", routes.count(route), route)
        for confidence in answered.scores.max(axis=1).tolist():
            if confidence == confidence:  # noqa: PLR0124 - NaN where an endpoint does not tell it
                self.observe("confidence", confidence)
        # What holds says `held` alone; the supervisor counts too, and loads no model for a word.
        void = sum(promise.startswith("void") for promise in answered.promises)
        if void:
            self.add("void_rows", void)

    def read(self) -> dict[str, dict[str, float]]:
        """The sums over all processes: name, then label, of one number "".

        Of a histogram the labels are the upper ends of its parts, `+Inf` and `sum`; the number of
        a part is that of values within it, not of all below.
        """
        sums, named = self._board.sums(), self._board.names.read() or []
        return {
            name: dict(_labelled(meter, sums[_AT[name] : _AT[name] + meter.cells], named))
            for name, meter in METERS.items()
        }

    def page(self) -> bytes:
        """All of it, in the text format of Prometheus, 0.0.4."""
        lines: list[str] = []
        for name, values in self.read().items():
            meter, full = METERS[name], f"surefoot_{name}"
            full += "_total" if meter.kind == "counter" else ""
            lines += [f"# HELP {full} {meter.text}", f"# TYPE {full} {meter.kind}"]
            lines += _parts(full, values) if meter.cuts else _lines(full, meter.label, values)
        return "\n".join([*lines, ""]).encode()

    def _place(self, name: str, label: str) -> int:
        """The cell of a label that is met for the first time."""
        first, meter = _at(name), METERS[name]
        if meter.values:
            return self._known[name, OTHER]
        if not meter.label:
            raise KeyError(f"meter '{name}' has no label")
        named = self._board.names.read() or []
        if label not in named:
            return first + NAMED
        place = first + named.index(label)
        self._known[name, label] = place
        return place


def name_models(board: Board, names: Iterable[str]) -> None:
    """Give names of models numbers of their own; for the supervisor alone.

    Args:
        board: The shared memory.
        names: Those that routes will tell; names that are known keep what they have.
    """
    known = board.names.read() or []
    board.names.write([*known, *(name for name in names if name not in known)][:NAMED])


def forget_states(board: Board, slot: int) -> None:
    """Clear the states of a process that has ended; what it counted stays.

    Args:
        board: The shared memory.
        slot: Which one it was.
    """
    cells = board.slot(slot)
    for name, meter in METERS.items():
        if meter.kind == "gauge":
            cells[_AT[name]] = 0.0
    board.crowd[slot] = 0.0


def _at(name: str) -> int:
    place = _AT.get(name)
    if place is None:
        raise KeyError(f"no meter '{name}'; {nearest(name, METERS)}")
    return place


def _fixed(meter: Meter) -> tuple[str, ...]:
    """The labels that a meter has whatever the bundle."""
    if meter.values:
        return (*meter.values, OTHER)
    return () if meter.label else ("",)


def _labelled(meter: Meter, numbers: list[float], named: list[str]) -> Iterator[tuple[str, float]]:
    """The numbers of a meter by label; of names of models, those that are known."""
    if meter.cuts:
        labels = [*(f"{cut:g}" for cut in meter.cuts), "+Inf", "sum"]
    elif meter.label:
        labels = [*(meter.values or named)]
        if numbers[-1]:
            yield OTHER, numbers[-1]
    else:
        labels = [""]
    yield from zip(labels, numbers, strict=False)


def _lines(full: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    for value, number in values.items():
        inside = f'{{{label}="{_escaped(value)}"}}' if label else ""
        yield f"{full}{inside} {_number(number)}"


def _parts(full: str, values: Mapping[str, float]) -> Iterator[str]:
    """A histogram, whose parts Prometheus wants with all below them."""
    below = 0.0
    for end, number in values.items():
        if end != "sum":
            below += number
            yield f'{full}_bucket{{le="{end}"}} {_number(below)}'
    yield f"{full}_sum {_number(values['sum'])}"
    yield f"{full}_count {_number(below)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
