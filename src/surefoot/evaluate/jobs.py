"""A piece of filling cells, some candidates on one set, done wherever there is a process for it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.dataset import Examples
from surefoot.core.errors import ModelError, PluginError
from surefoot.core.model import Candidate
from surefoot.core.progress import Progress
from surefoot.evaluate.cells import ASKED_AGAIN, THREADS, cell_key, write_scores
from surefoot.executors import Say
from surefoot.models import Predictor, open_model
from surefoot.store import Store

PER_BYTE = 4
"""Bytes of main memory that an open model takes for each byte of its files, at most."""
SAYS_EVERY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Some candidates on one set."""

    examples: Examples
    """The set; where it has to be shifted first, that is done once for all candidates."""
    candidates: Sequence[Candidate]
    """Those that have to be asked."""
    batch: int
    """Rows per call."""
    store: Store
    """Where the answers go."""
    golden: bool = True
    """Whether a model must give its golden answers to be asked anything."""
    again: bool = False
    """Ask the first rows twice, instead of all rows once: the noise floor."""

    @property
    def rows(self) -> int:
        """Answers that have to be taken."""
        rows = min(len(self.examples), ASKED_AGAIN) * 2 if self.again else len(self.examples)
        return rows * len(self.candidates)

    def key(self, candidate: Candidate) -> Mapping[str, Any]:
        """What the answers of a candidate depend on."""
        key = cell_key(candidate, self.examples, self.batch)
        return {"again": key} if self.again else key

    def place(self, candidate: Candidate) -> Path:
        """Where they lie, or will lie."""
        return self.store.path("cells", self.key(candidate))

    def answers(self, predict: Predictor, inputs: np.ndarray, watch: Progress) -> np.ndarray:
        """(n, classes) probabilities, or (2, first rows, classes)."""
        if not self.again:
            return predict(inputs, batch=self.batch, progress=watch)
        # Both times the same rows share a call: with others, dynamic int8 answers otherwise.
        first = inputs[:ASKED_AGAIN]
        return np.stack([predict(first, batch=self.batch, progress=watch) for _ in range(2)])


def identity(candidate: Candidate) -> str:
    """What tells candidates apart, whatever they are called."""
    return f"{candidate.model.fingerprint} {candidate.runtime}"


@contextmanager
def filler(memory: int) -> Iterator[Callable[[Job, Say], dict[str, str]]]:
    """What does a job; models stay open from one job to the next.

    The function that it gives returns the reasons by which candidates failed, by `identity`. It
    says who is asked, by identity too, and how many more rows are done.

    Args:
        memory: Bytes that open models may take together.
    """
    opened = _Opened(memory)
    with ExitStack() as stack:
        stack.callback(opened.close)
        yield partial(_fill, opened)


class _Opened:
    """Open models, the one used last at the end; those used longest ago make room."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._open: OrderedDict[str, tuple[ExitStack, Predictor, int]] = OrderedDict()

    def get(self, candidate: Candidate, *, golden: bool) -> Predictor:
        key, size = identity(candidate), candidate.model.size_bytes * PER_BYTE
        if key not in self._open:
            while self._open and size + sum(s for *_, s in self._open.values()) > self._memory:
                self._open.popitem(last=False)[1][0].close()
            stack = ExitStack()
            opening = open_model(
                candidate.model, runtime=candidate.runtime, threads=THREADS, golden=golden
            )
            self._open[key] = (stack, stack.enter_context(opening), size)
        self._open.move_to_end(key)
        return self._open[key][1]

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1][0].close()


class _Throttled:
    """Progress that is passed on a few times a second, not at every batch."""

    def __init__(self, say: Say, who: str) -> None:
        self._say, self._who, self._units = say, who, 0
        self.flush()

    def start(self, title: str, total: int) -> None:
        """Whoever handed out the jobs has said it."""

    def note(self, line: str) -> None:
        """Nothing here is worth a line."""

    def advance(self, units: int = 1) -> None:
        """Add up, and say it now and then."""
        self._units += units
        if time.monotonic() - self._said >= SAYS_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Say what was not said yet."""
        self._say((self._who, self._units))
        self._units, self._said = 0, time.monotonic()


def _fill(opened: _Opened, job: Job, say: Say) -> dict[str, str]:
    failed: dict[str, str] = {}
    try:
        inputs = job.examples.inputs
    except PluginError as error:  # a shift that breaks its contract
        return {identity(candidate): str(error) for candidate in job.candidates}
    for candidate in job.candidates:
        watch = _Throttled(say, identity(candidate))
        try:
            scores = job.answers(opened.get(candidate, golden=job.golden), inputs, watch)
        except (ModelError, PluginError) as error:
            failed[identity(candidate)] = str(error)
        except MemoryError:
            failed[identity(candidate)] = "there is not enough main memory to run it"
        else:
            job.store.make("cells", job.key(candidate), partial(write_scores, scores))
        watch.flush()
    return failed
