"""The lean model in front, the big one behind it."""

from surefoot.serve.cascade import GRID, Answers, asked, cascade, choose

__all__ = ["GRID", "Answers", "asked", "cascade", "choose"]
