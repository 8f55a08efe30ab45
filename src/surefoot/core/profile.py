"""What a runtime really ran: the operators of a call, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kind of operator as a runtime ran it, in one call of the model."""

    operator: str
    """As the runtime calls it, for example `ConvInteger`."""
    types: str
    """The element types of what it multiplies, for example `uint8 x int8`."""
    integer: bool
    """Whether one of them is of 8 bits or fewer."""
    weights: bool
    """Whether it reads constants of the model, not only what other operators give."""
    nodes: float
    """How many of them run in a call."""
    ms: float
    """Milliseconds a call, all of them together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where the time of a call goes, measured apart from the latencies, operator by operator."""

    batch: int
    """Rows a call."""
    threads: int
    """Threads the runtime was given."""
    calls: int
    """Calls that were counted; what follows are medians or means of them."""
    prepare_ms: float
    """Milliseconds that making tensors of the rows takes: tokenising, scaling."""
    run_ms: float
    """Milliseconds in the runtime, without a profile being taken."""
    kernels: tuple[Kernel, ...] = ()
    """The operators, the longest first; none where the runtime does not tell."""
