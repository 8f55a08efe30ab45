"""A service under load for half an hour: does its memory stay, and is every answer in its log?

`python benchmarks/serve_soak.py [FOLDER] [MINUTES]`. The 0.9 ms model of serve_speed.py is served
by two workers with a decision log, at 70 % of the rate that they were found to answer at most. The
client keeps the id of every answer, and holds them against the log at the end.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np
from serve_speed import (
    COMMAND,
    SIZES,
    Client,
    Served,
    closed_loop,
    connected,
    prepare,
    rss_mb,
    tree,
)

from surefoot.serve.rotation import read_decisions

EVERY_S = 30
"""Seconds between two looks at memory."""
LANES = 64


class Keeping(Client):
    """Keeps the ids of answers."""

    ids: set[str]

    def answered(self, body: bytes) -> None:
        """One answer, of one row."""
        self.ids.add(json.loads(body)["answers"][0]["id"])


async def load(
    served: Served, rate: float, seconds: float
) -> tuple[set[str], list[float], int, int]:
    """Ids, megabytes of the largest process as time went on, requests sent, and refused."""
    ids: set[str] = set()
    clients = deque(await connected(served.port, served.request, LANES, Keeping))
    for client in clients:
        client.ids = ids
    rng, loop, free = np.random.default_rng(0), asyncio.get_running_loop(), asyncio.Semaphore(LANES)
    began, memory, sent, due, running = loop.time(), [], 0, 0.0, set()

    async def one() -> None:
        async with free:
            client = clients.popleft()
            await client.ask()
            clients.append(client)

    while due < seconds:
        due += rng.exponential(1 / rate)
        wait = began + due - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        sent += 1
        task = asyncio.create_task(one())
        running.add(task)
        task.add_done_callback(running.discard)
        if due > EVERY_S * len(memory):
            memory.append(rss_mb(tree(served.process.pid)))
            print(f"{due / 60:5.1f} min  {sent:,} sent  {memory[-1]:.1f} MB", flush=True)
    await asyncio.gather(*running)
    return ids, memory, sent, sum(client.bad for client in clients)


def main() -> None:
    """Run, and compare."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    label, hidden, layers = SIZES[1]
    where = prepare(folder / label.replace(" ", ""), hidden, layers)
    log = Path(tempfile.mkdtemp())
    (where / "soak.toml").write_text(f'port = 0\nworkers = 2\nlog = "{log}"\n')
    served = Served([*COMMAND, "serve", "--config", "soak.toml"], where, cores="0,1")
    count, took = asyncio.run(closed_loop(served.port, served.request, 20.0))
    before = len(read_ids(log))
    rate = 0.7 * count / took
    print(f"at most {count / took:.0f}/s; {rate:.0f}/s for {minutes:g} minutes", flush=True)
    began = time.time()
    ids, memory, sent, refused = asyncio.run(load(served, rate, 60 * minutes))
    served.end()
    kept = read_ids(log)
    settled = memory[len(memory) // 5 :]
    slope = np.polyfit(np.arange(len(settled)) * EVERY_S / 60, settled, 1)[0]
    print(
        f"{sent:,} sent, {refused} refused, {len(ids):,} ids, {len(ids - kept):,} not in the log;"
        f" the log holds {len(kept) - before - len(ids):,} more (it was asked {count:,} before);"
        f" memory {settled[0]:.1f} to {settled[-1]:.1f} MB, {60 * slope:+.2f} MB an hour;"
        f" {time.time() - began:.0f} s"
    )
    command = [*COMMAND, "decisions", str(log)]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def read_ids(log: Path) -> set[str]:
    """Ids of the decisions in a log."""
    return {str(one) for one in read_decisions(log)["id"]}


if __name__ == "__main__":
    main()
