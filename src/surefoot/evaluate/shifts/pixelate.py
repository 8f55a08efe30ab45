"""Pictures of too few pixels."""

import numpy as np

INPUT = "image"
SHARES = (1, 0.6, 0.5, 0.4, 0.3, 0.25)
"""Pixels that are left along each side, at severity 0 to 5."""


def pixelate(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures of too few pixels: squares of their mean colour, as after enlarging a thumbnail.

    60, 50, 40, 30 and 25 % of the pixels along each side are left at severity 1 to 5. Shapes stay
    where they are, so the label stays true. Source: Hendrycks and Dietterich (2019), "Benchmarking
    neural network robustness to common corruptions and perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Not used.
        severity: 0 (none) to 5 (a quarter of the pixels along each side).

    Returns:
        Images of the same shape.
    """
    share = float(np.interp(severity, range(6), SHARES))
    top, tall = _cut(inputs.shape[1], share)
    left, wide = _cut(inputs.shape[2], share)
    sums = np.add.reduceat(np.add.reduceat(inputs, top, 1, np.uint32), left, 2, np.uint32)
    areas = (tall[:, None] * wide).reshape(len(tall), len(wide), *[1] * (inputs.ndim - 3))
    means = np.rint(sums / areas).astype(np.uint8)
    return np.asarray(means.repeat(tall, axis=1).repeat(wide, axis=2))


def _cut(size: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each piece of a side begins, and how long it is."""
    pieces = max(1, round(share * size))
    starts = np.arange(pieces) * size // pieces
    return starts, np.diff(starts, append=size)
