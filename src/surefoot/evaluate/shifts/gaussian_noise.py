"""Noise of a sensor in poor light."""

import numpy as np

INPUT = "image"
STEP = 0.04


def gaussian_noise(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """Noise of a sensor in poor light: a normal value is added to every pixel.

    A standard deviation of 4 % of the range per unit of severity; what the picture shows is still
    to be seen, so the label stays true. Source: Hendrycks and Dietterich (2019), "Benchmarking
    neural network robustness to common corruptions and perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: The noise.
        severity: 0 (none) to 5 (a standard deviation of a fifth of the range).
    """
    noise = rng.standard_normal(inputs.shape, np.float32) * np.float32(255 * STEP * severity)
    return np.asarray(np.clip(np.rint(inputs + noise), 0, 255), dtype=np.uint8)
