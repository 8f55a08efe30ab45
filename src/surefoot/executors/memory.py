"""How much main memory this process may still take, which bounds how many others it starts."""

from __future__ import annotations

from pathlib import Path

CONTROL_GROUP = tuple(
    (Path("/sys/fs/cgroup") / limit, Path("/sys/fs/cgroup") / used)
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    )
)
"""Where Linux says what a container may take and has taken, in the second and first version."""
PER_PROCESS = 500_000_000
"""Bytes that a process takes before it opens a model."""


def free_memory() -> int:
    """Bytes of main memory that can be had; a guess where the system does not tell.

    A container may have less than the machine: what its control group allows, and has taken.
    """
    file, free = Path("/proc/meminfo"), [4_000_000_000]
    if file.exists():
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines())
        free = [int(lines["MemAvailable"].split()[0]) * 1024]
    for limit, used in CONTROL_GROUP:
        try:
            free.append(max(int(limit.read_text()) - int(used.read_text()), 0))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(free)
