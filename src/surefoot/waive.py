"""Signs a waiver for what a finished run did not show to hold."""

from __future__ import annotations

import getpass
import math
import shutil
import subprocess
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from surefoot.bundle import bundle_of, read_verdict_json
from surefoot.core.errors import PlanError, nearest
from surefoot.core.evidence import Finding, Verdict
from surefoot.core.waiver import LONGEST_DAYS, Waiver
from surefoot.gate import bad_end, best, limit_kind
from surefoot.report.terminal import amount, limit
from surefoot.waivers import WAIVERS, add_waiver, read_waivers, today


def waive(
    plan: Path, bundle: Path, budget: str, *, until: str, reason: str
) -> tuple[Waiver, tuple[str, ...]]:
    """Write a waiver beside a plan, for the candidate that the first line of the report is about.

    Args:
        plan: The plan's file.
        bundle: The folder of the bundle that shows what is waived.
        budget: As the report calls it; with the kind of its limit behind it in brackets where
            one name means two of them.
        until: The last day on which it counts, as `2026-12-31`.
        reason: Why.

    Returns:
        The waiver, and the names of the budgets that are neither shown to hold nor named by it.

    Raises:
        PlanError: Nothing that can be waived is called so; the day or the reason is not one; or
            the file of waivers is broken.
        BundleError: There is no bundle, or the file cannot be written.
    """
    data = read_verdict_json(bundle)
    verdicts, day = bundle_of(bundle, data).verdicts, today()
    verdict = best(verdicts, data["costs"])
    finding, last = _named(verdict, budget), _day(until, day)
    if not reason.strip():
        raise PlanError("--reason: say why this may be so for a while")
    worst = bad_end(finding)
    waiver = Waiver(
        budget=finding.subject,
        limit=limit_kind(finding.budget),
        candidate=verdict.candidate,
        outcome=finding.outcome,
        measured=f"{amount(finding)}, {limit(finding)}",
        worst=worst if math.isfinite(worst) else None,
        until=last,
        by=_who(plan.resolve().parent),
        made=day,
        reason=reason.strip(),
    )
    file = plan.resolve().parent / WAIVERS
    read_waivers(file)  # a broken file is not written to
    add_waiver(file, waiver)
    others = (f for f in verdict.open if f is not finding)
    return waiver, tuple(_name(f, verdict.open) for f in others)


def _name(finding: Finding, among: Sequence[Finding]) -> str:
    """What a finding is called; with the kind of its limit where two are called the same."""
    kinds = {limit_kind(other.budget) for other in among if other.subject == finding.subject}
    kind = limit_kind(finding.budget)
    return finding.subject if kinds <= {kind} else f"{finding.subject} ({kind})"


def _named(verdict: Verdict, budget: str) -> Finding:
    """The finding of a name; of several limits of one kind the furthest from holding."""
    open_, wanted = verdict.open, " ".join(budget.split())
    found = [
        f for f in open_ if wanted in (_name(f, open_), f"{f.subject} ({limit_kind(f.budget)})")
    ]
    if found:
        return min(found, key=lambda f: (f.outcome != "FAIL", f.p_fail))
    names = list(dict.fromkeys(_name(f, open_) for f in open_))
    if not names:
        raise PlanError(f"{verdict.candidate}: every budget holds, so there is nothing to waive")
    if any(wanted == _name(f, verdict.findings) for f in verdict.findings):
        raise PlanError(f"'{wanted}' holds for {verdict.candidate}; not shown: {', '.join(names)}")
    raise PlanError(f"{verdict.candidate} has no open budget '{wanted}'; {nearest(wanted, names)}")


def _day(text: str, now: date) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise PlanError(f"--until: '{text}' is no day; write it as {now.isoformat()}") from None
    last = now + timedelta(days=LONGEST_DAYS)
    if not now <= day <= last:
        raise PlanError(
            f"--until: {day} is not between {now} and {last};"
            f" a waiver lasts {LONGEST_DAYS} days at most: what has to be waived for longer is"
            " another budget in the plan"
        )
    return day


def _who(folder: Path) -> str:
    """Who git says works in a folder, else whom the system knows."""
    git = shutil.which("git")
    if git:
        said = [
            subprocess.run(
                [git, "-C", str(folder), "config", key], check=False, capture_output=True, text=True
            )
            for key in ("user.name", "user.email")
        ]
        name, mail = (one.stdout.strip() if one.returncode == 0 else "" for one in said)
        if name or mail:
            return f"{name} <{mail}>" if name and mail else name or mail
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # which one depends on the version of Python
        return "unknown"
