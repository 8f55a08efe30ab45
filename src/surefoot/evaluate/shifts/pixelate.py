"""Pictures of too few pixels."""

import numpy as np

INPUT = "image"
LEFT = 3.5
"""Pixels that are left along a side at severity 5, over the root of those that it had."""


def pixelate(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures of too few pixels: squares of their mean colour, as after enlarging a thumbnail.

    At severity 5 a side of 28, 64 or 224 pixels keeps 19, 28 or 52, and less severity keeps more in
    equal ratios: a small picture can lose less than a large one. Both tables of the source, for 32
    and for 224 pixels, lie near this. Shapes stay where they are, so the label stays
    true. Source: Hendrycks and Dietterich (2019), "Benchmarking neural network robustness to common
    corruptions and perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Not used.
        severity: 0 (none) to 5 (a quarter of 224 pixels along each side, two thirds of 28).

    Returns:
        Images of the same shape.
    """
    top, tall = _cut(inputs.shape[1], severity)
    left, wide = _cut(inputs.shape[2], severity)
    sums = np.add.reduceat(np.add.reduceat(inputs, top, 1, np.uint32), left, 2, np.uint32)
    areas = (tall[:, None] * wide).reshape(len(tall), len(wide), *[1] * (inputs.ndim - 3))
    means = np.rint(sums / areas).astype(np.uint8)
    return np.asarray(means.repeat(tall, axis=1).repeat(wide, axis=2))


def _cut(size: int, severity: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each piece of a side begins, and how long it is."""
    pieces = round(size * min(1.0, LEFT / size**0.5) ** (severity / 5))
    starts = np.arange(pieces) * size // pieces
    return starts, np.diff(starts, append=size)
