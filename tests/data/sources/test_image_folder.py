from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from surefoot.core.errors import DataError
from surefoot.data.sources.image_folder import image_folder

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def save(tmp_path):
    def saved(name, pixels, mode=None):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(file)
        return str(tmp_path / "images")

    return saved


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_grey_images(save):
    save("dog/b.png", pixels(5, 4, seed=1))
    save("cat/a.png", pixels(5, 4, seed=2))
    path = save("cat/c.PNG", pixels(5, 4, seed=3))
    d = image_folder(path=path, slices={"cats": "label = 'cat'", "a": "path LIKE '%/a.png'"})
    assert d.inputs.shape == (3, 5, 4)
    assert (d.inputs[0] == pixels(5, 4, seed=2)).all()
    assert d.ids.tolist() == ["cat/a.png", "cat/c.PNG", "dog/b.png"]
    assert d.classes == ("cat", "dog")
    assert d.labels.tolist() == [0, 0, 1]
    assert d.slices["cats"].tolist() == [True, True, False]
    assert d.slices["a"].tolist() == [True, False, False]


def test_colour_images(save):
    save("dog/b.png", pixels(5, 4, 3, seed=1))
    save("dog/c.jpg", pixels(5, 4, 3))
    path = save("cat/a.png", pixels(5, 4, 3), "RGBA")
    d = image_folder(path=path)
    assert d.inputs.shape == (3, 5, 4, 3)
    assert (d.inputs[0] == pixels(5, 4, 3)).all()
    assert d.inputs.dtype == np.uint8


def test_another_size(save):
    save("cat/a.png", pixels(5, 4))
    path = save("dog/b.png", pixels(6, 4))
    with pytest.raises(DataError, match=r"dog/b.png: is 4x6 grey, and the first .* is 4x5 grey"):
        image_folder(path=path)


def test_another_kind(save):
    save("cat/a.png", pixels(5, 4))
    path = save("dog/b.png", pixels(5, 4, 3))
    with pytest.raises(DataError, match=r"is 4x5 colour, and the first image, a\.png, is 4x5 grey"):
        image_folder(path=path)


def test_sixteen_bits(save):
    path = save("cat/a.png", pixels(5, 4).astype(np.uint16) * 200)
    with pytest.raises(DataError, match=r"a.png: has pixels of the kind 'I.*8 bits"):
        image_folder(path=path)


@pytest.mark.parametrize("keep", [0, 20, 0.5])
def test_a_broken_image(save, tmp_path, keep):
    path = save("cat/a.png", pixels(50, 40))
    file = tmp_path / "images/cat/a.png"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else keep])
    with pytest.raises(DataError, match=r"a.png: is no complete image"):
        image_folder(path=path)


def test_no_images(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("")
    with pytest.raises(DataError, match="no images; put png or jpg files into one sub-folder per"):
        image_folder(path=str(tmp_path))


def test_no_folder(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="no such folder; did you mean 'images'"):
        image_folder(path=str(tmp_path / "imagse"))


def test_without_pillow(save):
    path = save("cat/a.png", pixels(5, 4))
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "from surefoot.core.errors import DataError\n"
        "from surefoot.data.sources.image_folder import image_folder\n"
        "try:\n    image_folder(path=sys.argv[1])\n"
        "except DataError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert "pip install 'surefoot[image]'" in run.stdout
