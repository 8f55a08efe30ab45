"""Looks into a bundle: whole, concluded rightly, and the same when it is measured again here.

It stands above `drift`, which runs the models again, and beside `api`: it reads bundles and plans,
and nothing but the command line builds on it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from surefoot.bundle import (
    bundle_of,
    check_files,
    read_environment,
    read_manifest,
    read_plan_json,
    read_verdict_json,
)
from surefoot.bundle.environment import changes, environment
from surefoot.bundle.evidence import Recorded, recorded
from surefoot.bundle.hide import hidden_by
from surefoot.bundle.intact import SIGNATURE
from surefoot.bundle.rederive import claims_of_files, not_run, rederived, shown
from surefoot.bundle.sign import signed, signers
from surefoot.compress import compress
from surefoot.core.budget import TIMED
from surefoot.core.claims import Claim, Fault, Status, Verification
from surefoot.core.drift import CellDrift, Sample
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.evidence import Finding, Repeat, Verdict
from surefoot.core.load import LoadProfile
from surefoot.core.model import Candidate, Recipe
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data import for_classes, read_task
from surefoot.drift import Again, Asked, measure_again
from surefoot.evaluate import measure_latency
from surefoot.plan.resolved import plan_of
from surefoot.store import Store

UNTIMED = "no latency was measured here"
CLOCK = timedelta(minutes=10)
"""So far may two clocks be apart."""
LOADED = "it was measured under load, which is not repeated: run the plan for that"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How far a bundle is looked into."""

    data: Path | None = None
    """The folder that the paths of its plan start from; None: nothing is run again."""
    sample: Sample | None = None
    """Which rows are asked again; None for all."""
    key: Path | None = None
    """The public key that has to have signed it; None: anybody or nobody."""
    from_scratch: bool = False
    """Whether the winner is made anew from its recipe."""


def verify(bundle: Path, wanted: Wanted, progress: Progress | None = None) -> Verification:
    """Look into a bundle.

    Its files first: where one is not as the manifest says, nothing more is concluded. Then whether
    its verdicts follow from its cells; then, where the data are at hand, whether its models give
    these cells here.

    Args:
        bundle: Its folder.
        wanted: How far.
        progress: Told of every piece of work.

    Raises:
        SurefootError: It is not as surefoot writes it.
    """
    manifest = read_manifest(bundle) or {}
    faults = (*_signature(bundle, wanted.key), *check_files(bundle))
    if faults:
        return Verification(faults=faults, files=len(manifest))
    data = read_verdict_json(bundle)
    told = bundle_of(bundle, data).verdicts
    said = recorded(bundle, data)
    claims = claims_of_files(bundle, said)
    found = Verification(
        faults=(),
        files=len(manifest),
        signature=_signed(bundle, wanted.key),
        notes=tuple(_clock(data)),
        models=tuple(name for name in (said.baseline, data["winner"]) if name),
        environment=changes(read_environment(bundle), environment()),
    )
    if wanted.data is None:
        return replace(found, claims=tuple(claims))
    plan = _plan(bundle, wanted.data)
    said = replace(said, hider=hidden_by(data, plan.path.parent)[0])
    with tempfile.TemporaryDirectory(prefix="surefoot-") as folder:
        work = _Work(
            bundle=bundle, said=said, told=told, plan=plan, out=Path(folder),
            watch=progress or Silent(),
        )  # fmt: skip
        again = measure_again(
            plan,
            bundle,
            work.out,
            asked=Asked(sample=wanted.sample, lenient=True),
            progress=progress,
        )
        floors = dict(again.drift.floors)
        claims += (_of_cell(cell, floors.get(cell.candidate)) for cell in again.drift.cells)
        claims += work.findings(again, whole=wanted.sample is None)
        if wanted.from_scratch:
            claims += work.from_scratch(again)
    return replace(found, claims=tuple(claims), sample=wanted.sample, drift=again.drift)


def _plan(bundle: Path, folder: Path) -> Plan:
    resolved = read_plan_json(bundle)
    try:
        text = (bundle / "plan.toml").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"no plan that can be read: {error}", where=str(bundle)) from error
    plan = plan_of(resolved, folder, text)
    # It is the bundle that says so, and not whoever looks into it.
    return replace(plan, model=replace(plan.model, trust=False))


def _signature(bundle: Path, key: Path | None) -> Iterator[Fault]:
    why = "" if key is None else signed(bundle, key)
    if why:
        yield Fault(file=SIGNATURE, what="not signed by the key", why=why)


def _signed(bundle: Path, key: Path | None) -> str:
    names = ", ".join(f"{name:.16}…" for name in signers(bundle))
    if key is not None:
        return "it is signed by the key that was given"
    if names:
        return f"it carries a signature that was not looked at, of {names}: --key says whose"
    return "it is not signed"


def _clock(data: Mapping[str, Any]) -> Iterator[str]:
    """What a bundle's own date says that cannot be."""
    written = data.get("written")
    if written is None:
        return
    try:
        when = datetime.fromisoformat(str(written))
        ahead = when - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        yield f"its date, {written!s:.40}, is none"
        return
    if ahead > CLOCK:
        yield f"it says that it was written at {when.isoformat()}, which is still to come"


def _of_cell(cell: CellDrift, floor: Repeat | None = None) -> Claim:
    """The answers of one cell, and what accuracy they come to."""
    claim = Claim(
        basis="again",
        candidate=cell.candidate,
        subject=f"answers on {cell.place}",
        status="NOT RUN",
        why=cell.reason,
    )
    moved = cell.moved
    if moved is None:
        return claim
    differ = round(moved.differ.value * moved.rows)
    status: Status = "DIFFERS" if cell.status == "moved" else "REPRODUCED"
    parts = f"{differ:,} of {moved.rows:,} answers are others"
    why = f"{parts}, a probability moved by {moved.largest:.2g}" if differ or moved.largest else ""
    if status == "DIFFERS" and floor is not None:
        why += f"; asked twice here, {floor.flips} of {floor.rows:,} and {floor.largest:.2g}"
    return replace(
        claim, status=status, there=f"{moved.there:.4f}", here=f"{moved.here:.4f}", why=why
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What is measured again, and what it is held against."""

    bundle: Path
    said: Recorded
    told: tuple[Verdict, ...]
    plan: Plan
    out: Path
    watch: Progress

    def findings(self, again: Again, *, whole: bool) -> Iterator[Claim]:
        """Each finding of a candidate whose model is at hand, judged on what was measured here.

        The others' cells stay the bundle's own, since all share one error rate.
        """
        if not whole:
            why = "only some rows were asked: the cells above say what they show"
            yield from not_run("again", self.told, why)
            return
        here = {candidate.name for candidate in again.candidates}
        loads, untimed = self._latencies(again)
        sizes = {candidate.name: candidate.model.size_bytes for candidate in again.candidates}
        said = self.said
        if again.task is not None:
            said = replace(said, data={**said.data, "classes": list(again.task.classes)})
        try:
            _, found = rederived(self.bundle, said, cells=again.cells, loads=loads, sizes=sizes)
        except SurefootError as error:
            yield from not_run("again", self.told, str(error))
            return
        timed = {load.candidate for load in loads}
        now = {verdict.candidate: verdict.findings for verdict in found}
        for verdict in self.told:
            # Whether there are as many of both follows from the files, and was told of them.
            pairs = zip(verdict.findings, now.get(verdict.candidate, ()), strict=False)
            for finding, other in pairs:
                why = self._idle(verdict.candidate, finding, again, here, timed)
                why = untimed if why == UNTIMED and untimed else why
                yield _of_finding(verdict.candidate, finding, other, why)

    def _idle(
        self, name: str, finding: Finding, again: Again, here: set[str], timed: set[str]
    ) -> str:
        """Why a finding was not measured again; empty where it was."""
        paired = finding.paired
        if name not in here:
            return "its model is not in the bundle"
        if paired is not None:
            where = (paired.dataset, paired.shift, paired.severity)
            asked = [(who, where) in again.cells for who in (self.said.baseline, name)]
            return "" if all(asked) else "its cells were not run: see above"
        if finding.budget.load is not None:
            return LOADED
        if finding.budget.quantity == "size_mb":
            return ""
        if finding.budget.quantity in TIMED:
            return "" if name in timed else UNTIMED
        return f"{finding.budget.quantity} is not measured again: run the plan for that"

    def _latencies(self, again: Again) -> tuple[tuple[LoadProfile, ...], str]:
        """Latencies of the models at hand, where a budget speaks of them; or why there are none."""
        timed = [b for b in self.said.budgets if b.quantity in TIMED and b.load is None]
        first = self.said.data["rows"]
        if not timed or len(again.candidates) < 2 or again.task is None:
            return (), UNTIMED
        name = next(iter(first), "")
        if name not in again.task.test or again.candidates[0].name != self.said.baseline:
            return (), "the rows or the baseline are not at hand"
        settings = self.plan.evaluate.latency
        batches = [size for size in settings.batch if size in {b.batch for b in timed}]
        try:
            found = measure_latency(
                again.candidates,
                again.task.test[name],
                Store(self.out, "latency"),
                replace(settings, batch=batches),
                self.watch,
            )
        except SurefootError as error:
            return (), str(error)
        return found, ""

    def from_scratch(self, again: Again) -> Iterator[Claim]:
        """The winner, made anew from its recipe: the same to the last bit, or in effect."""
        winner = self.said.data["winner"]
        claim = Claim(basis="recipe", candidate=winner or "", subject="the model", status="NOT RUN")
        baseline = next((c for c in again.candidates if c.name == self.said.baseline), None)
        recipe = next((r for r in self.plan.recipes if r.name == winner), None)
        if winner is None or baseline is None or recipe is None:
            why = "there is no winner" if winner is None else "its recipe is not in the plan"
            yield replace(claim, why="the baseline is not in it" if baseline is None else why)
            return
        try:
            made = self._made(baseline, recipe)
        except SurefootError as error:
            yield replace(claim, why=str(error))
            return
        (told,) = (c["fingerprint"] for c in self.said.data["candidates"] if c["name"] == winner)
        claim = replace(claim, there=told[:12], here=made.model.fingerprint[:12])
        if made.model.fingerprint == told:
            yield replace(claim, status="REPRODUCED", why="equal to the last bit")
            return
        yield from self._in_effect(claim, made)

    def _made(self, baseline: Candidate, recipe: Recipe) -> Candidate:
        task = for_classes(read_task(self.plan, self.watch), baseline.model.signature.classes)
        runtime = self.plan.runtimes.get(recipe.name)
        store = Store(self.out, "recipe")
        return compress(baseline.model, recipe, task, store, runtime=runtime, progress=self.watch)

    def _in_effect(self, claim: Claim, made: Candidate) -> Iterator[Claim]:
        """Whether a model of other bytes gives the cells of the bundle."""
        again = measure_again(
            self.plan, self.bundle, self.out, asked=Asked(lenient=True, models=(made,)),
            progress=self.watch,
        )  # fmt: skip
        cells = [cell for cell in again.drift.cells if cell.candidate == made.name]
        moved = [cell for cell in cells if cell.status == "moved"]
        same = [cell for cell in cells if cell.status == "same"]
        status: Status = "DIFFERS" if moved else "REPRODUCED" if same else "NOT RUN"
        why = f"other bytes; {len(moved)} of {len(moved) + len(same)} cells moved"
        yield replace(claim, status=status, why=why)
        yield from (replace(_of_cell(cell), basis="recipe") for cell in cells)


def _of_finding(candidate: str, told: Finding, found: Finding, idle: str) -> Claim:
    """A finding held against the same one on what was measured here."""
    claim = Claim(
        basis="again",
        candidate=candidate,
        subject=told.subject,
        status="NOT RUN",
        there=shown(told),
        why=idle,
    )
    if idle:
        return claim
    claim = replace(claim, here=shown(found))
    if found.outcome == told.outcome:
        return replace(claim, status="REPRODUCED")
    one, other = told.estimate, found.estimate
    moved = f"it moved by {other.value - one.value:+.4g}"
    overlap = other.low <= one.high and one.low <= other.high
    undecided = "INCONCLUSIVE" in (told.outcome, found.outcome)
    if found.reason or (undecided and overlap):
        return replace(claim, why=found.reason or f"{moved}, within what both leave open")
    beyond = "within their intervals" if overlap else "beyond their intervals"
    return replace(claim, status="DIFFERS", why=f"{moved}, {beyond}")
