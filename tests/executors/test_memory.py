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


def test_a_container_that_has_taken_all_has_nothing_left(tmp_path, monkeypatch):
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr("surefoot.executors.memory.CONTROL_GROUP", ((limit, used),))
    limit.write_text("1000\n")
    used.write_text("2000\n")  # a limit that was lowered
    assert free_memory() == 0


def test_the_narrowest_limit_counts(tmp_path, monkeypatch):
    groups = []
    for name, left in (("new", 7_000), ("old", 5_000), ("open", None)):
        limit, used = tmp_path / f"{name}.max", tmp_path / f"{name}.current"
        limit.write_text("max" if left is None else str(left + 1_000))
        used.write_text("1000")
        groups.append((limit, used))
    monkeypatch.setattr("surefoot.executors.memory.CONTROL_GROUP", tuple(groups))
    assert free_memory() == 5_000
    (tmp_path / "old.current").unlink()
    assert free_memory() == 7_000
