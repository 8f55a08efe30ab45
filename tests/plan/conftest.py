"""What is wrong with a plan: the module's own `PLAN`, with overrides or in place of it."""

from __future__ import annotations

import pytest

from surefoot.core.errors import PlanError
from surefoot.plan import read_plan


@pytest.fixture
def problems(tmp_path, request):
    """The problems of `problems(*overrides, text=PLAN)`; none where there are none."""
    for name in ("test.csv", "model.onnx", "scores.csv"):
        (tmp_path / name).touch()

    def find(*overrides, text=request.module.PLAN):
        (tmp_path / "p.toml").write_text(text)
        try:
            read_plan(tmp_path / "p.toml", overrides)
        except PlanError as error:
            return list(error.problems)
        return []

    return find
