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


def test_every_file_that_cannot_be_used_is_counted(save, tmp_path):
    for i in range(6):
        save(f"cat/{i}.png", pixels(5, 4))
    path = save("dog/0.png", pixels(6, 4))
    for name in ("cat/0.png", "cat/2.png", "cat/3.png"):
        (tmp_path / "images" / name).write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        image_folder(path=path)
    said = str(caught.value)
    assert said.startswith("4 of 7 images cannot be used: ")
    assert [name in said for name in ("cat/0", "cat/2", "cat/3", "dog/0")] == [True] * 3 + [False]
    assert "; and 1 more; repair them, or move them out of the folder" in said


def test_sizes_are_those_of_the_first_image_that_can_be_read(save, tmp_path):
    save("cat/a.png", pixels(5, 4))
    save("cat/b.png", pixels(5, 4))
    path = save("dog/c.png", pixels(7, 7, 3))
    (tmp_path / "images/cat/a.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"2 of 3 .*c\.png is 7x7 colour, and the first image, b\.png"
    ):
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
