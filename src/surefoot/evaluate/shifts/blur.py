"""Pictures out of focus."""

import numpy as np

INPUT = "image"
WIDTHS = (0, 0.0125, 0.0175, 0.02, 0.025, 0.03)
"""Standard deviation as a share of the shorter side, at severity 0 to 5."""


def blur(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures out of focus: a Gaussian blur of 1.25 to 3 % of the shorter side.

    1.25, 1.75, 2, 2.5 and 3 % at severity 1 to 5, which a picture of few pixels survives as well as
    one of many. Shapes stay where they are, so the label stays true. Source: Hendrycks and
    Dietterich (2019), "Benchmarking neural network robustness to common corruptions and
    perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Not used.
        severity: 0 (none) to 5 (a standard deviation of 3 % of the shorter side).
    """
    from scipy.ndimage import gaussian_filter

    if not severity or not len(inputs):
        return inputs.copy()
    wide = float(np.interp(severity, range(6), WIDTHS)) * min(inputs.shape[1:3])
    sigma = (0, wide, wide, *([0] * (inputs.ndim - 3)))
    blurred = gaussian_filter(inputs.astype(np.float32), sigma, mode="nearest")
    return np.asarray(np.clip(np.rint(blurred), 0, 255), dtype=np.uint8)
