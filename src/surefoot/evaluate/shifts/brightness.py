"""Pictures in brighter light."""

import numpy as np

INPUT = "image"
STEP = 0.06


def brightness(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """Pictures in brighter light: every pixel gains 6 % of the range per unit of severity.

    What is shown does not depend on the light, so the label stays true. Source: Hendrycks and
    Dietterich (2019), "Benchmarking neural network robustness to common corruptions and
    perturbations".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Not used.
        severity: 0 (none) to 5 (three tenths of the range).
    """
    levels = np.clip(np.rint(np.arange(256) + 255 * STEP * severity), 0, 255).astype(np.uint8)
    return np.asarray(levels[inputs])
