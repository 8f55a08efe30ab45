"""Logs of Inspect: `.eval`, which is a zip file, and `.json`.

Field names as its 0.3.285 writes them (`log/_log.py`, `scorer/_metric.py`). Of an `.eval` file only
`header.json` and `summaries.json` are unpacked: scores, answers and targets stand there, without
the transcripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.core.errors import DataError
from surefoot.core.log import Log
from surefoot.evaluate.logs._records import (
    AGAIN,
    SINGLE,
    Record,
    Samples,
    check_kinds,
    chosen,
    head,
    number,
    parsed,
    plain,
    whole,
    word,
)
from surefoot.evaluate.logs._zip import LARGEST, member, names

_BEGINS = re.compile(r'\s*\{\s*"version":\s*\d+,\s*"status":\s*"\w+",\s*"eval":\s*\{')
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partially correct, incorrect, no answer, as Inspect's own `value_to_float`."""
_HEADER, _SAMPLES = "header.json", "summaries.json"
_KINDS = {
    "status": str,
    "error": {"message": str},
    "eval": {"dataset": {"samples": int}, "config": {"epochs_reducer": [str]}},
    "plan": {"steps": [{}]},
    "results": {"headline": {}, "scores": [{}]},
}
_SAMPLE = {"id": SINGLE, "epoch": SINGLE, "metadata": {}, "scores": {"*": {}}}


def recognises(path: Path) -> bool:
    """Whether a file is such a log."""
    inside = names(path)
    return bool({_HEADER, "_journal/start.json"} & inside) or bool(_BEGINS.match(head(path)))


def inspect_ai(path: Path, metric: str | None, columns: Sequence[str]) -> Log:
    """A log of Inspect, `.eval` or `.json`.

    The metric is a scorer, or `scorer/key` where its value is a table; C, P, I and N are 1, 0.5, 0
    and 0, as Inspect counts them. The columns are `task` and what a sample's `metadata` holds.
    """
    header, found = _content(path)
    _check_kinds(header, found, path)
    _check_finished(header, path)
    spec = header["eval"]
    _check_unique(found, path)
    known = dict.fromkeys(name for sample in found for name, _ in _scores(sample))
    name = chosen(metric, [*_main(header, known), *known], path)
    samples = Samples(path, columns)
    for sample in found:
        value, answer = dict(_scores(sample)).get(name, (None, None))
        samples.add(
            str(word(sample["id"])),
            _LETTERS.get(value, number(value)) if isinstance(value, str) else number(value),
            answer,
            plain(sample.get("input")),
            {"target": plain(sample.get("target"))},
            {**(sample.get("metadata") or {}), "task": spec.get("task")},
        )
    _check_whole(spec, {str(sample["id"]) for sample in found}, path)
    return Log(
        metric=name,
        **samples.columns(name),
        model=str(spec.get("model") or ""),
        task=str(spec.get("task") or path.stem),
        settings=_settings(spec),
        conditions=_conditions(header),
        notes=tuple(_notes(header, name)),
    )


def _content(path: Path) -> tuple[Record, Sequence[Record]]:
    """The header and the samples."""
    inside = names(path)
    if not inside:
        if path.stat().st_size > LARGEST:
            fix = "convert it: inspect log convert --to eval"
            raise DataError("is too large to be read whole", where=str(path), fix=fix)
        header = whole(path.read_bytes(), str(path))
        return header, header.get("samples") or []
    for name in (_HEADER, _SAMPLES):
        if name not in inside:
            raise DataError(
                f"was not finished: it holds no {name}",
                where=str(path),
                fix="let the run end, or mend the log: inspect log recover",
            )
    header = whole(member(path, _HEADER), f"{path}: {_HEADER}")
    return header, parsed(member(path, _SAMPLES), f"{path}: {_SAMPLES}")


def _check_kinds(header: Record, found: Sequence[Record], path: Path) -> None:
    check_kinds(header, _KINDS, str(path))
    check_kinds(found, list, str(path), "samples")
    if not header.get("eval"):
        raise DataError("has no eval, which says what was run", where=str(path), fix=AGAIN)
    for place, sample in enumerate(found, 1):
        where = f"{path}: sample {place}"
        check_kinds(sample, _SAMPLE, where)
        if sample.get("id") is None:
            raise DataError("has no id", where=where, fix=AGAIN)


def _check_finished(header: Record, path: Path) -> None:
    status = header.get("status")
    if status != "success":
        why = str((header.get("error") or {}).get("message") or "").partition("\n")[0][:100]
        raise DataError(
            f"the run ended with status '{status}'{f': {why}' if why else ''}",
            where=str(path),
            fix="run it to its end: inspect eval-retry",
        )
    if header.get("invalidated"):
        raise DataError("the log was marked as invalid", where=str(path))


def _check_unique(found: Sequence[Record], path: Path) -> None:
    seen: set[tuple[str, Any]] = set()
    for sample in found:
        key = (str(sample.get("id")), sample.get("epoch"))
        if key in seen:
            raise DataError(f"sample '{key[0]}' is given twice in epoch {key[1]}", where=str(path))
        seen.add(key)


def _check_whole(spec: Record, ids: set[str], path: Path) -> None:
    """Refuse what a limit cut: the first samples do not stand for all."""
    planned = (spec.get("dataset") or {}).get("samples")
    if planned and len(ids) < planned:
        limit = (spec.get("config") or {}).get("limit")
        why = f"a run with limit {plain(limit)}" if limit is not None else "an incomplete run"
        raise DataError(
            f"{why}: {len(ids):,} of {planned:,} samples",
            where=str(path),
            fix="run all of them: the first samples do not stand for all",
        )


def _scores(sample: Record) -> Iterator[tuple[str, tuple[Any, str | None]]]:
    """Every metric of a sample with its value and the answer that was scored."""
    scored = {scorer: score for scorer, score in (sample.get("scores") or {}).items() if score}
    for scorer, score in scored.items():
        value, answer = score.get("value"), word(score.get("answer"))
        if isinstance(value, Mapping):
            yield from ((f"{scorer}/{key}", (inner, answer)) for key, inner in value.items())
        elif not isinstance(value, list):
            yield scorer, (value, answer)


def _main(header: Record, known: Mapping[str, None]) -> list[str]:
    """The metric that the log itself puts first."""
    results = header.get("results") or {}
    headline, scores = results.get("headline") or {}, results.get("scores") or [{}]
    name, scorer = headline.get("score"), headline.get("scorer")
    if name is None and scorer is None:
        name, scorer = scores[0].get("name"), scores[0].get("scorer")
    return [one for one in (f"{scorer}/{name}", str(name), str(scorer)) if one in known][:1]


def _settings(spec: Record) -> dict[str, str]:
    dataset = spec.get("dataset") or {}
    found = {
        "task": spec.get("task"),
        "task_version": spec.get("task_version"),
        "task_args": spec.get("task_args"),
        "dataset": dataset.get("name"),
    }
    return {key: plain(value) for key, value in found.items()}


def _conditions(header: Record) -> dict[str, str]:
    spec, plan = header["eval"], header.get("plan") or {}
    steps = [(step.get("solver"), step.get("params")) for step in plan.get("steps") or []]
    found = {
        "epochs": (spec.get("config") or {}).get("epochs"),
        "solver": steps,
        "generate config": plan.get("config") or spec.get("model_generate_config"),
    }
    return {key: plain(value) for key, value in found.items()}


def _notes(header: Record, metric: str) -> Iterator[str]:
    reducers = (header["eval"].get("config") or {}).get("epochs_reducer") or []
    if any(reducer != "mean" for reducer in reducers):
        yield f"the log reduces epochs by {', '.join(reducers)}; here the mean of '{metric}' counts"
