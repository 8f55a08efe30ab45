"""Images in one sub-folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError
from surefoot.core.extras import require
from surefoot.data.fingerprint import row_hashes
from surefoot.data.sources._common import INPUT_HASH, Table, existing, read_rows, roles
from surefoot.data.tables import connect, types_of

_SUFFIXES = (".png", ".jpg", ".jpeg")
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
SHOWN = 3
"""Unusable files that an error names."""


def image_folder(*, path: str, name: str = "data", slices: dict[str, str] | None = None) -> Dataset:
    """Images, png or jpg and all of one size, in one sub-folder per class.

    The ids are the paths inside the folder. The first image decides between grey (height, width)
    and colour (height, width, 3); transparency is dropped. A file that is broken, or of another
    size or kind, is an error that counts all of them; none is left out.

    Args:
        path: The folder.
        name: The name of the data set.
        slices: Slice name to an SQL expression over the columns `path` and `label`.
    """
    folder = existing(path, folder=True)
    files = sorted(
        file
        for file in folder.glob("*/*")
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        raise DataError(
            "no images", where=path, fix="put png or jpg files into one sub-folder per class"
        )
    images = _images(files)
    columns = {
        "path": np.array([file.relative_to(folder).as_posix() for file in files], dtype=object),
        "label": np.array([file.parent.name for file in files], dtype=object),
        INPUT_HASH: row_hashes(images),
    }
    named = roles(label="label", id="path", slices=slices)
    with connect() as connection:
        connection.register("images", columns)
        types = types_of(connection, "images")
        table = Table(connection=connection, scan="images", types=types, where=path)
        return read_rows(table, named, name=name, inputs=images)


def _images(files: Sequence[Path]) -> np.ndarray:
    """All images, or one error that counts the broken and odd ones and names the first of them."""
    library = require("PIL.Image", extra="image", error=DataError)
    images, first, broken = np.empty(0, dtype=np.uint8), "", []
    for index, file in enumerate(files):
        try:
            pixels = _pixels(file, library)
            if not first:
                first, images = file.name, np.empty((len(files), *pixels.shape), dtype=np.uint8)
            if pixels.shape != images.shape[1:]:
                raise _odd(file, pixels.shape, first, images.shape[1:])
            images[index] = pixels
        except DataError as error:
            broken.append(error)
    if broken:
        raise _counted(broken, len(files))
    return images


def _odd(file: Path, shape: tuple[int, ...], first: str, wanted: tuple[int, ...]) -> DataError:
    return DataError(
        f"is {_size(shape)}, and the first image, {first}, is {_size(wanted)}",
        where=str(file),
        fix="bring all images to one size and one kind",
    )


def _counted(broken: Sequence[DataError], files: int) -> DataError:
    """What is wrong with the first files, and how many others there are."""
    if len(broken) == 1:
        return broken[0]
    shown = "; ".join(f"{error.where} {error.what}" for error in broken[:SHOWN])
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return DataError(
        f"{len(broken)} of {files} images cannot be used: {shown}{more}",
        fix="repair them, or move them out of the folder: none is left out silently",
    )


def _pixels(file: Path, library: Any) -> np.ndarray:
    try:
        with library.open(file) as image:
            if image.mode not in _GREY + _COLOUR:
                raise DataError(
                    f"has pixels of the kind '{image.mode}'",
                    where=str(file),
                    fix="save it with 8 bits per channel",
                )
            return np.asarray(image.convert("L" if image.mode in _GREY else "RGB"))
    except (OSError, SyntaxError, ValueError, library.DecompressionBombError) as error:
        raise DataError(f"is no complete image: {error}", where=str(file)) from error


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} {'grey' if len(shape) == 2 else 'colour'}"
