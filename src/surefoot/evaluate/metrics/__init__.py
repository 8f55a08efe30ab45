"""Metrics, one file each: `(scores, labels) -> values` per example."""
