"""The stages in order: a plan in, a bundle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from surefoot import plugins
from surefoot.bundle import (
    Contents,
    bundle_of,
    changes,
    described,
    environment,
    environment_key,
    missing_files,
    open_for_noise,
    read_plan_json,
    read_verdict_json,
    recorded_environment,
    write_bundle,
)
from surefoot.bundle.encode import encode
from surefoot.compress import compress_all
from surefoot.core.dataset import Sketch, Task
from surefoot.core.errors import BundleError, MachineError, MismatchError
from surefoot.core.evidence import Bundle, Use
from surefoot.core.hashing import hash_json
from surefoot.core.model import BASELINE
from surefoot.core.plan import TIMED_AXES, Plan, ServePlan
from surefoot.core.progress import Progress, Silent
from surefoot.core.waiver import Waiver
from surefoot.data import for_classes, leaks, read_task, sketch
from surefoot.evaluate import Entrants, Exploration, Measured, find_slices, hollow, measure
from surefoot.evaluate.remote import EndpointAnswers, ask_endpoint
from surefoot.gate import gate_evidence, worst_slices
from surefoot.gate.cascade import too_few
from surefoot.gate.power import Design, places, too_short, too_small
from surefoot.ledger import LEDGER, planned_use, record_use
from surefoot.models import adopt_baseline, source_files
from surefoot.report.cascade import too_few_line
from surefoot.report.power import too_short_line, too_small_line
from surefoot.search import search
from surefoot.store import Store, check_replaceable
from surefoot.waivers import WAIVERS, read_waivers


def run_plan(plan: Plan, out: Path, progress: Progress | None = None) -> tuple[Bundle, bool]:
    """Run every stage that an earlier run has not finished.

    Where a noisy machine left something open, a finished run is not the end of it: what was noisy
    was not kept, and is measured again.

    Args:
        plan: The plan.
        out: The folder of finished stages; the bundle is its sub-folder `bundle`.
        progress: Told of every stage.

    Returns:
        The bundle, and whether there was anything to do.

    Raises:
        SurefootError: A file, a model or the folder is at fault.
    """
    watch, store = progress or Silent(), Store(out, environment_key())
    with store.locked():
        key = run_key(plan, store)
        waivers = read_waivers(plan.path.parent / WAIVERS)
        finished = _finished(out / "bundle", key, waivers)
        if finished and not open_for_noise(finished[1]):
            return finished[0], False
        if finished:
            watch.note("note: the machine was too noisy last time; what it left open is run again")
        check_replaceable(out / "bundle")
        contents, use = _measured(plan, key, store, watch)
        tried = len(plan.recipes) + (contents.searched.tried if contents.searched else 0)
        verdicts = gate_evidence(contents.evidence, plan.budgets, use=use, tried=tried)
        contents = replace(contents, verdicts=verdicts, waivers=waivers)
        bundle = write_bundle(out / "bundle", key, contents)
        store.keep_digests()
        return bundle, True


def _warn_of_small_sets(
    plan: Plan, task: Task, sketches: Mapping[str, Sketch], watch: Progress
) -> None:
    """Say before any work which test sets, slices and loads no candidate can pass on."""
    use = planned_use(plan.path.parent / LEDGER, sketches)
    calls = plan.evaluate.latency.calls
    requests = {n: load.requests for n, load in plan.evaluate.load.items() if load.requests}
    candidates = len(plan.recipes) + (plan.search.finalists if plan.search else 0)
    design = Design(candidates=candidates, calls=calls, use=use, requests=requests)
    for found in too_small(plan.budgets, places(task.test, plan.shifts), design):
        watch.note(f"note: {too_small_line(found)}")
    for short in too_short(plan.budgets, design):
        watch.note(f"note: {too_short_line(short)}")


def evaluate_plan(
    plan: Plan, out: Path, progress: Progress | None = None
) -> tuple[dict[str, Any], Use]:
    """Make and measure everything that a plan asks for, and judge nothing.

    A run of the same plan afterwards has nothing left to measure. The test sets are looked at as
    they are in a run, so the ledger counts it as one: as the same use, where the plan is the same.

    Args:
        plan: The plan; it need not have budgets.
        out: The folder of finished stages.
        progress: Told of every stage.

    Returns:
        What was measured, as `verdict.json` holds it, and which use of the test sets it was.

    Raises:
        SurefootError: A file, a model or the folder is at fault.
    """
    store = Store(out, environment_key())
    with store.locked():
        key = run_key(plan, store)
        contents, use = _measured(plan, key, store, progress or Silent())
        store.keep_digests()
    return described(key, contents), use


def _measured(plan: Plan, key: str, store: Store, watch: Progress) -> tuple[Contents, Use]:
    """Every stage before the verdict, and its line in the ledger."""
    raw = read_task(plan, watch)
    sketches = {name: sketch(dataset.inputs) for name, dataset in raw.test.items()}
    _warn_of_small_sets(plan, raw, sketches, watch)
    baseline = adopt_baseline(plan.model, raw, store, BASELINE)
    task = for_classes(raw, baseline.model.signature.classes)
    asked = _asked(plan, task, store, watch)
    found = search(plan, baseline, task, store, watch)
    recipes = [(recipe, plan.runtimes.get(recipe.name)) for recipe in plan.recipes]
    recipes += [(c.recipe, None) for c in found.finalists] if found else []
    seeds = plan.evaluate.seeds
    made = compress_all(baseline.model, recipes, task, store, seeds=seeds, progress=watch)
    entrants = Entrants(
        baseline=baseline,
        candidates=made.candidates,
        repeats=made.repeats,
        failed=made.failed,
    )
    measured = measure(plan, task, entrants, store, watch)
    calibration = measured.evidence.calibration
    use = record_use(plan.path.parent / LEDGER, key, sketches)
    contents = Contents(
        plan=plan,
        task=task,
        candidates=measured.candidates,
        failed=measured.failed,
        cells=measured.cells,
        calibration=measured.calibration,
        endpoint=asked,
        evidence=measured.evidence,
        doubts=hollow(measured.cells, baseline.name),
        warnings=(
            *task.notes,
            *leaks(task),
            *(calibration.warnings if calibration else ()),
        ),
        metrics=plan.metrics(),
        worst=worst_slices(measured.evidence, measured.cells, task.test, task.metric),
        found_slices=_explored(plan, task, measured),
        searched=found,
    )
    return contents, use


def _asked(plan: Plan, task: Task, store: Store, watch: Progress) -> EndpointAnswers | None:
    """What a fallback at an address says of the calibration rows; one that is dead ends the run."""
    rows = task.calibration
    if plan.serve != ServePlan():
        for found in too_few(plan.serve, rows):
            watch.note(f"note: {too_few_line(*found)}")
    if not plan.serve.remote or rows is None or not len(rows):
        return None
    return ask_endpoint(plan.serve, rows, task.classes, store, watch)


def finished_bundle(plan: Plan, out: Path) -> Bundle:
    """The bundle of a plan that was run and has not changed since.

    Raises:
        BundleError: It was not; or it was, and the plan, its files or its waivers changed since.
        MachineError: It was run with other libraries or on another machine.
    """
    waivers = read_waivers(plan.path.parent / WAIVERS)
    finished = _finished(out / "bundle", run_key(plan, Store(out, environment_key())), waivers)
    if finished is None:
        raise _unfinished(plan, out, waivers)
    return finished[0]


def _unfinished(plan: Plan, out: Path, waivers: Sequence[Waiver]) -> BundleError | MachineError:
    """Why what lies in a run's folder is no finished run of this plan, these files, this machine.

    What is there but was made elsewhere or of other files is evidence that does not fit, which is
    not the same as none.
    """
    path, fix = out / "bundle", f"run it: surefoot run {plan.path.name}"
    none = BundleError(
        "no finished run of this plan, these files and this machine", where=str(out), fix=fix
    )
    if not (path / "verdict.json").exists():
        return none
    data, there = read_verdict_json(path), recorded_environment(path)
    if missing_files(path) or hash_json(read_plan_json(path)) != hash_json(plan.resolved()):
        return none
    if moved := changes(there, environment()):
        told = ", ".join(f"{one.what} {one.there} (here {one.here})" for one in moved[:3])
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        return MachineError(f"it was run with {told}{more}", where=str(path), fix=fix)
    if not _holds(data, waivers):
        fix = f"take them up, which takes seconds: surefoot run {plan.path.name}"
        return BundleError("the waivers have changed since the run", where=str(out), fix=fix)
    what = "a file or a plugin that the plan uses has changed since the run"
    return MismatchError(what, where=str(path), fix=fix)


def run_key(plan: Plan, store: Store) -> str:
    """The hash of everything a run depends on: the plan, its files, the libraries, the machine."""
    model = source_files(Path(plan.model.path), plan.model)
    files = {plan.shown(path): store.digest(path) for path in (*plan.files(), *model)}
    plan_and_plugins = {"plan": plan.resolved(), "plugins": _foreign_plugins(plan)}
    return hash_json({**plan_and_plugins, "files": files, "environment": environment_key()})


def _explored(plan: Plan, task: Task, measured: Measured) -> Exploration | None:
    """The slices that a search finds, where the plan asks for one."""
    settings = plan.slice_search()
    if settings is None:
        return None
    return find_slices(measured.cells, task.test, settings, plan.task.columns())


def _foreign_plugins(plan: Plan) -> dict[str, str]:
    """The versions of third parties' plugins; our own are part of the environment."""
    named = [("step", call.use) for recipe in plan.recipes for call in recipe.steps]
    every = plugins.names("step") if plan.search else ()
    named += [("step", name) for name in every]
    named += [("metric", name) for name in plan.metrics()]
    named += [("source", call["use"]) for call in plan.task.sources().values()]
    named += [("shift", call.use) for call in plan.shifts]
    axes = (wanted.axis for wanted in plan.evaluate.envelope)
    named += [("shift", axis) for axis in axes if axis not in TIMED_AXES]
    named += [("check", call.use) for call in plan.checks]
    # Which runtime and which format a model is run in is found out on the way.
    named += [(kind, name) for kind in ("runtime", "format") for name in plugins.names(kind)]
    return {
        f"{kind} {name}": plugins.version(kind, name)
        for kind, name in named
        if plugins.foreign(kind, name)
    }


def _finished(
    path: Path, key: str, waivers: Sequence[Waiver]
) -> tuple[Bundle, dict[str, Any]] | None:
    """The bundle of a key with its verdict.json, if it holds these waivers, no part of the key.

    Nothing that was measured depends on them: a waiver is no further use of the test sets.
    """
    try:
        data = read_verdict_json(path)
        bundle = bundle_of(path, data)
    except BundleError:
        return None
    same = bundle.key == key and _holds(data, waivers)
    return (bundle, data) if same and not missing_files(path) else None


def _holds(data: Mapping[str, Any], waivers: Sequence[Waiver]) -> bool:
    held: bool = data.get("waivers", []) == encode(waivers)
    return held
