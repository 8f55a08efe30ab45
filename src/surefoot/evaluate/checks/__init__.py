"""Behaviour checks, one file each: `(subject, rng, *, options) -> Checked`, row by row.

Its file holds `INPUTS`, the kinds of input that it can ask about; `EXACT = True` where the rows are
a fixed list instead of a sample; and `NEEDS_TRAIN = True` where it asks training rows too.
"""
