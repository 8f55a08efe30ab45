"""Something stands in the way."""

import numpy as np

INPUT = "image"
STEP = 0.08
GREY = 128


def occlude(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Something stands in the way: a grey square whose side is 8 % of the picture per severity.

    At the most a sixth of the picture is covered, somewhere; what is shown can be told from the
    rest, so the label stays true. Source: DeVries and Taylor (2017), "Improved regularization of
    convolutional neural networks with cutout".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: Where the square lies.
        severity: 0 (none) to 5 (a side of 40 %).
    """
    found = inputs.copy()
    height, width = inputs.shape[1:3]
    tall, wide = round(STEP * severity * height), round(STEP * severity * width)
    tops = rng.integers(0, height - tall + 1, len(inputs)).tolist()
    lefts = rng.integers(0, width - wide + 1, len(inputs)).tolist()
    for image, top, left in zip(found, tops, lefts, strict=True):
        image[top : top + tall, left : left + wide] = GREY
    return found
