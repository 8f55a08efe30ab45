"""What each shift does, beyond the contract that all of them keep."""

import io
import sys
import unicodedata
from itertools import pairwise

import numpy as np
import pytest

from surefoot import plugins
from surefoot.core.errors import DataError
from surefoot.evaluate.shifts import affine
from surefoot.evaluate.shifts._rows import thinned

TEXTS = [
    "I would not recommend this film to anybody who likes good acting",
    "the service was never slow and the staff couldn't have been kinder",
] * 40


def texts(rows=TEXTS):
    return np.array(rows, np.dtypes.StringDType())


def made(name, inputs, severity):
    return plugins.find("shift", name)(inputs, np.random.default_rng(1), severity=severity)


def of(kind):
    found = plugins.names("shift")
    return [name for name in found if kind == plugins.module("shift", name).INPUT]


def chooses_rows(name):
    return getattr(plugins.module("shift", name), "GIVES", "inputs") == "rows"


def damage(name, inputs, severity):
    """What is changed: grey levels, values, characters; or the share of the rows left out."""
    found = made(name, inputs, severity)
    if chooses_rows(name):
        return 1 - len(found) / len(inputs)
    if inputs.dtype.kind != "T":
        return np.abs(found.astype(float) - inputs).mean()
    pairs = zip(found.tolist(), inputs.tolist(), strict=True)
    return np.mean([sum(a != b for a, b in zip(x, y)) + abs(len(x) - len(y)) for x, y in pairs])  # noqa: B905


def some(kind):
    rng = np.random.default_rng(0)
    if kind == "text":
        return texts([" ".join(rng.permutation(TEXTS)[: 1 + i % 12]) for i in range(120)])
    if kind == "image":
        # Gentle slopes with edges: noise alone is as rough after JPEG, whatever its quality.
        slope = np.add.outer(np.arange(48), np.arange(48)) * rng.uniform(0.5, 1.5, (20, 1, 1))
        slope[:, 12:30, 10:24] += 90
        return np.clip(slope + rng.normal(30, 8, slope.shape), 0, 255).astype(np.uint8)
    return rng.normal(size=(300, 4)).astype(np.float32)


@pytest.mark.parametrize("name", plugins.names("shift"))
def test_each_unit_of_severity_is_more_damage(name):
    inputs = some(plugins.module("shift", name).INPUT)
    found = [damage(name, inputs, float(severity)) for severity in range(6)]
    assert found[0] == 0
    assert (np.diff(found) > 0).all(), found


def test_typos_leave_the_first_letters():
    found = made("typos", texts(), 5.0).tolist()
    for text, before in zip(found, TEXTS, strict=True):
        assert [w[0] for w in text.split()] == [w[0] for w in before.split()]


def test_negations_are_never_dropped_or_doubled():
    for text, before in zip(made("words", texts(), 5.0).tolist(), TEXTS, strict=True):
        for word in ("not", "never", "couldn't"):
            assert text.split().count(word) == before.split().count(word)


def test_a_text_keeps_forty_words_when_it_breaks_off():
    words = [f"w{i}" for i in range(200)]
    rows = texts([" ".join(words[:n]) for n in (200, 60, 40, 2)])
    found = made("truncate", rows, 3.0).tolist()
    assert [len(text.split()) for text in found] == [128, 40, 40, 2]
    assert all(before.startswith(text) for text, before in zip(found, rows.tolist(), strict=True))


def test_confusables_look_the_same_length_and_are_others():
    for text, before in zip(made("confusables", texts(), 5.0).tolist(), TEXTS, strict=True):
        assert len(text) == len(before)
    assert any("\u043e" in text for text in made("confusables", texts(), 5.0).tolist())


def test_capitals_change_no_word():
    for text, before in zip(made("case", texts(), 5.0).tolist(), TEXTS, strict=True):
        assert text.lower() == before.lower()


def test_a_square_covers_at_most_a_sixth():
    images = np.zeros((10, 28, 28, 3), np.uint8)
    covered = (made("occlude", images, 5.0) > 0).mean(axis=(1, 2, 3))
    assert covered.max() <= 1 / 6 + 1e-9
    assert covered.min() > 0.1


@pytest.mark.parametrize("name", of("image"))
def test_pixels_stay_in_range_and_grey_images_are_taken_too(name):
    edges = np.repeat(np.array([0, 255], np.uint8), 50).reshape(1, 10, 10)
    assert made(name, edges, 5.0).dtype == np.uint8


def test_missing_values_are_the_medians():
    rows = np.random.default_rng(0).normal(size=(501, 3)).astype(np.float32)
    found = made("missing", rows, 5.0)
    changed = found != rows
    assert 0.2 < changed.mean() < 0.3
    medians = np.broadcast_to(np.median(rows, axis=0), rows.shape)
    np.testing.assert_allclose(found[changed], medians[changed], rtol=1e-6)


@pytest.mark.parametrize("name", ["typos", "ocr", "case", "confusables", "words", "unicode_forms"])
def test_more_severity_keeps_the_damage_of_less(name):
    rows = texts()
    few, more = (made(name, rows, severity) != rows for severity in (0.2, 0.4))
    assert few.any()
    assert not (few & ~more).any()


@pytest.mark.parametrize(
    "word", ['"not', "(never", "dont", "CAN'T", "isn\u2019t", "no-one", "nor,"]
)
def test_negations_are_known_in_any_dress(word):
    rows = texts([f"it {word} good at all"] * 300)
    assert all(text.split().count(word) == 1 for text in made("words", rows, 5.0).tolist())


def test_only_little_words_go_missing():
    found = made("words", texts(["the film is bad news"] * 500), 5.0).tolist()
    assert all({"film", "bad", "news"} <= set(text.split()) for text in found)
    assert any("the" not in text.split() for text in found)


def test_typos_keep_capitals_and_leave_scripts_of_whole_words():
    capitals = made("typos", texts(["ABCDEFGH"] * 200), 5.0).tolist()
    assert len(set(capitals)) > 1
    assert all(text.isupper() for text in capitals)
    chinese = texts(["我不喜欢这部电影"] * 50)
    assert (made("typos", chinese, 5.0) == chinese).all()


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (1.0, [123.5, -0.04568, 7, 0, 1001000]),
        (3.0, [120, -0.046, 7, 0, 1000000]),
        (5.0, [100, -0.05, 7, 0, 1000000]),
    ],
)
def test_rounding_keeps_significant_digits_of_each_value_alone(severity, expected):
    rows = np.array([[123.456, -0.0456789, 7, 0, 1000999]], np.float32)
    np.testing.assert_array_equal(made("rounding", rows, severity)[0], np.float32(expected))


@pytest.mark.parametrize("name", of("numeric"))
def test_the_largest_numbers_stay_finite(name):
    largest = np.full((200, 2), np.finfo(np.float32).max)
    assert np.isfinite(made(name, largest, 5.0)).all()


def test_slips_are_tenfold_either_way():
    rows = np.full((2000, 5), 2, np.float32)
    found = made("unit_slip", rows, 5.0)
    assert {float(value) for value in np.unique(found)} == {float(np.float32(0.2)), 2.0, 20.0}
    assert 0.04 < (found != rows).mean() < 0.06


def test_photons_keep_the_mean_and_spread_as_poisson_does():
    found = made("shot_noise", np.full((20, 50, 50), 100, np.uint8), 1.0).astype(float)
    # A count of variance 100 / 255 * 60, times 255 / 60, is of variance 100 * 255 / 60.
    assert found.mean() == pytest.approx(100, abs=0.5)
    assert found.var() == pytest.approx(425, rel=0.03)


def test_pixels_become_means_of_squares():
    image = np.add.outer(np.arange(196), np.arange(196) // 4).astype(np.uint8)[None]
    found = made("pixelate", image, 5.0)[0]
    # Of 196 pixels 3.5 times 14 are left: squares of four, here of equal columns.
    assert (found == found[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)).all()
    np.testing.assert_array_equal(found[0, ::4], np.rint(1.5 + np.arange(49)))


@pytest.mark.parametrize(("side", "kept"), [(1, 1), (9, 9), (28, 19), (64, 28), (224, 52)])
def test_small_pictures_keep_more_of_their_pixels(side, kept):
    image = np.zeros((1, side, 1), np.uint8)
    image[0, :, 0] = np.arange(side)
    assert len(np.unique(made("pixelate", image, 5.0))) == kept


def test_moved_pictures_repeat_their_edge():
    image = np.repeat(np.arange(50, dtype=np.uint8)[:, None], 50, axis=1)
    found = made("shift_image", np.stack([image] * 40), 5.0)
    moves = 25 - found[:, 25, 25].astype(int)
    assert (moves.min(), moves.max()) == (-5, 5)
    for picture, move in zip(found, moves, strict=True):
        assert (picture == np.clip(np.arange(50) - move, 0, 49)[:, None]).all()


@pytest.mark.parametrize("name", of("image"))
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (5, 30), (30, 5, 3), (9, 9, 1), (12, 12, 4)])
def test_images_of_any_shape(name, shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    for severity in (0.0, 0.5, 3.0, 5.0):
        found = made(name, images, severity)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
    assert (made(name, images, 0.0) == images).all()
    assert made(name, images[:0], 3.0).shape == (0, *shape)


ODD_TEXTS = {
    "empty": "",
    "blanks": "   ",
    "one word": "no",
    "emoji": "so good \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
    "right to left": "\u05d4\u05e1\u05e8\u05d8 \u05d4\u05d6\u05d4 \u05dc\u05d0 \u05d8\u05d5\u05d1",
    "accents": "tr\u00e8s d\u00e9\u00e7u, vraiment na\u00efve",
    "long": "not a good film at all, I think. " * 300,
    "lines": "first\r\n\tsecond\n\nthird",
}


@pytest.mark.parametrize("name", of("text"))
@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_texts_of_any_kind(name, text):
    for severity in (0.0, 3.0, 5.0):
        found = made(name, texts([text] * 5), severity)
        if chooses_rows(name):
            assert found.tolist() == list(range(5))  # all alike: none is more frequent
            continue
        assert found.dtype == np.dtypes.StringDType()
        if not severity or not text:
            assert [each.split() for each in found.tolist()] == [text.split()] * 5


@pytest.mark.parametrize("name", of("numeric"))
def test_what_was_missing_stays_missing(name):
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    rows[::4, 1] = rows[:, 2] = np.nan
    found = made(name, rows, 5.0)
    if chooses_rows(name):
        assert 20 < len(found) < 150
    else:
        np.testing.assert_array_equal(np.isnan(found), np.isnan(rows))
        assert (found[:, 0] != rows[:, 0]).any()


def test_files_of_low_quality_are_those_of_the_encoder():
    library = pytest.importorskip("PIL.Image")
    for shape, quality in (((40, 30), 40), ((70, 90, 3), 7)):
        image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        with io.BytesIO() as file:
            library.fromarray(image).save(file, "JPEG", quality=quality)
            expected = np.asarray(library.open(file))
        assert (made("jpeg", image[None], 5.0)[0] == expected).all()


def test_without_pillow_jpeg_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image", raising=False)
    with pytest.raises(DataError, match=r"pip install 'surefoot\[image\]'"):
        made("jpeg", np.zeros((1, 9, 9), np.uint8), 1.0)


def test_a_turned_picture_is_the_picture_turned():
    # A bright bar from the middle to the right turns by its own angle, about the middle.
    image = np.zeros((61, 61), np.uint8)
    image[29:32, 30:] = 255
    found = made("affine", np.stack([image] * 60), 5.0).astype(float)
    rows, columns = np.indices((61, 61)) - 30
    lengths = np.hypot(rows, columns) < 25
    angles = [np.degrees(np.arctan2((f * rows)[lengths].sum(), (f * columns)[lengths].sum()))
              for f in found]  # fmt: skip
    assert 12 < max(angles) < 25
    assert -25 < min(angles) < -12
    assert found[:, 30, 34].min() > 100
    assert (found[:, 30, 10] == 0).all()


def test_each_channel_turns_alike():
    grey = np.random.default_rng(0).integers(0, 256, (5, 20, 30), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=3)
    found = made("affine", colour, 4.0)
    assert (found == made("affine", grey, 4.0)[..., None]).all()


def test_turns_stay_within_what_is_promised():
    draws = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 5]])
    turn, larger, slant = affine._maps(draws)
    assert np.degrees(np.arctan2(turn[0, 1], turn[0, 0])) == pytest.approx(15, abs=1e-4)
    assert larger == pytest.approx(np.eye(2) / 1.15)
    assert slant == pytest.approx(np.array([[1, 0], [0.15, 1]]))


def test_blanks_change_and_words_do_not():
    rows = texts()
    found = made("whitespace", rows, 5.0).tolist()
    for text, before in zip(found, rows.tolist(), strict=True):
        seen = "".join(c for c in text if c not in "\u200b\u00ad\u2060\ufeff")
        assert seen.split() == before.split()
    assert {"\t", "\u00a0", "\u3000", "\u200b", "\u00ad"} <= set("".join(found))


def test_code_points_change_and_what_is_read_does_not():
    rows = texts(["it's \"na\u00efve\" -- a fine, fluffy affair... isn't it? (no!)"] * 200)
    found = made("unicode_forms", rows, 5.0).tolist()
    assert {"\ufb01", "\ufb02", "\u2026", "\u2014", "\u0308", "\uff0c"} <= set("".join(found))
    plain = str.maketrans({"\u2019": "'", "\u201d": '"', "\u2014": "--"})
    assert {unicodedata.normalize("NFKC", t).translate(plain) for t in found} == {rows[0]}


def test_whoever_writes_more_becomes_more_frequent():
    lengths = np.random.default_rng(0).lognormal(3, 1, 4000).astype(int) + 1
    rows, logs = texts(["x" * n for n in lengths.tolist()]), np.log1p(lengths)
    kept = [made("long_texts", rows, float(severity)) for severity in range(6)]
    for less, more in pairwise(kept):
        assert set(more.tolist()) < set(less.tolist())
    rises = [(logs[each].mean() - logs.mean()) / logs.std() for each in kept]
    assert rises == pytest.approx([0, 0.37, 0.65, 0.85, 1.0, 1.1], abs=0.1)
    shares = [len(each) / len(rows) for each in kept]
    assert shares == pytest.approx([1, 0.64, 0.47, 0.38, 0.32, 0.29], abs=0.03)


def test_rows_stay_with_the_probability_that_is_promised():
    z = np.linspace(-2, 2, 9)
    covariate = np.repeat(z, 4000)
    rng = np.random.default_rng(0)
    kept = np.bincount(thinned(covariate, rng, 2.0) // 4000, minlength=9) / 4000
    scaled = z / covariate.std()
    wanted = np.exp(np.minimum(scaled - np.quantile(np.repeat(scaled, 4000), 0.84), 0))
    assert kept == pytest.approx(wanted, abs=0.03)


def test_the_first_component_is_found_whatever_the_units():
    rng = np.random.default_rng(0)
    common = rng.normal(size=2000)
    rows = np.stack([common, -common, rng.normal(size=2000)], axis=1)
    rows = (rows + rng.normal(0, 0.3, rows.shape)) * [1, 1000, 1e6] + [5, 0, 1e7]
    kept = made("covariate_shift", rows.astype(np.float32), 5.0)
    assert abs(common[kept].mean()) == pytest.approx(1.1, abs=0.1)
    alike = made("covariate_shift", np.ones((50, 3), np.float32), 5.0)
    assert len(alike) == 50
