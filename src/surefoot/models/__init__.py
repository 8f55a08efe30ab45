"""A model on disk, and running it."""

from __future__ import annotations

from surefoot.models.adopt import adopt, source_files
from surefoot.models.baseline import adopt_baseline
from surefoot.models.golden import golden_broken, read_golden
from surefoot.models.heads import fit_linear_head
from surefoot.models.open import (
    Predictor,
    add_golden,
    default_runtime,
    open_model,
    own_runtime,
    own_threads,
    runtimes_for,
)
from surefoot.models.signatures import class_names
from surefoot.models.store import copy_preprocessing, moved, read_model, seal
from surefoot.models.told import Told, tell

__all__ = [
    "Predictor",
    "Told",
    "add_golden",
    "adopt",
    "adopt_baseline",
    "class_names",
    "copy_preprocessing",
    "default_runtime",
    "fit_linear_head",
    "golden_broken",
    "moved",
    "open_model",
    "own_runtime",
    "own_threads",
    "read_golden",
    "read_model",
    "runtimes_for",
    "seal",
    "source_files",
    "tell",
]
