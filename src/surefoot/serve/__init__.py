"""The lean model in front, the big one behind it."""

from surefoot.serve.cascade import (
    GRID,
    Answers,
    Stages,
    cascade,
    cascade_or_alone,
    choose,
    promised_plan,
)
from surefoot.serve.router import open_router

__all__ = [
    "GRID",
    "Answers",
    "Stages",
    "cascade",
    "cascade_or_alone",
    "choose",
    "open_router",
    "promised_plan",
]
