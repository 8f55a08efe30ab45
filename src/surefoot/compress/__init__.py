"""Makes candidates: runs the steps of a recipe on the baseline."""

from surefoot.compress.recipes import Made, compress, compress_all

__all__ = ["Made", "compress", "compress_all"]
