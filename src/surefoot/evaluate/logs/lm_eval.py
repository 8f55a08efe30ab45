"""Samples of the LM Evaluation Harness: `samples_TASK_DATE.jsonl`, or a folder of them.

Field names as its 0.4.13 writes them (`lm_eval/evaluator.py`, `loggers/evaluation_tracker.py`); 0.4
logs without `filter`, `metrics` or hashes are read too. What the samples do not say, such as the
version of a task and its few-shot count, stands in `results_DATE.json` beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from surefoot.core.errors import DataError
from surefoot.core.log import Log
from surefoot.evaluate.logs._records import (
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

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+)")
_FIELDS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
_FIELDS |= {"doc_hash", "prompt_hash", "target_hash", "schema_version"}
_RECORD = {
    "doc_id": SINGLE,
    "filter": str,
    "metrics": [str],
    "resps": list,
    "filtered_resps": list,
}
_RESULTS = {
    "configs": {"*": {"metric_list": [{}]}},
    "config": {},
    "versions": {},
    "n-shot": {},
    "n-samples": {"*": {}},
    "higher_is_better": {"*": {}},
    "group_subtasks": {"*": [str]},
}
_MEANS = ("mean", "nanmean")
_NO_MEANS = {"perplexity": "perplexity"}
"""Its samples hold log likelihoods, and the task the exponential of minus their mean."""


def recognises(path: Path) -> bool:
    """Whether a file, or the first of a folder's `samples_*.jsonl`, is such a log."""
    if path.is_dir():
        return any(recognises(file) for file in sorted(path.glob("samples_*.jsonl"))[:1])
    found = first_record(path)
    return {"doc_id", "resps"} <= found.keys() or head(path).startswith('{"doc_id": ')


def lm_eval(path: Path, metric: str | None, columns: Sequence[str]) -> Log:
    """Samples of lm-evaluation-harness: a `samples_*.jsonl`, or a run's folder of them.

    The columns are `task` and what `doc` holds. Of a task with several filters the metric is called
    `exact_match,strict-match`, as in its results; the first one is the default. Repeats were made
    one value by the harness itself.
    """
    tasks = _tasks(path)
    name, filter_ = _choice(tasks, metric, path)
    samples, filters = Samples(path, columns), dict[str, None]()
    for task in tasks:
        filters.update(dict.fromkeys(_read(task, name, filter_, samples, several=len(tasks) > 1)))
    several = len(filters) > 1
    others = [f"{name},{other}" for other in filters if other != filter_]
    if several and metric == name:
        known = ", ".join([f"{name},{filter_}", *others])
        raise DataError(f"'{name}' has several filters", where=str(path), fix=f"name one: {known}")
    if filters and filter_ not in filters:
        chosen(f"{name},{filter_}", [f"{name},{other}" for other in filters], path)
    unsaid = several and metric is None
    return Log(
        metric=f"{name},{filter_}" if several else name,
        **samples.columns(name),
        model=str(tasks[0].results.get("model_name") or ""),
        task=_title(tasks),
        higher_is_better=larger_is_better(
            ((task.name, task.higher_is_better(name)) for task in tasks),
            path,
            "compare the samples of one task at a time",
        ),
        settings=_merged(t.settings() for t in tasks)
        | ({"tasks": ", ".join(t.name for t in tasks)} if tasks[0].named else {}),
        conditions=_merged(t.conditions() for t in tasks),
        notes=(f"other filters of this log: {', '.join(others)}",) if unsaid else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One file of samples, and what the results beside it say."""

    file: Path
    name: str
    named: bool = True
    results: Record = field(default_factory=dict)

    def of(self, table: str) -> Any:
        return (self.results.get(table) or {}).get(self.name)

    def higher_is_better(self, metric: str) -> bool | None:
        found = (self.of("higher_is_better") or {}).get(metric)
        return found if isinstance(found, bool) else None

    def settings(self) -> dict[str, str]:
        found = {
            f"version of {self.name}": self.of("versions"),
            f"num_fewshot of {self.name}": self.of("n-shot"),
            f"dataset of {self.name}": (self.of("configs") or {}).get("dataset_path"),
        }
        return {key: plain(value) for key, value in found.items() if value is not None}

    def conditions(self) -> dict[str, str]:
        if not self.results:
            return {}
        config = self.of("configs") or {}
        keys = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
        found = {key: self.results.get(key) for key in keys}
        found["gen_kwargs"] = (self.results.get("config") or {}).get("gen_kwargs")
        found[f"generation_kwargs of {self.name}"] = config.get("generation_kwargs")
        found[f"repeats of {self.name}"] = config.get("repeats")
        return {key: plain(value) for key, value in found.items()}

    def aggregation(self, metric: str) -> str:
        listed = (self.of("configs") or {}).get("metric_list") or []
        found = (m.get("aggregation") for m in listed if m.get("metric") == metric)
        return next((str(one) for one in found if one), _NO_MEANS.get(metric, "mean"))


def _tasks(path: Path) -> list[_Task]:
    if not path.is_dir():
        return [_task(path)]
    tasks = [_task(file) for file in sorted(path.glob("samples_*.jsonl"))]
    for one, other in pairwise(tasks):
        if one.name == other.name:
            raise DataError(
                f"two runs of the task '{one.name}': {one.file.name} and {other.file.name}",
                where=str(path),
                fix="a folder holds the samples of one run",
            )
    return tasks


def _task(file: Path) -> _Task:
    named = _NAME.fullmatch(file.stem)
    if named is None:
        return _Task(file=file, name=file.stem, named=False)
    results = file.with_name(f"results_{named['date']}.json")
    found = whole(results.read_bytes(), str(results)) if results.exists() else {}
    check_kinds(found, _RESULTS, str(results))
    task = _Task(file=file, name=named["task"], results=found)
    counts = task.of("n-samples") or {}
    if counts and counts.get("effective") != counts.get("original"):
        raise DataError(
            f"a run with a limit: {counts.get('effective')} of {counts.get('original')} samples",
            where=str(file),
            fix="run it without --limit: the first samples do not stand for all",
        )
    return task


def _choice(tasks: Sequence[_Task], metric: str | None, path: Path) -> tuple[str, str]:
    """The metric and the filter."""
    firsts = [next(_checked(task.file), (0, {}))[1] for task in tasks]
    each = [[m for m in _metrics(one) if number(one.get(m)) is not None] for one in firsts]
    known = [name for name in each[0] if all(name in here for here in each)]
    if not known and all(each):
        listed = (f"{t.name} has {', '.join(m)}" for t, m in zip(tasks, each, strict=True))
        fix = "put those that share one into a folder of their own"
        raise DataError(f"the tasks share no metric: {'; '.join(listed)}", where=str(path), fix=fix)
    bare, _, asked = (metric or "").partition(",")
    name = chosen(bare or None, known, path)
    for task in tasks:
        how = task.aggregation(name)
        if how not in _MEANS:
            raise DataError(
                f"'{name}' of {task.name} is no mean of its samples: aggregation '{how[:40]}'",
                where=str(task.file),
                fix=f"choose another with --metric: {', '.join(known)}",
            )
    return name, asked or str(firsts[0].get("filter") or "none")


def _checked(file: Path) -> Iterator[tuple[int, Record]]:
    for line, record in records(file):
        check_kinds(record, _RECORD, f"{file}:{line}")
        yield line, record


def _metrics(record: Record) -> Sequence[str]:
    listed = record.get("metrics")
    return listed if isinstance(listed, list) else [key for key in record if key not in _FIELDS]


def _read(
    task: _Task, metric: str, filter_: str, samples: Samples, *, several: bool
) -> Iterator[str]:
    """Collects the samples of one filter; gives the filter of every record."""
    seen: dict[str, str] = {}
    for line, record in _checked(task.file):
        yield str(record.get("filter") or "none")
        if (record.get("filter") or "none") != filter_:
            continue
        name, document = word(record.get("doc_id")), record.get("doc")
        if name is None:
            raise DataError("has no doc_id", where=f"{task.file}:{line}")
        content = str(record.get("doc_hash") or plain(document))
        if name in seen:
            same = seen[name] == content
            raise DataError(
                f"doc_id {name} is given twice" if same else f"doc_id {name} is two documents",
                where=f"{task.file}:{line}",
                fix="a file holds one run of one task",
            )
        seen[name] = content
        samples.add(
            f"{task.name}/{name}" if several else name,
            number(record.get(metric)),
            _answer(record, metric),
            word(record.get("prompt_hash")) or word(_prompt(record)),
            {"doc": content, "target": word(record.get("target"))},
            {**(document if isinstance(document, dict) else {}), "task": task.name},
        )


def _answer(record: Record, metric: str) -> str | None:
    """A generated text, or the choice with the highest likelihood where `acc` looked at that."""
    found = record.get("filtered_resps") or record.get("resps") or []
    if len(found) == 1 and isinstance(found[0], str):
        return found[0]
    pairs = [number(one[0]) for one in found if isinstance(one, list) and len(one) == 2]
    likely = [one for one in pairs if one is not None]
    if metric != "acc" or not likely or len(likely) != len(found):
        return None
    return str(likely.index(max(likely)))


def _prompt(record: Record) -> Any:
    """The first request's text, in logs without `prompt_hash`."""
    arguments = record.get("arguments")
    try:
        first = arguments["gen_args_0"] if isinstance(arguments, Mapping) else arguments[0]  # type: ignore[index]
        return first["arg_0"] if isinstance(first, Mapping) else first[0]
    except (KeyError, IndexError, TypeError):
        return None


def _title(tasks: Sequence[_Task]) -> str:
    names = {task.name for task in tasks}
    groups = (tasks[0].results.get("group_subtasks") or {}).items()
    group = next((name for name, inside in groups if set(inside or ()) == names), None)
    return tasks[0].name if len(tasks) == 1 else group or f"{len(tasks)} tasks"


def _merged(tables: Iterator[dict[str, str]]) -> dict[str, str]:
    return {key: value for table in tables for key, value in table.items()}
