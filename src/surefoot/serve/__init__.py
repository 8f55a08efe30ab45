"""The lean model in front, the big one behind it."""

from surefoot.serve.cascade import GRID, Answers, asked, cascade, choose
from surefoot.serve.router import open_router

__all__ = ["GRID", "Answers", "asked", "cascade", "choose", "open_router"]
