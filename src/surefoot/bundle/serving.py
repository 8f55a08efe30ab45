"""The serving policy of a bundle: what its calibration rows show of a lean model and its fallback.

`serving.json` holds it under the manifest, so that serving starts without counting again; whoever
verifies a bundle derives it from the same files once more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.bundle.encode import decode_estimate, encode
from surefoot.core.errors import BundleError, nearest
from surefoot.core.nested import from_json
from surefoot.core.plan import EndpointPlan, ServePlan
from surefoot.core.serving import ENDPOINT, Cascade, Tradeoff
from surefoot.data.columns import read_parquet
from surefoot.gate.cascade import (
    GRID,
    Answers,
    choose,
    curve_places,
    one_of_each,
    planned_apart,
    rows_needed,
    scope_threshold,
    shared_path,
    tradeoff,
)

SERVING = "serving.json"
"""The file of the policy."""
_Rows = Mapping[str, np.ndarray]
_Times = Mapping[str, tuple[float | None, float | None]]
_UNTIMED = (None, None)


def serve_plan(table: Mapping[str, Any]) -> ServePlan:
    """The `[serve]` table of a bundle's plan.json; an older one that lacks keys has their defaults.

    Args:
        table: As JSON has it.

    Raises:
        TypeError: It holds what no such table holds.
    """
    return ServePlan(**{**table, "endpoint": EndpointPlan(**table.get("endpoint", {}))})


def alone(path: Path, plan: ServePlan, lean: str) -> Cascade:
    """The lean model without a fallback, and without a promise: where nothing calibrates one.

    Args:
        path: The folder of the bundle.
        plan: What was to be promised.
        lean: The name of the lean model.
    """
    return _alone(plan, lean, _times(path))


def policy(path: Path, plan: ServePlan, lean: str) -> Cascade:
    """What the calibration rows of a bundle show of a lean model before its fallback.

    Args:
        path: The folder of the bundle.
        plan: What is to be promised.
        lean: The name of the lean model.

    Raises:
        BundleError: It has no calibration rows, or not those that it takes.
    """
    stages, times = (lean, *plan.between), _times(path)
    columns = {name: _calibration(path, name) for name in stages}
    back = ENDPOINT if plan.remote else plan.fallback
    if back != "abstain":
        columns[back] = _calibration(path, back)
    fallback_ms, slow_ms = times.get(back, _UNTIMED)
    if plan.remote:
        slow_ms = float(np.quantile(columns[back]["wall_ms"], 0.95))
    between_ms = tuple(times.get(name, _UNTIMED)[0] for name in plan.between)
    asking = [*between_ms, slow_ms if plan.remote else fallback_ms]
    said = replace(
        _alone(plan, lean, times),
        fallback=back,
        fallback_ms=fallback_ms,
        fallback_slow_ms=slow_ms,
        void="",
        between=tuple(plan.between),
        between_ms=between_ms,
        endpoint=plan.fallback if plan.remote else "",
        endpoint_cost=plan.endpoint.cost if plan.remote else None,
        scope=_scope(columns),
        grouped="group" in columns[lean],
    )
    return _walked(said, _answers(path, plan, columns), asking)


def _walked(said: Cascade, answers: Answers, asking: Sequence[float | None]) -> Cascade:
    """What calibration rows show: the laxest thresholds that keep the promise, and the trade-off.

    Args:
        said: Who is asked, and what is to be promised.
        answers: Of everybody to these rows.
        asking: Milliseconds that asking each model after the first takes, and the fallback.
    """
    walked, planned = GRID[:, None], 0
    if said.between:
        apart, answers = planned_apart(answers)
        walked = shared_path(apart, [1.0 if None in asking else ms or 0.0 for ms in asking])
        planned = len(apart.fallback_right)
    for name, mask in answers.slices.items():
        if not mask.any():
            raise BundleError(
                f"of the calibration rows in slice '{name}' none counts: one of each group does,"
                " and with models between not those that plan",
                where="serve.slices",
                fix="add rows of it to task.calibration, or promise nothing there",
            )
    shown, losses = choose(answers, walked, max_error=said.max_error, delta=said.delta)

    def at(place: int) -> Tradeoff:
        lost = int(losses[place])
        return tradeoff(answers, walked, place, lost=lost, shown=place < shown)

    # Thresholds at which no answer stands keep any promise.
    chosen = at(shown - 1) if shown else None
    sizes = [len(answers.fallback_right), *(int(mask.sum()) for mask in answers.slices.values())]
    return replace(
        said,
        rows=min(sizes),
        planned=planned,
        chosen=chosen if chosen and chosen.answered else None,
        curve=tuple(map(at, curve_places(answers, walked))),
        fallback_accuracy=float(answers.fallback_right.mean()),
    )


def has_calibration(path: Path, name: str) -> bool:
    """Whether a bundle holds a model's answers to calibration rows.

    Args:
        path: The folder of the bundle.
        name: The model's.
    """
    return _file(path, name).is_file()


def write_policy(path: Path, plan: ServePlan, lean: str | None) -> str:
    """Write what `read_policy` reads, where there is something to be promised.

    A promise that cannot be made, since a slice that it is for has no calibration row, is no reason
    to lose a run's work.

    Args:
        path: The folder of the bundle, its calibration rows and latencies written.
        plan: What is to be promised.
        lean: The name of the lean model; None where no candidate passed.

    Returns:
        Why there is none although it could be computed; else nothing.
    """
    if lean is None or not has_calibration(path, lean):
        return ""
    try:
        found = policy(path, plan, lean)
    except BundleError as error:
        # Without the folder: the bundle is still written elsewhere than it will be.
        return f"[serve] promises nothing: {error.what}" + (f"; {error.fix}" if error.fix else "")
    text = json.dumps(encode(found), indent=1, ensure_ascii=False, allow_nan=False)
    (path / SERVING).write_text(text, encoding="utf-8")
    return ""


def read_policy(path: Path) -> Cascade | None:
    """The policy that a bundle's run wrote down; None of one that has none, as older ones have.

    Args:
        path: The folder of the bundle.

    Raises:
        BundleError: It is not as surefoot writes it.
    """
    file = path / SERVING
    if not file.is_file():
        return None
    try:
        return _decoded(from_json(file.read_bytes()))
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(
            f"is not as surefoot writes it: {type(error).__name__}: {error}",
            where=str(file),
            fix="run the plan again",
        ) from error


def _decoded(data: Mapping[str, Any]) -> Cascade:
    chosen = data["chosen"]
    tuples = {key: tuple(data[key]) for key in ("slices", "between", "between_ms")}
    return Cascade(
        **{
            **data,
            **tuples,
            "chosen": None if chosen is None else _decoded_tradeoff(chosen),
            "curve": tuple(map(_decoded_tradeoff, data["curve"])),
            "scope": {str(name): float(least) for name, least in data["scope"].items()},
        }
    )


def _decoded_tradeoff(data: Mapping[str, Any]) -> Tradeoff:
    found = {key: decode_estimate(data[key]) for key in ("share", "lost")}
    tuples = {key: tuple(data[key]) for key in ("between", "thresholds")}
    return Tradeoff(**{**data, **found, **tuples})


def _alone(plan: ServePlan, lean: str, times: _Times) -> Cascade:
    return Cascade(
        lean=lean,
        fallback="abstain",
        max_error=plan.max_error_over_fallback,
        delta=plan.delta,
        slices=tuple(plan.slices),
        rows=0,
        needed=rows_needed(plan),
        chosen=None,
        curve=(),
        fallback_accuracy=0.0,
        lean_ms=times.get(lean, _UNTIMED)[0],
        fallback_ms=None,
        void="the bundle has no calibration rows",
    )


def _answers(path: Path, plan: ServePlan, columns: Mapping[str, _Rows]) -> Answers:
    """What all say of the calibration rows; of rows that come in groups, one of each."""
    own, *others = columns.values()
    for other in others:
        if not np.array_equal(own["id"], other["id"]):
            raise BundleError("the models answered other calibration rows", where=str(path))
    counted = one_of_each(len(own["id"]), own.get("group"))
    stages = [own, *others][: 1 + len(plan.between)]
    behind = [rows["correct"] for rows in others[len(plan.between) :]]
    return Answers(
        confidence=np.stack([rows["confidence"] for rows in stages])[:, counted],
        right=np.stack([rows["correct"] for rows in stages])[:, counted],
        fallback_right=behind[0][counted] if behind else np.zeros(len(counted), dtype=bool),
        abstain=not behind,
        slices={name: _slice(path, own, name)[counted] for name in plan.slices},
    )


def _scope(columns: Mapping[str, _Rows]) -> dict[str, float]:
    """Of each model whose confidence is known, from where on a row looks in scope."""
    found = {}
    for name, rows in columns.items():
        counted = one_of_each(len(rows["id"]), rows.get("group"))
        confidence = rows["confidence"][counted].astype(np.float64)
        least = scope_threshold(confidence) if np.isfinite(confidence).all() else None
        if least is not None:
            found[name] = least
    return found


def _slice(path: Path, own: _Rows, name: str) -> np.ndarray:
    known = [key.removeprefix("slice_") for key in own if key.startswith("slice_")]
    if name not in known:
        raise BundleError(
            f"its calibration rows have no slice '{name}'",
            where=str(path),
            fix=nearest(name, known) if known else "name it under evaluate.slices",
        )
    if not own[f"slice_{name}"].any():
        raise BundleError(f"no calibration row is in slice '{name}'", where=str(path))
    return own[f"slice_{name}"]


def _file(path: Path, name: str) -> Path:
    return path / "calibration" / f"{name}.parquet"


def _calibration(path: Path, name: str) -> _Rows:
    file = _file(path, name)
    found = read_parquet(file) if file.is_file() else {}
    wanted = ("id", "correct", "confidence", *(("wall_ms",) * (name == ENDPOINT)))
    lacks = [key for key in wanted if key not in found]
    if lacks or not len(found["id"]):
        others = [other.stem for other in file.parent.glob("*.parquet") if other != file]
        rows = "name task.calibration or task.train in the plan, and run it again"
        raise BundleError(
            f"'{name}' gave no answers to calibration rows, so nothing can be promised",
            where=str(path),
            fix=nearest(name, others) if others else rows,
        )
    return found


def _times(path: Path) -> _Times:
    """Of each model the median CPU milliseconds of a row and 95 % of those on the clock.

    At the smallest batch that was timed; nothing where nothing was.
    """
    file = path / "latency.parquet"
    if not file.is_file():
        return {}
    columns = read_parquet(file)
    batch = columns["batch"].min()
    smallest, names = columns["batch"] == batch, columns["candidate"]

    def quantile(name: str, column: str, share: float) -> float:
        return float(np.quantile(columns[column][smallest & (names == name)], share) / batch)

    return {
        str(name): (quantile(name, "cpu_ms", 0.5), quantile(name, "wall_ms", 0.95))
        for name in np.unique(names[smallest])
    }
