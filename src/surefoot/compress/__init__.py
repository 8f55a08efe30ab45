"""Makes candidates: runs the steps of a recipe on the baseline."""

from surefoot.compress.recipes import Made, compress, compress_all
from surefoot.compress.workshop import Make, NotMade, beside, make_all, workshop

__all__ = [
    "Made",
    "Make",
    "NotMade",
    "beside",
    "compress",
    "compress_all",
    "make_all",
    "workshop",
]
