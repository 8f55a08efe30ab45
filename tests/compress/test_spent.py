"""What work costs is what it took, and no more."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from surefoot.compress.spent import measured
from surefoot.core.model import Cost, total_cost
from surefoot.core.seen import saw


def counter(folder: Path, name: str, energy: int, most: int = 1_000_000) -> Path:
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "energy_uj").write_text(f"{energy}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place


def test_time_is_counted_on_the_clock_and_on_the_processors():
    with measured() as cost:
        began = time.process_time()
        while time.process_time() - began < 0.2:
            pass
        time.sleep(0.2)
    spent = cost()
    assert 0.2 <= spent.cpu_s < 0.4
    assert spent.wall_s >= 0.4


def test_processes_that_were_started_count_too():
    code = "import time; began = time.process_time()\nwhile time.process_time() - began < 0.3: pass"
    with measured() as cost:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert cost().cpu_s >= 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
def test_memory_is_the_peak_of_this_work_and_not_of_the_one_before_it():
    for megabytes in (200, 50):
        with measured() as cost:
            np.ones(megabytes * 1_000_000, np.uint8).sum()
        assert 0.9 * megabytes <= cost().peak_mb <= megabytes + 40
    with measured() as cost:
        pass
    assert cost().peak_mb < 20


def test_rows_are_those_that_were_said_within():
    saw(1000)
    with measured() as outer:
        saw(5)
        with measured() as inner:
            saw(7)
        saw(5)
    assert (outer().rows, inner().rows) == (10, 7)


def test_energy_is_that_of_all_packages_though_a_counter_starts_again(tmp_path, monkeypatch):
    monkeypatch.setattr("surefoot.compress.spent.POWERCAP", tmp_path)
    counter(tmp_path, "intel-rapl:0", 999_000, most=999_999)
    counter(tmp_path, "intel-rapl:1", 10)
    counter(tmp_path, "intel-rapl:0:0", 10)  # a part of the first, in which it is counted already
    with measured() as cost:
        counter(tmp_path, "intel-rapl:0", 499_000, most=999_999)
        counter(tmp_path, "intel-rapl:1", 1_000_010, most=5_000_000)
        counter(tmp_path, "intel-rapl:0:0", 900_000)
    assert cost().energy_j == pytest.approx(0.5 + 1.0)


def test_a_machine_that_does_not_tell_its_energy(tmp_path, monkeypatch):
    monkeypatch.setattr("surefoot.compress.spent.POWERCAP", tmp_path)
    (tmp_path / "intel-rapl:0").mkdir()
    with measured() as cost:
        pass
    assert cost().energy_j is None


def test_costs_add_up_and_memory_is_the_most():
    one = Cost(wall_s=1, cpu_s=2, rows=3, peak_mb=40, energy_j=5)
    two = Cost(wall_s=10, cpu_s=20, rows=30, peak_mb=4, energy_j=50)
    assert total_cost([one, two]) == Cost(wall_s=11, cpu_s=22, rows=33, peak_mb=40, energy_j=55)
    assert total_cost([one, Cost(wall_s=1)]).energy_j is None
    assert total_cost([]) == Cost()
