"""What can be said of a candidate under load, and what keeps a run from saying anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surefoot import stats
from surefoot.core.budget import QUANTILES
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget
from surefoot.core.load import ServedProfile
from surefoot.evaluate.latency import AGAIN
from surefoot.evaluate.load.one import offered
from surefoot.evaluate.machine import disturbed, quantile, times_itself, unlike
from surefoot.gate.samples import Calls, Exact, Sample, Series

LATEST_MS = 1.0
"""So late may the generator send its latest 1 % of requests, in milliseconds."""
LATEST = 0.1
"""Or so late, as a share of the latency of the slowest 1 %, if that is more."""
BUSIEST = 0.7
"""A generator that takes more of one processor than this may be what is slow."""
MOST_WAITING = 0.05
"""A queue that holds more of the run's requests than this when the last one arrives is growing."""
FEW_WAITING = 10
"""So many may wait in any case."""

LEAST_AGREE = 0.95
"""An endpoint that answers fewer rows as its candidate does serves another model. Dynamic int8 may
answer a few otherwise, since rows that share a call depend on each other."""

Served = Mapping[tuple[str, str], ServedProfile]
"""By load and candidate."""


def sample(profile: ServedProfile, budget: Budget, limit: float) -> Sample:
    """The numbers of a budget under load, in the order of arrival.

    Args:
        profile: What was measured.
        budget: A latency quantile or `rows_per_s`.
        limit: Its limit.
    """
    if budget.quantity in QUANTILES:
        return Calls(
            values=profile.wall_ms, q=QUANTILES[budget.quantity], limit=limit, at_least=False
        )
    if not np.isfinite(profile.wall_ms).any():
        return Exact(value=0.0, limit=-limit)
    # At least so many rows a second: in the mean over the run, at most so many fewer than none.
    return Series(values=-_rates(profile), limit=-limit)


def rows_a_second(sampled: float) -> float:
    """From what the sample of `rows_per_s` estimates to the rate; no interval ends below none.

    Args:
        sampled: The negative rate.
    """
    return max(-sampled, 0.0)


def invalid(profile: ServedProfile, served: Served, baseline: str) -> str:
    """Why a run proves nothing, whoever was under load; empty where it does.

    The generator was late, the machine was not its own, or an endpoint serves something else.

    Args:
        profile: The run.
        served: All runs, for the baseline's two under the same load.
        baseline: The baseline's name.
    """
    if profile.agree is not None and profile.agree < LEAST_AGREE:
        return (
            f"the endpoint does not serve '{profile.candidate}': it gave {1 - profile.agree:.1%} of"
            f" the rows another answer; up to {1 - LEAST_AGREE:.0%} is allowed"
        )
    answered = profile.wall_ms[np.isfinite(profile.wall_ms)]
    late = _slowest(profile.lateness_ms)
    allowed = max(LATEST_MS, LATEST * _slowest(answered))
    if late > allowed:
        return (
            f"the generator could not keep up: it sent 1 % of the requests {late:.3g} ms late or"
            f" more; up to {allowed:.3g} ms is allowed"
        )
    if profile.busy > BUSIEST:
        return (
            f"the generator could not keep up: it took {profile.busy:.0%} of a processor; up to"
            f" {BUSIEST:.0%} is allowed"
        )
    found = disturbed(profile.machine, in_process=not profile.url)
    return found or unlike(again(profile.load, served, baseline))


def growing(profile: ServedProfile) -> str:
    """Why a candidate cannot pass under a load that it does not keep up with; empty where it does.

    Its queue grows for as long as the load lasts, so that every latency is that of a short run.
    """
    if profile.target_qps is None:
        return ""
    work = offered(profile)
    allowed = max(FEW_WAITING, MOST_WAITING * len(profile.wall_ms))
    if work < 1 and profile.waiting <= allowed:
        return ""
    at_work = f", each took {work / profile.target_qps * 1000:.3g} ms" if work >= 1 else ""
    return (
        f"it does not keep up with {profile.target_qps:g} requests a second: it answered"
        f" {profile.achieved_qps:.3g} a second{at_work}, and {profile.waiting:,} were waiting when"
        " the last one arrived"
    )


def load_summaries(profiles: Sequence[ServedProfile], baseline: str) -> list[dict[str, object]]:
    """One entry per candidate and load, for tables; the baseline's second run is its noise."""
    served = {(p.load, p.candidate): p for p in profiles}
    return [
        {
            "load": p.load,
            "candidate": p.candidate,
            "scenario": p.scenario,
            "url": p.url,
            "batch": p.batch,
            "threads": p.threads,
            "target_qps": p.target_qps,
            "achieved_qps": p.achieved_qps,
            "requests": len(p.wall_ms),
            "p50_ms": quantile(p.wall_ms, 0.5),
            "p99_ms": quantile(p.wall_ms, 0.99),
            "late_ms": _slowest(p.lateness_ms),
            "cpu_ms": _mean(p.cpu_ms),
            "agree": p.agree,
            "errors": dict(p.errors),
            "waiting": p.waiting,
            "cold_ms": p.cold_ms,
            "memory_bytes": p.memory_bytes,
            "steal": p.machine.steal,
            "foreign": p.machine.foreign,
            "again": again(p.load, served, baseline),
            "invalid": invalid(p, served, baseline),
            "growing": growing(p),
        }
        for p in profiles
        if not p.candidate.endswith(AGAIN)
    ]


def again(load: str, served: Served, baseline: str) -> Estimate | None:
    """How far apart the baseline appears from itself under a load: the median of the ratios.

    Of the times at work, request by request, since waits repeat what made them over and over.
    """
    one, two = served.get((load, baseline)), served.get((load, baseline + AGAIN))
    if one is None or two is None:
        return None
    return times_itself(one.service_ms, two.service_ms)


def _rates(profile: ServedProfile) -> np.ndarray:
    """Rows a second in equal stretches of the whole run, as many as there were requests.

    An answer counts evenly over the time since the one before it, as does a renewal process that is
    interpolated; after the last one there is none until the end of the run. So errors count for the
    time that they took, wherever they are.
    """
    done = np.sort((profile.arrival_ms + profile.wall_ms)[np.isfinite(profile.wall_ms)])
    # A multiple of the blocks, so that the mean of the blocks is that of the run.
    stretches = max(len(profile.wall_ms) // stats.BLOCKS * stats.BLOCKS, 1)
    edges = np.linspace(0.0, profile.ended_ms, stretches + 1)
    answered = np.interp(edges, np.concatenate([[0.0], done]), np.arange(len(done) + 1))
    return np.diff(answered) * (1000 * profile.batch * stretches / profile.ended_ms)


def _slowest(values: np.ndarray) -> float:
    """The value that the highest 1 % reach."""
    return float(stats.quantile_interval(values, 0.99).value) if len(values) else 0.0


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
