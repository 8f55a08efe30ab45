"""Makes candidates: runs the steps of a recipe on the baseline."""

from surefoot.compress.recipes import Made, compress, compress_all
from surefoot.compress.workshop import Make, NotMade, make_all, threads, workshop

__all__ = [
    "Made",
    "Make",
    "NotMade",
    "compress",
    "compress_all",
    "make_all",
    "threads",
    "workshop",
]
