"""What is wrong with the `[serve]` table, each problem as `key: what; fix`."""

from __future__ import annotations

from collections.abc import Iterator

from surefoot.core.errors import nearest
from surefoot.plan.typed import File


def serve_problems(file: File) -> Iterator[str]:
    """Shares out of range, and slices that there are not."""
    serve, names = file.serve, [candidate.name for candidate in file.candidate]
    if serve.candidate and file.candidate and serve.candidate not in names and not file.search:
        fix = nearest(serve.candidate, names)
        yield f"serve.candidate: no candidate '{serve.candidate}'; {fix}"
    if not 0 <= serve.shadow <= 1:
        yield f"serve.shadow: must be a share from 0 to 1, found {serve.shadow}"
    for key in ("max_error_over_fallback", "delta", "false_alarm"):
        value = getattr(serve, key)
        if not 0 < value < 1:
            yield f"serve.{key}: must be above 0 and below 1, found {value}"
    for i, name in enumerate(serve.slices):
        if name not in file.evaluate.slices:
            known = nearest(name, file.evaluate.slices) if file.evaluate.slices else ""
            fix = known or "name it under evaluate.slices"
            yield f"serve.slices[{i}]: no slice '{name}'; {fix}"
