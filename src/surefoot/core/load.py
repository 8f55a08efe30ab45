"""How long answers take: call by call, and request by request under load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from surefoot.core.estimate import Estimate

Scenario = Literal["single_stream", "multi_stream", "server", "offline"]
"""When requests arrive, by the names of MLPerf LoadGen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """Latencies of one candidate at one batch size, measured in turns with all the others."""

    candidate: str
    """The candidate's name."""
    runtime: str
    """The runtime it ran in."""
    batch: int
    """Rows per call."""
    threads: int
    """Threads the runtime was given."""
    wall_ms: np.ndarray
    """(calls,) milliseconds on the clock; call i of every candidate had the same rows."""
    cpu_ms: np.ndarray
    """(calls,) milliseconds of CPU time, all threads of the process."""
    machine: Machine | None = None
    """What else the machine did meanwhile; None where nobody watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What else a machine did during a measurement; None where the system does not tell."""

    steal: float | None
    """The share of all processors' time that a hypervisor gave to others."""
    foreign: float | None
    """The share of all processors' time that other processes used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedProfile:
    """One candidate under one load, request by request in the order of their arrival."""

    load: str
    """The load's name."""
    candidate: str
    """The candidate's name."""
    scenario: Scenario
    """When requests arrived."""
    runtime: str
    """The runtime it ran in; empty at an endpoint."""
    url: str | None = None
    """The endpoint; None where it ran in process."""
    batch: int
    """Rows a request."""
    threads: int
    """Threads the runtime was given."""
    target_qps: float | None
    """Requests a second that were asked for; None where the candidate sets the pace."""
    rows: np.ndarray
    """(requests, batch) int64 positions in the data set."""
    arrival_ms: np.ndarray
    """(requests,) when each was to arrive, from the start of the run."""
    wall_ms: np.ndarray
    """(requests,) from its scheduled arrival to its answer; infinite without a good one."""
    service_ms: np.ndarray
    """(requests,) from when it was sent to its answer; infinite likewise."""
    lateness_ms: np.ndarray
    """(requests,) how much later it was sent than by a generator that never is; 0 if never sent."""
    cpu_ms: np.ndarray
    """(requests,) CPU time of the call, all threads of the process; NaN at an endpoint."""
    answers: np.ndarray
    """(requests, batch) int64 predicted classes; -1 where there is none."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """What went wrong, and how often."""
    ended_ms: float
    """When the run was over: no answer, arrival or second of the load came after."""
    achieved_qps: float
    """Requests answered a second, from the start to the end of the run."""
    waiting: int
    """Requests without an answer when the last one arrived: what a queue that grows leaves."""
    machine: Machine
    """What else the machine did meanwhile."""
    busy: float
    """The share of one processor that the generator took; 0 in process, where it only waits."""
    agree: float | None = None
    """The share of an endpoint's answers that the candidate gave the same rows in its cell."""
    cold_ms: float | None = None
    """From opening the model to its first answer, in a fresh process."""
    memory_bytes: int | None = None
    """Main memory at its peak, of a fresh process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """What a candidate is worth under a load if answers after a deadline are of no use."""

    load: str
    """The load's name."""
    candidate: str
    """The candidate's name."""
    deadline_ms: float
    """The deadline, from the scheduled arrival."""
    in_time: Estimate
    """The share of requests that are answered in time."""
    accuracy: Estimate
    """The share of right answers, where one that comes late is wrong."""
    fallback: Estimate
    """The same, where the baseline answers instead of whoever is late."""
