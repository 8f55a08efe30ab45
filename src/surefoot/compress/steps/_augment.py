"""Changes images as they may come again: mirrored, and moved by a few pixels."""

from __future__ import annotations

import numpy as np


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image mirrored or not, and moved by up to an eighth of its size; edges are repeated.

    Args:
        images: (n, height, width[, channels]).
        rng: Where the draws come from.

    Returns:
        As many images, of the same shape and type.
    """
    n, height, width = images.shape[:3]
    down, right = (rng.integers(-(size // 8), size // 8 + 1, n) for size in (height, width))
    rows = np.clip(np.arange(height) + down[:, None], 0, height - 1)
    columns = np.clip(np.arange(width) + right[:, None], 0, width - 1)
    mirrored = rng.random(n) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    moved: np.ndarray = images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved
