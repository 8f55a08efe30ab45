"""Processors are those that this process may use, not those of the machine."""

import os

import pytest

from surefoot.core.cpus import usable_cpus


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone says it")
def test_a_process_that_is_held_to_one_processor_has_one():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cpus() == len(before)


@pytest.mark.parametrize(("machine", "wanted"), [(6, 6), (None, 1)])
def test_elsewhere_the_machine_is_asked(monkeypatch, machine, wanted):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: machine)
    assert usable_cpus() == wanted
