"""What each shift does, beyond the contract that all of them keep."""

import numpy as np
import pytest

from surefoot import plugins

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


def damage(name, inputs, severity):
    found = made(name, inputs, severity)
    if inputs.dtype.kind != "T":
        return np.abs(found.astype(float) - inputs).mean()
    pairs = zip(found.tolist(), inputs.tolist(), strict=True)
    return np.mean([sum(a != b for a, b in zip(x, y)) + abs(len(x) - len(y)) for x, y in pairs])  # noqa: B905


@pytest.mark.parametrize("name", plugins.names("shift"))
def test_more_severity_is_more_damage(name):
    rng = np.random.default_rng(0)
    inputs = {
        "text": texts(),
        "image": rng.integers(40, 200, (20, 28, 28), dtype=np.uint8),
        "numeric": rng.normal(size=(300, 4)).astype(np.float32),
    }[plugins.module("shift", name).INPUT]
    light, heavy = damage(name, inputs, 1.0), damage(name, inputs, 5.0)
    assert 0 < light < heavy


def test_typos_leave_the_first_letters():
    found = made("typos", texts(), 5.0).tolist()
    for text, before in zip(found, TEXTS, strict=True):
        assert [w[0] for w in text.split()] == [w[0] for w in before.split()]


def test_negations_are_never_dropped_or_doubled():
    for text, before in zip(made("words", texts(), 5.0).tolist(), TEXTS, strict=True):
        for word in ("not", "never", "couldn't"):
            assert text.split().count(word) == before.split().count(word)


def test_a_text_keeps_three_words_when_it_breaks_off():
    long, short = made("truncate", texts([TEXTS[0], "bad film"]), 5.0).tolist()
    assert TEXTS[0].startswith(long)
    assert len(long.split()) == round(0.4 * len(TEXTS[0].split()))
    assert short == "bad film"


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


@pytest.mark.parametrize("name", ["typos", "ocr", "case", "confusables", "words"])
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
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    found = made("pixelate", image, 5.0)[0]
    # The mean of a square of an even ramp is that of its corners: 0 and 27, 13.5; even rounding.
    assert np.unique(found[:4, :4]) == [14]
    assert np.unique(found[4:, 4:]) == [50]


def test_moved_pictures_repeat_their_edge():
    image = np.repeat(np.arange(50, dtype=np.uint8)[:, None], 50, axis=1)
    found = made("shift_image", np.stack([image] * 40), 5.0)
    moves = 25 - found[:, 25, 25].astype(int)
    assert (moves.min(), moves.max()) == (-5, 5)
    for picture, move in zip(found, moves, strict=True):
        assert (picture == np.clip(np.arange(50) - move, 0, 49)[:, None]).all()
