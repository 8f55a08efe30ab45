"""Records of Every Eval Ever: instance-level `.jsonl`, or the aggregate `.json` beside it.

Fields as in its schema 0.3.0 (`instance_level_eval.schema.json`, `eval.schema.json`).
"""

from __future__ import annotations

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
    first_record,
    head,
    larger_is_better,
    number,
    plain,
    records,
    whole,
    word,
)

_VALUES = ("score", "is_correct")
_RECORD = {
    "evaluation_name": str,
    "evaluation_result_id": SINGLE,
    "sample_id": SINGLE,
    "evaluation": {},
    "input": {},
    "metadata": {},
    "answer_attribution": [{}],
}
_AGGREGATE = {
    "detailed_evaluation_results": {"file_path": str},
    "evaluation_results": [
        {"evaluation_name": SINGLE, "evaluation_result_id": SINGLE, "metric_config": {}}
    ],
    "eval_library": {"name": SINGLE, "version": SINGLE},
}


def recognises(path: Path) -> bool:
    """Whether a file is such a log, or the aggregate of one."""
    if {"schema_version", "evaluation_id", "sample_id"} <= first_record(path).keys():
        return True
    start = head(path)
    keys = ("schema_version", "evaluation_id", "source_metadata")
    return start.lstrip().startswith("{") and all(f'"{key}":' in start for key in keys)


def every_eval_ever(path: Path, metric: str | None, columns: Sequence[str]) -> Log:
    """Instance-level records of Every Eval Ever, or the aggregate that names their file.

    The metric is `score` or `is_correct`; where a sample has several results, the
    `evaluation_result_id` or `evaluation_name` of one. The columns are `task`, which is the
    evaluation's name, and what `metadata` holds. Epochs are those of `metadata.epoch`.
    """
    rows, aggregate = _files(path)
    evaluations: dict[str, None] = {}
    results: dict[Any, None] = {}
    samples, seen, model = Samples(path, columns), dict[tuple[str, ...], str](), ""
    value, known = metric or _VALUES[0], dict.fromkeys(_VALUES)
    for line, record in records(rows):
        where = f"{rows}:{line}"
        check_kinds(record, _RECORD, where)
        known.update(dict.fromkeys(_labels(record)))
        if value not in (*_VALUES, *_labels(record)):
            continue
        _check_record(record, where)
        name, model = str(record["evaluation_name"]), str(record.get("model_id") or "")
        evaluations[name] = None
        results[record.get("evaluation_result_id")] = None
        _check_unique(record, seen, where)
        score, question = record["evaluation"], record.get("input") or {}
        metadata = record.get("metadata") or {}
        samples.add(
            f"{word(name)}/{word(record['sample_id'])}",
            number(score.get(value if value in _VALUES else "score")),
            _answer(record),
            word(question.get("formatted")) or word(question.get("raw")),
            {
                "target": plain(question.get("reference")),
                "sample_hash": word(record.get("sample_hash")),
            },
            {**metadata, "task": name},
        )
    chosen(value, known, path)
    return Log(
        metric=value,
        **samples.columns(value),
        model=model,
        task=next(iter(evaluations), "") if len(evaluations) == 1 else f"{len(evaluations)} tasks",
        higher_is_better=larger_is_better(
            _directions(aggregate, evaluations, results),
            path,
            "choose one evaluation with --metric",
        ),
        settings={"evaluations": ", ".join(sorted(evaluations))} | _settings(aggregate),
        conditions=_conditions(aggregate),
    )


def _files(path: Path) -> tuple[Path, Record]:
    """The file of samples, and the aggregate if there is one."""
    if first_record(path).get("sample_id") is not None:
        beside = path.with_name(path.stem.removesuffix("_samples") + ".json")
        return path, _aggregate(beside) if beside.exists() else {}
    aggregate = _aggregate(path)
    named = (aggregate.get("detailed_evaluation_results") or {}).get("file_path")
    if not named:
        raise DataError(
            "holds no samples, and names no file of them", where=str(path), fix="name the .jsonl"
        )
    # Its path is that of the repository it was made for: the name alone says something here.
    rows = path.parent / Path(named).name
    if not rows.is_file():
        raise DataError(f"its samples, {rows.name}, are not beside it", where=str(path))
    return rows, aggregate


def _aggregate(path: Path) -> Record:
    found = whole(path.read_bytes(), str(path))
    check_kinds(found, _AGGREGATE, str(path))
    return found


def _labels(record: Record) -> Iterator[str]:
    for key in ("evaluation_result_id", "evaluation_name"):
        if record.get(key):
            yield str(record[key])


def _check_record(record: Record, where: str) -> None:
    for key in ("evaluation_name", "sample_id", "evaluation"):
        if record.get(key) in (None, ""):
            raise DataError(f"has no {key}", where=where, fix=AGAIN)
    if record.get("error"):
        why = str(record["error"]).partition("\n")[0][:100]
        raise DataError(
            f"sample '{record['sample_id']}' ended in an error: {why}",
            where=where,
            fix="run it again",
        )


def _check_unique(record: Record, seen: dict[tuple[str, ...], str], where: str) -> None:
    """Refuse a question that would count twice, once for each metric it was scored by."""
    sample, name = str(record["sample_id"]), str(record["evaluation_name"])
    epoch = str((record.get("metadata") or {}).get("epoch", ""))
    content = str(record.get("sample_hash") or plain(record.get("input")))
    label = next(_labels(record))
    for key in ((sample, epoch, name), (sample, epoch, "", content)):
        other = seen.setdefault(key, "")
        if other == label:
            raise DataError(f"sample '{sample}' is given twice", where=where)
        if other:
            raise DataError(
                f"sample '{sample}' has several results: {other}, {label}",
                where=where,
                fix="choose one with --metric",
            )
        seen[key] = label


def _answer(record: Record) -> str | None:
    found: list[Any] = record.get("answer_attribution") or []
    last = [one.get("extracted_value") for one in found if one.get("is_terminal")]
    return word(last[-1]) if last else None


def _results(aggregate: Record) -> list[Mapping[str, Any]]:
    return list(aggregate.get("evaluation_results") or [])


def _directions(
    aggregate: Record, evaluations: Mapping[str, None], results: Mapping[Any, None]
) -> Iterator[tuple[str, bool | None]]:
    """Of the results that the samples are of: by their ids where both sides give them."""
    for one in _results(aggregate):
        lower = (one.get("metric_config") or {}).get("lower_is_better")
        known = one.get("evaluation_result_id")
        other = None not in results and known is not None and known not in results
        if one.get("evaluation_name") in evaluations and not other:
            yield str(one["evaluation_name"]), None if lower is None else not lower


def _settings(aggregate: Record) -> dict[str, str]:
    library = aggregate.get("eval_library") or {}
    return {"eval_library": str(library["name"])} if library.get("name") else {}


def _conditions(aggregate: Record) -> dict[str, str]:
    found = {
        f"generation_config of {one.get('evaluation_name')}": plain(one["generation_config"])
        for one in _results(aggregate)
        if one.get("generation_config")
    }
    version = (aggregate.get("eval_library") or {}).get("version")
    return {**found, "eval_library version": str(version)} if version else found
