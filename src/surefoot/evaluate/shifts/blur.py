"""Pictures out of focus."""

import numpy as np

INPUT = "image"
STEP = 0.5


def blur(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures out of focus: a Gaussian blur of half a pixel per unit of severity.

    Shapes stay where they are, so the label stays true. Source: Hendrycks and Dietterich (2019),
    "Benchmarking neural network robustness to common corruptions and perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Not used.
        severity: 0 (none) to 5 (a standard deviation of 2.5 pixels).
    """
    from scipy.ndimage import gaussian_filter

    if not severity or not len(inputs):
        return inputs.copy()
    wide = STEP * severity
    sigma = (0, wide, wide, *([0] * (inputs.ndim - 3)))
    blurred = gaussian_filter(inputs.astype(np.float32), sigma, mode="nearest")
    return np.asarray(np.clip(np.rint(blurred), 0, 255), dtype=np.uint8)
