"""Grain of a picture that few photons made."""

import numpy as np

INPUT = "image"
VARIANCES = (0, 1 / 60, 1 / 25, 1 / 12, 1 / 5, 1 / 3)
"""One over the photons of a white pixel, at severity 0 to 5."""
BLOCK = 1 << 22
"""Pixels that are held as floats at once."""


def shot_noise(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """Grain of too little light: each pixel is a count of few photons, and brighter ones vary more.

    A white pixel has 60, 25, 12, 5 and 3 photons at severity 1 to 5. What the picture shows is
    still to be seen, so the label stays true. Source: Hendrycks and Dietterich (2019),
    "Benchmarking neural network robustness to common corruptions and perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: The photons.
        severity: 0 (none) to 5 (3 photons for white).

    Returns:
        Images of the same shape.
    """
    scale = 255 * max(float(np.interp(severity, range(6), VARIANCES)), 1e-9)
    found = inputs.copy()
    if severity:
        rows = max(1, BLOCK // max(1, inputs[:1].size))
        for start in range(0, len(inputs), rows):
            part = slice(start, start + rows)
            found[part] = np.clip(np.rint(rng.poisson(inputs[part] / scale) * scale), 0, 255)
    return found
