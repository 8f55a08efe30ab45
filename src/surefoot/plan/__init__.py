"""Reads surefoot.toml into a typed `Plan`, and says everything that is wrong with it at once."""

from surefoot.plan.read import read_plan, step

__all__ = ["read_plan", "step"]
