"""Makes candidates: runs the steps of a recipe on the baseline."""

from surefoot.compress.recipes import compress

__all__ = ["compress"]
