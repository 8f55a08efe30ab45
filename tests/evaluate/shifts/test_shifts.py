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
