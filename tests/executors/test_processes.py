"""Jobs on local processes: each is done once, and what goes wrong in one stays with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from surefoot.core.errors import BundleError, SurefootError
from surefoot.executors import Ended, each

MODULE = """
import os, threading, time
from contextlib import contextmanager
from surefoot.core.errors import BundleError

@contextmanager
def squares(offset=0):
    yield lambda job, say: (say(job), job * job + offset)[1]

@contextmanager
def mixed():
    def do(job, say):
        say(("began", job))
        if job == "die":
            os.kill(os.getpid(), 9)
        if job == "exit":
            os._exit(3)
        if job == "raise":
            raise BundleError("no room", where="there", fix="make some")
        if job == "sleep":
            time.sleep(60)
        return job.upper()
    yield do

class Odd(Exception):
    def __init__(self, file, *, row):
        super().__init__(f"{file}: row {row} is odd")

class Locked(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()

class Ours(BundleError):
    def __init__(self, room):
        super().__init__(f"no room for {room}", where="there", fix="make some")
        self.lock = threading.Lock()

@contextmanager
def odd():
    def do(job, say):
        raise {"odd": lambda: Odd("a.csv", row=3), "locked": Locked, "ours": lambda: Ours(7)}[job]()
    yield do

@contextmanager
def pids():
    yield lambda job, say: (time.sleep(0.2), os.getpid())[1]
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "errands.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.delitem(sys.modules, "errands", raising=False)
    import errands

    return errands


@pytest.mark.parametrize("processes", [0, 1, 2, 3, 9])
def test_every_job_is_done_once_and_heard(work, processes):
    heard: list[int] = []
    jobs = [*range(7)]
    found = dict(
        each(partial(work.squares, offset=1), jobs, processes=processes, heard=heard.append)
    )
    assert found == {i: i * i + 1 for i in jobs}
    assert sorted(heard) == jobs


def test_jobs_run_beside_each_other_and_not_in_this_process(work):
    found = {pid for _, pid in each(work.pids, [0, 1, 2, 3], processes=2, heard=print)}
    assert len(found) == 2
    assert os.getpid() not in found


def test_nothing_to_do(work):
    assert list(each(work.squares, [], processes=2, heard=print)) == []


@pytest.mark.parametrize(
    ("deadly", "how"), [("die", "was killed by signal 9"), ("exit", "exited with code 3")]
)
def test_a_process_that_ends_takes_one_job_with_it(work, deadly, how):
    jobs = ["a", deadly, "b", "c"]
    found = dict(each(work.mixed, jobs, processes=2, heard=lambda _: None))
    assert found[1] == Ended(how=how, last=("began", deadly))
    assert [found[0], found[2], found[3]] == ["A", "B", "C"]


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_what_a_job_raises_ends_the_work_at_once(work, processes):
    began = time.monotonic()
    with pytest.raises(BundleError, match="there: no room; make some"):
        list(each(work.mixed, ["raise", "sleep"], processes=processes, heard=lambda _: None))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("job", "kind", "said"),
    [
        ("odd", RuntimeError, r"^Odd: a\.csv: row 3 is odd$"),
        ("locked", RuntimeError, "^Locked: locked$"),
        ("ours", SurefootError, "^there: no room for 7; make some$"),
    ],
)
def test_an_error_that_cannot_be_sent_keeps_its_name_and_its_words(work, job, kind, said):
    with pytest.raises(kind, match=said):
        list(each(work.odd, [job, job], processes=2, heard=lambda _: None))


def running(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


SCRIPT = """
import errands
from surefoot.executors import each
for _, pid in each(errands.pids, range({jobs}), processes=2, heard=print):
    print(pid, flush=True)
"""


def test_a_plain_script_needs_no_guard(work, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT.format(jobs=3))
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_the_one_that_started_it(work, tmp_path, how):
    (tmp_path / "script.py").write_text(SCRIPT.format(jobs=1000))
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Whoever runs the tests in the background has it ignored, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (no threads)
    ) as parent:
        pids = {int(parent.stdout.readline()) for _ in range(6)}
        assert all(map(running, pids))
        parent.send_signal(how)
        parent.wait(20)
    deadline = time.monotonic() + 20
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, pids))
