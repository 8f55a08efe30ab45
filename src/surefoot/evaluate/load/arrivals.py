"""When requests arrive, and what a late generator did to them."""

from __future__ import annotations

import heapq

import numpy as np


def poisson(target_qps: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Arrival times of a Poisson process, given how many there are: as many as the rate says.

    Given their number, the arrivals of a Poisson process are independent and uniform (Kingman 1993,
    "Poisson processes", section 2.4). So the rate is met exactly, and the run ends when it should.

    Args:
        target_qps: Requests a second.
        seconds: How long requests arrive.
        rng: Where chance comes from.

    Returns:
        (requests,) seconds from the start, rising; at least one.
    """
    count = max(1, round(target_qps * seconds))
    return np.sort(rng.uniform(0, seconds, count))


def lateness(arrival: np.ndarray, sent: np.ndarray, done: np.ndarray, lanes: int) -> np.ndarray:
    """How much later requests were sent than by a generator that is never late.

    What a perfect one would have done follows from the times that were measured, each request
    taking as long as it did (Lindley 1952, "The theory of queues with a single server"; Kiefer and
    Wolfowitz 1955, "On the theory of queues with many servers"): it sends at the arrival, or when
    the first of its lanes is free. A wait for a lane is the candidate's fault, and not lateness.

    Args:
        arrival: (requests,) scheduled arrivals, rising.
        sent: (requests,) when each was really sent.
        done: (requests,) when its answer was there.
        lanes: How many may be under way at once.

    Returns:
        (requests,) in the unit of the times, at least 0.
    """
    late, busy_until = np.zeros(len(arrival)), list[float]()
    for i, (due, begun, took) in enumerate(zip(arrival, sent, done - sent, strict=True)):
        free = heapq.heappop(busy_until) if len(busy_until) == lanes else -np.inf
        best = max(due, free)
        late[i] = max(begun - best, 0.0)
        heapq.heappush(busy_until, best + took)
    return late
