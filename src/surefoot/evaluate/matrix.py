"""Fills the cells of many candidates on many data sets, on several processes of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from surefoot.core.cpus import usable_cpus
from surefoot.core.dataset import Examples
from surefoot.core.errors import ModelError
from surefoot.core.evidence import Cell, Repeat
from surefoot.core.model import Candidate
from surefoot.core.progress import Progress, Silent
from surefoot.evaluate.cells import cell, read_scores
from surefoot.evaluate.jobs import PER_BYTE, Job, filler, identity
from surefoot.executors import PER_PROCESS, Ended, each, free_memory
from surefoot.store import Store

Name = TypeVar("Name")

WORTH = 20_000
"""Fewer rows than this are answered before other processes have imported their libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled(Generic[Name]):
    """What came of filling cells."""

    cells: Mapping[Name, tuple[Cell, ...]]
    """By candidate, a cell per set in their order."""
    failed: Mapping[Name, str]
    """Candidates that could not be run everywhere, with the reason; they have no cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """How cells are filled."""

    store: Store
    """Where they are kept."""
    batch: int = 32
    """Rows per call."""
    processes: int | None = None
    """How many other processes; by default as many as there are CPUs, fewer where memory is short,
    and none where there is little to do: then a model that crashes takes this process with it."""
    golden: bool = True
    """Whether a model must give its golden answers to be asked anything."""
    progress: Progress = field(default_factory=Silent)
    """Told of every row."""


def fill_matrix(
    candidates: Mapping[Name, Candidate], sets: Mapping[str, Examples], how: Filling
) -> Filled[Name]:
    """Measure candidates on data sets; what the store holds is not done again.

    A candidate that cannot be run does not keep the others from it; nor does one that takes its
    process down, where other processes fill cells.

    Args:
        candidates: By whatever the caller tells them apart.
        sets: The data sets by name.
        how: How cells are filled.
    """
    found, failed = _answers(_jobs(candidates.values(), sets, how), how)
    cells = {
        name: tuple(
            cell(candidate.name, examples, known[identity(candidate)])
            for examples, known in zip(sets.values(), found, strict=True)
        )
        for name, candidate in candidates.items()
        if identity(candidate) not in failed
    }
    reasons = {name: failed.get(identity(candidate)) for name, candidate in candidates.items()}
    return Filled(cells=cells, failed={name: why for name, why in reasons.items() if why})


def ask_again(baseline: Candidate, sets: Mapping[str, Examples], how: Filling) -> Repeat:
    """Ask the baseline the same rows a second time: what two equal things differ by.

    Args:
        baseline: The baseline.
        sets: The data sets by name; of each the first rows are asked again.
        how: As cells are filled.

    Returns:
        How many answers changed; none, on a runtime that is deterministic.

    Raises:
        ModelError: The baseline cannot be run.
    """
    found, failed = _answers(_jobs([baseline], sets, how, again=True), how)
    for why in failed.values():
        raise ModelError(why)
    rounds = np.concatenate([known[identity(baseline)] for known in found], axis=1)
    once, again = rounds
    return Repeat(
        rows=len(again),
        flips=int((again.argmax(axis=1) != once.argmax(axis=1)).sum()),
        largest=float(np.abs(again - once).max()),
    )


def _jobs(
    candidates: Iterable[Candidate],
    sets: Mapping[str, Examples],
    how: Filling,
    *,
    again: bool = False,
) -> list[Job]:
    """A job per set; candidates of other names that are the same model are asked once."""
    everyone = tuple({identity(candidate): candidate for candidate in candidates}.values())
    return [
        Job(
            examples=examples,
            candidates=everyone,
            batch=how.batch,
            store=how.store,
            again=again,
            golden=how.golden,
        )
        for examples in sets.values()
    ]


def _answers(
    jobs: Sequence[Job], how: Filling
) -> tuple[list[dict[str, np.ndarray]], dict[str, str]]:
    """The answers of each job by candidate, and why candidates failed, both by `identity`."""
    found: list[dict[str, np.ndarray]] = [{} for _ in jobs]
    failed: dict[str, str] = {}
    while True:
        left: list[Job] = []
        taken: set[Path] = set()
        for job, known in zip(jobs, found, strict=True):
            missing = [c for c in job.candidates if identity(c) not in {*known, *failed}]
            for candidate in missing:
                scores = how.store.kept("cells", job.key(candidate), read_scores)
                if scores is not None:
                    known[identity(candidate)] = scores
            wanted = {job.place(c): c for c in missing if identity(c) not in known}
            # Two sets of the same rows have the same cells.
            left += _shares(job, [c for where, c in wanted.items() if where not in taken])
            taken |= wanted.keys()
        if not left:
            return found, failed
        # Every round finishes what is left, or finds somebody who cannot be run.
        failed |= _round(left, how)


def _shares(job: Job, missing: Sequence[Candidate]) -> Iterator[Job]:
    """A job each where rows stand as they came; one for all where they have to be shifted first."""
    together = [missing] if job.examples.shift and missing else [[c] for c in missing]
    for candidates in together:
        yield replace(job, candidates=tuple(candidates))


def _round(jobs: Sequence[Job], how: Filling) -> dict[str, str]:
    """Do jobs, the longest first, so that nobody waits for a long one at the end."""
    ordered = sorted(jobs, key=lambda job: -job.rows)
    total = sum(job.rows for job in ordered)
    wanted = how.processes or (usable_cpus() if total >= WORTH else 0)
    processes, memory = _room(ordered, wanted)
    cells = sum(len(job.candidates) for job in ordered)
    how.progress.start(f"filling {cells:,} cells" if cells > 1 else "filling a cell", total)

    def heard(said: tuple[str, int]) -> None:
        how.progress.advance(said[1])

    failed: dict[str, str] = {}
    died: list[tuple[Job, Ended]] = []
    work = partial(filler, memory)
    for position, result in each(work, ordered, processes=processes, heard=heard):
        if isinstance(result, Ended):
            died.append((ordered[position], result))
        else:
            failed |= result
    for job, ended in died:
        failed |= _alone(job, ended)
    return failed


def _alone(job: Job, ended: Ended) -> dict[str, str]:
    """Ask whoever took a process down once more, with all of the memory and nobody beside it.

    The system may have ended the process for the memory that all of them took. Whoever had their
    turn after that in the same job is asked in the next round.
    """
    failed: dict[str, str] = {}
    for candidate in job.candidates:
        if ended.last is not None and ended.last[0] != identity(candidate):
            continue
        one = replace(job, candidates=(candidate,))
        work = partial(filler, free_memory())
        for _, result in each(work, [one], processes=1, heard=lambda _: None):
            if isinstance(result, Ended):
                why = f"the process that ran {candidate.name} {result.how}, twice"
                failed[identity(candidate)] = why
            else:
                failed |= result
    return failed


def _room(jobs: Sequence[Job], wanted: int) -> tuple[int, int]:
    """How many processes half of the free memory has room for, and what open models may take."""
    free = free_memory() // 2
    model = max(c.model.size_bytes for job in jobs for c in job.candidates) * PER_BYTE
    rows = 2 * max(job.examples.nbytes for job in jobs)  # as they came, and shifted
    most = max(1, free // (PER_PROCESS + model + rows))
    processes = min(wanted, len(jobs), most)
    return processes, max(free // max(processes, 1) - PER_PROCESS - rows, 0)
