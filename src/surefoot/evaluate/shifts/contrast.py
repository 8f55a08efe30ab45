"""Pictures in fog."""

import numpy as np

INPUT = "image"
STEP = 0.17


def contrast(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures in fog: differences from a picture's mean shrink by 17 % per unit of severity.

    Every shape is still there, so the label stays true. Source: Hendrycks and Dietterich (2019),
    "Benchmarking neural network robustness to common corruptions and perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Not used.
        severity: 0 (none) to 5 (15 % of the contrast is left).
    """
    if not len(inputs):
        return inputs.copy()
    mean = inputs.mean(axis=tuple(range(1, inputs.ndim)), keepdims=True)
    return np.asarray(
        np.clip(np.rint(mean + (inputs - mean) * (1 - STEP * severity)), 0, 255), dtype=np.uint8
    )
