"""Pictures that were saved too small."""

import io

import numpy as np

from surefoot.core.errors import DataError
from surefoot.core.extras import require

INPUT = "image"
LARGE = (100, 25, 18, 15, 10, 7)
"""The quality that is asked of the encoder, at severity 0 to 5."""
SMALL = (100, 80, 65, 58, 50, 40)
"""The same for pictures of which a block of eight pixels covers more than an eighth of a side."""
BLOCKS = 8


def jpeg(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures that were saved too small: the blocks and rings of JPEG at low quality.

    Quality 25, 18, 15, 10 and 7 at severity 1 to 5; or 80, 65, 58, 50 and 40 where the shorter side
    has fewer than 64 pixels. Shapes stay where they are, so the label stays true. Source: Hendrycks
    and Dietterich (2019), "Benchmarking neural network robustness to common corruptions and
    perturbations", both tables. Other versions of the encoder may round otherwise; the version
    is part of a run's environment.

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images; other than three channels are saved
            each by itself, as grey.
        rng: Not used.
        severity: 0 (none) to 5 (quality 7 or 40).
    """
    found = inputs.copy()
    if severity and len(inputs):
        library = require("PIL.Image", extra="image", error=DataError)
        small = min(inputs.shape[1:3]) < 8 * BLOCKS
        quality = round(float(np.interp(severity, range(6), SMALL if small else LARGE)))
        colour = inputs.ndim == 4 and inputs.shape[3] == 3
        layers = found if colour else np.moveaxis(found.reshape(*found.shape[:3], -1), 3, 1)
        for row in layers:
            for plane in row[None] if colour else row:
                with io.BytesIO() as file:
                    library.fromarray(plane).save(file, "JPEG", quality=quality)
                    plane[...] = np.asarray(library.open(file))
    return found
