"""Pictures that are a little turned, larger and slanted."""

import numpy as np

INPUT = "image"
DEGREES, SCALE, SHEAR = 3.0, 0.03, 0.03
"""The most that one unit of severity turns a picture, enlarges or shrinks it, and slants it."""
BLOCK = 1 << 18
"""Pixels whose places are held at once."""


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
    maps = _maps(rng.uniform(-severity, severity, (len(inputs), 3)))
    found = inputs.copy()
    rows = max(1, BLOCK // max(1, inputs[:1].size))
    for start in range(0, len(inputs) if severity else 0, rows):
        part = slice(start, start + rows)
        found[part] = _sampled(inputs[part], maps[part])
    return found


def _maps(draws: np.ndarray) -> np.ndarray:
    """(n, 2, 2): where a pixel's content comes from, seen from the middle, as (down, right)."""
    angles, slants = np.deg2rad(DEGREES * draws[:, 0]), SHEAR * draws[:, 2]
    cos, sin, nothing, one = np.cos(angles), np.sin(angles), 0 * slants, 1 + 0 * slants
    turns = np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
    slanted = np.stack([one, nothing, slants, one], axis=1).reshape(-1, 2, 2)
    return np.asarray(turns @ slanted / (1 + SCALE * draws[:, 1])[:, None, None], dtype=np.float32)


def _sampled(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Each picture at the places that its map points to, between pixels by their distance."""
    height, width = images.shape[1:3]
    middle = (np.array([height, width], np.float32) - 1) / 2
    grid = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2).astype(np.float32) - middle
    top = np.array([height - 1, width - 1], np.float32)
    places = np.clip(grid @ maps.transpose(0, 2, 1) + middle, 0, top)
    near = places.astype(np.intp)
    far = np.minimum(near + 1, top.astype(np.intp))
    down, right = np.moveaxis(places - near, 2, 0).reshape(2, len(images), -1, 1)
    flat = images.reshape(len(images), height * width, -1)
    each = np.arange(len(images))[:, None]

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return flat[each, rows * width + columns].astype(np.float32)

    upper = at(near[..., 0], near[..., 1]) * (1 - right) + at(near[..., 0], far[..., 1]) * right
    lower = at(far[..., 0], near[..., 1]) * (1 - right) + at(far[..., 0], far[..., 1]) * right
    return np.asarray(np.rint(upper * (1 - down) + lower * down).reshape(images.shape), np.uint8)
