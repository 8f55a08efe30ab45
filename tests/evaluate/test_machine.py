import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot.evaluate import machine
from surefoot.evaluate.machine import watch_machine

BEFORE = "cpu  100 0 50 1000 10 0 5 7 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


def test_steal_and_foreign_load_are_shares_of_all_processors(tmp_path, monkeypatch):
    """By hand: of 400 ticks since, 8 are stolen, 192 idle or waiting, 200 at work."""
    stat = tmp_path / "stat"
    stat.write_text(BEFORE)
    monkeypatch.setattr(machine, "STAT", stat)
    seen = watch_machine()
    stat.write_text("cpu  250 0 100 1190 12 0 5 15 0 0\n")
    found = seen()
    assert found.steal == pytest.approx(8 / 400)
    assert found.foreign == pytest.approx(200 / 400, abs=0.02)


def test_a_few_ticks_tell_nothing(tmp_path, monkeypatch):
    """One tick of seven would be 14 % of the processors' time."""
    stat = tmp_path / "stat"
    stat.write_text(BEFORE)
    monkeypatch.setattr(machine, "STAT", stat)
    seen = watch_machine()
    stat.write_text("cpu  106 0 51 1000 10 0 5 7 0 0\n")
    assert (seen().steal, seen().foreign) == (None, None)


@pytest.mark.parametrize("content", [None, "", "cpu 1 2 3\n", BEFORE])
def test_a_system_that_does_not_tell_is_none(tmp_path, monkeypatch, content):
    stat = tmp_path / "stat"
    if content is not None:
        stat.write_text(content)
    monkeypatch.setattr(machine, "STAT", stat)
    found = watch_machine()()
    assert (found.steal, found.foreign) == (None, None)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux counts ticks there")
def test_own_work_is_not_foreign_and_that_of_another_process_is():
    def during(work):
        seen, end = watch_machine(), time.perf_counter() + 0.6
        work(end)
        return seen().foreign

    def spin(end):
        while time.perf_counter() < end:
            pass

    def other(_):
        code = "import time; e = time.perf_counter() + 0.5\nwhile time.perf_counter() < e: pass"
        subprocess.run([sys.executable, "-c", code], check=True)

    quiet = min(during(lambda end: time.sleep(0.6)) for _ in range(2))
    if quiet > 0.3:
        pytest.skip("the machine is busy")
    assert during(spin) < 0.35
    assert during(other) > quiet
