"""Pairs two logs of other evaluators, for models that were judged elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surefoot import plugins
from surefoot.core.errors import DataError
from surefoot.core.evidence import ConfirmationEvidence, Evidence, Paired
from surefoot.core.log import Log
from surefoot.evaluate.outputs.predictions import MOST_VALUES, compare_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two logs, paired."""

    evidence: ConfirmationEvidence
    """What a gate looks at."""
    metric: str
    """The metric that was compared."""
    no_flips: str = ""
    """Why changed answers cannot be counted, if they cannot."""
    notes: tuple[str, ...] = ()
    """What differs between the runs besides the models, and what was left out."""


def kind_of(path: Path) -> str | None:
    """The evaluator that wrote a log, by what stands in it; None for any other file."""
    names = plugins.names("log")
    return next((n for n in names if plugins.module("log", n).recognises(path)), None)


def compare_outputs(
    base: Path,
    candidate: Path,
    *,
    metric: str | None = None,
    slices: Sequence[str] = (),
    group: str | None = None,
) -> Compared:
    """Pair what two models said elsewhere: two logs, or else two files of predictions.

    Args:
        base: What the baseline said.
        candidate: What the candidate said.
        metric: The metric of a log; a file of predictions has accuracy alone.
        slices: Columns of `base`.
        group: Column of `base` that names the cluster of a row.

    Raises:
        DataError: A file is at fault, or the two do not pair.
    """
    if any(map(kind_of, (base, candidate))):
        return compare_logs(base, candidate, metric=metric, slices=slices, group=group)
    if metric not in (None, "accuracy"):
        fix = "leave --metric out, or name a log of an evaluator"
        raise DataError("a file of predictions has accuracy alone", where=str(base), fix=fix)
    evidence = compare_files(base, candidate, slices=slices, group=group)
    return Compared(evidence=evidence, metric="accuracy")


def compare_logs(
    base: Path,
    candidate: Path,
    *,
    metric: str | None = None,
    slices: Sequence[str] = (),
    group: str | None = None,
) -> Compared:
    """Pair two logs by sample; the evidence holds all samples, then every slice.

    Several epochs of a sample become one value, their mean: they are answers to one question, and
    the question is what is independent (Miller 2024, "Adding error bars to evals: a statistical
    approach to language model evaluations", section 3.1). Epoch 1 of one question has nothing in
    common with epoch 1 of another, so epochs are no seeds.

    Args:
        base: The baseline's log.
        candidate: The candidate's log, of the same evaluator.
        metric: The metric; the log's own main one by default.
        slices: Columns of the baseline's log; one slice per value.
        group: Column that names the cluster of a sample, for example its passage.

    Raises:
        DataError: A log is at fault, or the two are not of the same samples.
    """
    old, new = _read(base, candidate, metric, [*slices, *([group] if group else [])])
    _check_settings(old, new, base, candidate)
    both = _pair(old, new, base, candidate)
    names = _names(old, new, base, candidate)
    groups = both.column(group, base) if group else None
    paired = [
        both.paired(names, place, mask, groups) for place, mask in both.places(slices, base).items()
    ]
    evidence = Evidence(baseline=names[0], candidates=names[1:], paired=tuple(paired))
    return Compared(
        evidence=ConfirmationEvidence(evidence),
        metric=old.metric,
        no_flips=_no_flips(both),
        notes=tuple(_notes(both)),
    )


def _read(
    base: Path, candidate: Path, metric: str | None, columns: Sequence[str]
) -> tuple[Log, Log]:
    kinds = [kind_of(path) for path in (base, candidate)]
    if kinds[0] is None or kinds[0] != kinds[1]:
        said = [f"a log of {kind}" if kind else "no log" for kind in kinds]
        raise DataError(
            f"is {said[1]}, and {base} is {said[0]}",
            where=str(candidate),
            fix="compare two logs of one evaluator",
        )
    reader = plugins.find("log", kinds[0])
    old: Log = reader(base, metric, columns)
    return old, reader(candidate, old.metric, ())


def _check_settings(old: Log, new: Log, base: Path, candidate: Path) -> None:
    """Refuse logs of different tasks, versions of them, or few-shot counts: all that differs."""
    found = list(_differences(old.settings, new.settings))
    if found:
        raise DataError(
            f"differs from {base} in {'; '.join(found)}",
            where=str(candidate),
            fix="run both models on the same task in the same way",
        )


def _differences(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for key in sorted(one.keys() & other.keys()):
        if one[key] != other[key]:
            yield f"{key} ({_short(one[key])} before, {_short(other[key])} now)"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Both:
    """Two logs with a value a question."""

    old: Log
    new: Log
    first: np.ndarray
    """(n,) a row of `old` of each question."""
    before: np.ndarray
    after: np.ndarray
    right_or_wrong: bool
    """Whether each question has one value, 0 or 1."""
    other: np.ndarray | None
    """(n,) whether both are wrong with different answers; None where nothing tells."""
    prompts: np.ndarray | None
    """(n,) whether the prompts differ; None where a log does not hold them."""

    def column(self, name: str, path: Path) -> np.ndarray:
        """The codes of a group column."""
        words = self.old.columns[name][self.first].tolist()
        if None in words:
            count = sum(one is None for one in words)
            raise DataError(f"{count:,} samples have no {name}", where=str(path))
        return np.unique(words, return_inverse=True)[1]

    def places(self, slices: Sequence[str], path: Path) -> dict[str | None, np.ndarray]:
        """All questions, then each slice, as masks."""
        found: dict[str | None, np.ndarray] = {None: np.ones(len(self.first), dtype=bool)}
        for name in slices:
            words = np.array(self.old.columns[name][self.first].tolist(), dtype=object)
            values = sorted({one for one in words if one is not None})
            if len(values) > MOST_VALUES:
                raise DataError(
                    f"column '{name}' has more than {MOST_VALUES} values, too many for slices",
                    where=str(path),
                )
            found |= {f"{name}={value}": words == value for value in values}
        return found

    def paired(
        self,
        names: tuple[str, str],
        place: str | None,
        mask: np.ndarray,
        groups: np.ndarray | None,
    ) -> Paired:
        """What a paired test needs in one place."""
        before, after = self.before[mask], self.after[mask]
        sign = 1 if self.old.higher_is_better else -1
        difference = after - before
        lost, won = sign * difference < 0, sign * difference > 0
        other = np.zeros(len(before), dtype=bool) if self.other is None else self.other[mask]
        counted = self.right_or_wrong and groups is None
        change = np.asarray(lost + 2 * won + 3 * other, dtype=np.int8)
        values = np.concatenate([self.before, self.after])
        bounded = bool(((values >= 0) & (values <= 1)).all())
        return Paired(
            candidate=names[1],
            dataset=self.old.task,
            slice=place,
            metric=self.old.metric,
            n=len(before),
            lost=int(lost.sum()),
            won=int(won.sum()),
            other=int(other.sum()),
            baseline=float(before.mean()),
            value=float(after.mean()),
            higher_is_better=self.old.higher_is_better,
            span=1.0 if bounded else np.inf,
            share=self.right_or_wrong,
            difference=None if counted else difference,
            values=None if counted else after,
            groups=None if groups is None else groups[mask],
            change=change if self.right_or_wrong and groups is not None else None,
        )


def _pair(old: Log, new: Log, base: Path, candidate: Path) -> _Both:
    ids, first, codes, counts = np.unique(
        old.ids, return_index=True, return_inverse=True, return_counts=True
    )
    there, first_there, codes_there, counts_there = np.unique(
        new.ids, return_index=True, return_inverse=True, return_counts=True
    )
    _check_ids(ids, there, base, candidate)
    for name in old.same.keys() & new.same.keys():
        _check_same(name, old.same[name][first], new.same[name][first_there], ids, candidate)
    before = np.bincount(codes, weights=old.values) / counts
    after = np.bincount(codes_there, weights=new.values) / counts_there
    once = int(counts.max()) == int(counts_there.max()) == 1
    single = once and bool(np.isin(np.concatenate([before, after]), (0, 1)).all())
    other = None
    if single and old.answers is not None and new.answers is not None:
        wrong = 0.0 if old.higher_is_better else 1.0
        differ = old.answers[first] != new.answers[first_there]
        other = (before == wrong) & (after == wrong) & differ
    prompts = None
    if old.prompts is not None and new.prompts is not None:
        prompts = old.prompts[first] != new.prompts[first_there]
    return _Both(
        old=old,
        new=new,
        first=first,
        before=before,
        after=after,
        right_or_wrong=single,
        other=other,
        prompts=prompts,
    )


def _check_ids(here: np.ndarray, there: np.ndarray, base: Path, candidate: Path) -> None:
    for own, others, path, other in (
        (here, there, base, candidate),
        (there, here, candidate, base),
    ):
        # As Python sets: numpy looks for each text of this type in the whole other array.
        lonely = sorted(set(own.tolist()) - set(others.tolist()))
        if lonely:
            raise DataError(
                f"{len(lonely):,} of {len(own):,} samples are not in {other},"
                f" the first is '{lonely[0]}'",
                where=str(path),
                fix="both logs must hold the same samples",
            )


def _check_same(
    name: str, here: np.ndarray, there: np.ndarray, ids: np.ndarray, candidate: Path
) -> None:
    """Refuse samples of one id that are two questions."""
    differ = np.flatnonzero(here != there)
    if len(differ):
        raise DataError(
            f"{len(differ):,} of {len(ids):,} samples have another {name} than in the baseline's"
            f" log, the first is '{ids[differ[0]]}'",
            where=str(candidate),
            fix="run both models on the same version of the data",
        )


def _names(old: Log, new: Log, base: Path, candidate: Path) -> tuple[str, str]:
    """The models' names, where they tell the two apart, and else those of the files."""
    if old.model and new.model and old.model != new.model:
        return old.model, new.model
    return base.stem, candidate.stem


def _no_flips(both: _Both) -> str:
    if not both.right_or_wrong:
        return f"answers are not right or wrong by '{both.old.metric}'"
    if both.other is None:
        return f"the logs do not hold the answers that '{both.old.metric}' looked at"
    return ""


def _notes(both: _Both) -> Iterator[str]:
    old, new = both.old, both.new
    yield from dict.fromkeys((*old.notes, *new.notes))
    for what in _differences(old.conditions, new.conditions):
        yield f"the runs differ in {what}"
    if both.prompts is not None and both.prompts.any():
        first = old.ids[both.first][np.flatnonzero(both.prompts)[0]]
        yield (
            f"{int(both.prompts.sum()):,} of {len(both.prompts):,} prompts differ, the first that"
            f" of '{first}': what is compared is models and prompts together"
        )
    if len(both.first) < len(old.ids):
        yield "samples with several epochs count as one, by their mean"
