"""Metrics, one file each: `(scores, labels) -> values` per example.

One with a third argument `weights`, (draws, n), is a metric of the whole set: it gives one value a
draw, and is bootstrapped.
"""
