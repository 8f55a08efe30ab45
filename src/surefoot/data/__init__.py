"""Reads, splits, fingerprints and checks the team's data."""

from surefoot.data.confirmation import confirmation_sets, read_tests
from surefoot.data.fingerprint import fingerprint, sketch
from surefoot.data.load import for_classes, leaks, read_task
from surefoot.data.read import read
from surefoot.data.split import split
from surefoot.data.task import align, check, overlap

__all__ = [
    "align",
    "check",
    "confirmation_sets",
    "fingerprint",
    "for_classes",
    "leaks",
    "overlap",
    "read",
    "read_task",
    "read_tests",
    "sketch",
    "split",
]
