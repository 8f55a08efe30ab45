"""What a logged decision costs the request: `python benchmarks/decision_log.py`.

A decision is made (its id, its fields) and added while the thread that writes is at work, 50,000
times at about 5,000 a second, in rounds of the size of a small batch; the time of the caller's
thread and the time on the clock are told apart. Then the log is read back: no id may be missing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from surefoot.serve.decisions import Decision, DecisionIds, DecisionLog
from surefoot.serve.rotation import read_decisions, rotate

ROUNDS, BATCH, PAUSE_S = 6_250, 8, 0.0016
TEXT = "it was a fine film, and the end of it was not what anybody had thought it would be " * 2


def decision(ids: DecisionIds, row: str | np.ndarray) -> Decision:
    """One as the service makes it."""
    return Decision(
        id=ids.next(), time=time.time(), request="0f8fad5b-d9cb-469f-a165-70867728950e",
        route="static", label="positive", confidence=0.93, promise="held", epoch=0,
        model="f" * 64, input=row, ms=1.2,
    )  # fmt: skip


def measured(name: str, row: str | np.ndarray) -> None:
    """One line for one kind of input."""
    with tempfile.TemporaryDirectory() as folder:
        log, ids, taken, cpu = DecisionLog(Path(folder), 0), DecisionIds(), [], 0.0
        given: list[str] = []
        for _ in range(ROUNDS):
            used, began = time.thread_time(), time.perf_counter()
            for _ in range(BATCH):
                one = decision(ids, row)
                log.add(one)
                given.append(one.id)
            taken.append((time.perf_counter() - began) / BATCH)
            cpu += time.thread_time() - used
            time.sleep(PAUSE_S)
        dropped, began = log.close(), time.perf_counter()
        rotate(Path(folder))
        rotated = time.perf_counter() - began
        whole = read_decisions(Path(folder))["id"].tolist() == given
    median, most = np.percentile(taken, [50, 99]) * 1e6
    print(
        f"{name:<22} {cpu / len(given) * 1e6:.1f} us of CPU a decision; on the clock {median:.1f},"
        f" 99 % below {most:.1f}; {dropped} dropped, read back {'whole' if whole else 'NOT WHOLE'};"
        f" rotation of {len(given):,} took {rotated:.2f} s"
    )


if __name__ == "__main__":
    measured("a text of 166", TEXT)
    measured("784 floats", np.random.default_rng(0).random(784, np.float32))
