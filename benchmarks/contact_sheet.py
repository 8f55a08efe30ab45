"""Draws images as they came and under a shift, so that somebody can look whether labels hold.

    python benchmarks/contact_sheet.py SHIFT FILE.npz OUT.png [SEED]

The file holds `images` and `labels`, as that of the fashion demo does. The sheet shows the same 50
rows three times, one block below the other: as they came, at severity 3 and at severity 5. Their
labels are printed, ten a line as in the sheet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from surefoot.core.model import StepCall
from surefoot.data import read
from surefoot.evaluate.shifted import shifted

LINES, COLUMNS, ZOOM, GAP = 5, 10, 2, 2


def block(images: np.ndarray) -> np.ndarray:
    """Fifty images as one, with a line between them."""
    large = images.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
    edge = ((0, 0), (GAP, GAP), (GAP, GAP), *[(0, 0)] * (images.ndim - 3))
    tiles = np.pad(large, edge, constant_values=255)
    lines = tiles.reshape(LINES, COLUMNS, *tiles.shape[1:])
    return np.concatenate([np.concatenate(list(line), axis=1) for line in lines])


def main(name: str, path: str, target: str, seed: str = "2026") -> None:
    """Write the sheet and print the labels."""
    options = {"path": path, "inputs": "images", "label": "labels"}
    data = read("npz", options, name=Path(path).stem, slices={})
    chosen = np.random.default_rng(int(seed)).choice(len(data), LINES * COLUMNS, replace=False)
    calls = [StepCall(use=name, options=(("severity", severity),)) for severity in (3.0, 5.0)]
    blocks = [data.inputs, *(shifted(data, call).inputs for call in calls)]
    Image.fromarray(np.concatenate([block(images[chosen]) for images in blocks])).save(target)
    for line in np.array(data.classes)[data.labels[chosen]].reshape(LINES, COLUMNS):
        print(", ".join(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
