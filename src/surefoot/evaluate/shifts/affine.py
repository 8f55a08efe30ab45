"""Pictures that are a little turned, larger and slanted."""

import numpy as np

INPUT = "image"
DEGREES, SCALE, SHEAR = 3.0, 0.03, 0.03
"""The most that one unit of severity turns a picture, enlarges or shrinks it, and slants it."""


def affine(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Pictures a little turned, larger or smaller, and slanted, as a hand holds a camera.

    Up to 3 degrees, 3 % and a slant of 3 % per unit of severity, each drawn anew for each picture;
    the edge is repeated where nothing was. People name what they see at such angles, so the label
    stays true, unless it is about the angle. Source: Engstrom, Tran, Tsipras, Schmidt and Madry
    (2019), "Exploring the landscape of spatial robustness".

    Args:
        inputs: (n, h, w) or (n, h, w, channels) uint8 images.
        rng: How far each picture is turned, scaled and slanted, and which way.
        severity: 0 (none) to 5 (15 degrees, 15 % and 15 %).

    Returns:
        Images of the same shape.
    """
    from scipy.ndimage import affine_transform

    found = inputs.copy()
    if not severity or not len(inputs):
        return found
    maps = _maps(rng.uniform(-severity, severity, (len(inputs), 3)))
    middle = (np.array(inputs.shape[1:3]) - 1) / 2
    layers = np.moveaxis(found.reshape(*found.shape[:3], -1), 3, 1)
    for image, there in zip(layers, maps, strict=True):
        for plane in image:
            # Linear between pixels: what it finds lies between them and needs no clipping.
            moved = affine_transform(
                plane, there, middle - there @ middle, output=np.float32, order=1, mode="nearest"
            )
            plane[...] = np.rint(moved)
    return found


def _maps(draws: np.ndarray) -> np.ndarray:
    """(n, 2, 2): where a pixel's content comes from, seen from the middle, as (down, right)."""
    angles = np.deg2rad(DEGREES * draws[:, 0])
    cos, sin = np.cos(angles), np.sin(angles)
    turns = np.moveaxis(np.array([[cos, sin], [-sin, cos]]), 2, 0)
    slants = np.tile(np.eye(2), (len(draws), 1, 1))
    slants[:, 1, 0] = SHEAR * draws[:, 2]
    larger = (1 + SCALE * draws[:, 1])[:, None, None]
    return np.asarray(turns @ slants / larger)
