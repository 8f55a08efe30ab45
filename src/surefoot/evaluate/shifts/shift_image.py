"""Pictures that are not quite in the middle."""

import numpy as np

INPUT = "image"
STEP = 0.02


def shift_image(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """Pictures not quite in the middle: moved by 2 % of the shorter side per unit of severity.

    Each in a direction of its own, by whole pixels; the edge is repeated where nothing was. What is
    shown is the same wherever it stands, so the label stays true, unless it is about the place.

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: The directions.
        severity: 0 (none) to 5 (a tenth of the shorter side).

    Returns:
        Images of the same shape.
    """
    height, width = inputs.shape[1:3]
    reach, angles = STEP * severity * min(height, width), rng.random((len(inputs), 1)) * 2 * np.pi
    down, right = (np.rint(reach * turn(angles)).astype(np.intp) for turn in (np.sin, np.cos))
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    each = np.arange(len(inputs))[:, None, None]
    return np.asarray(inputs[each, rows[:, :, None], columns[:, None, :]])
