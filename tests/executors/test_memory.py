"""What a process may still take."""

from __future__ import annotations

from surefoot.executors import free_memory


def test_a_container_has_the_memory_that_is_left_of_its_own(tmp_path, monkeypatch):
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr("surefoot.executors.memory.CONTROL_GROUP", ((limit, used),))
    whole = free_memory()
    limit.write_text("3000000\n")
    used.write_text("1000000\n")
    assert free_memory() == 2_000_000
    limit.write_text("max\n")
    assert free_memory() > 0.5 * whole
