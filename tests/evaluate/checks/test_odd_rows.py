"""Checks of inputs that no test set holds: what is not finite, crashes or wavers is counted."""

import numpy as np
import pytest

from surefoot.core.errors import ModelError


def lengths(rows, scored):
    return scored([len(text) % 7 / 7 for text in rows.tolist()])


def test_a_row_that_is_not_finite_as_it_is(ask, scored):
    inputs = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    inputs = np.repeat(inputs, 2, axis=1)

    def model(rows):
        with np.errstate(invalid="ignore"):
            return scored(np.sqrt(rows[:, 0]) / 2e3)

    found = ask("finite", model, inputs)
    assert found.failed.tolist() == (inputs[:, 0] < 0).tolist()
    assert found.details[0] == "no finite output as it is"


@pytest.mark.parametrize(
    ("fault", "form"),
    [
        (lambda text: not text, "emptied"),
        (lambda text: len(text) > 300, "repeated"),
        (lambda text: "\u16a0" in text, "in rare letters"),
    ],
)
@pytest.mark.parametrize("crash", [True, False])
def test_each_form_of_a_text_is_asked(ask, scored, fault, form, crash):
    texts = [f"a fine day {i}" for i in range(40)]

    def model(rows):
        bad = np.array([fault(text) for text in rows.tolist()], dtype=bool)
        if crash and bad.any():
            raise ModelError("cannot")
        scores = lengths(rows, scored)
        scores[bad] = np.nan
        return scores

    found = ask("finite", model, texts)
    assert found.failed.all()
    assert set(found.details) == {f"no finite output {form}"}


def test_a_call_that_fails_for_one_row_blames_that_row_alone(ask, scored):
    texts = ["fine"] * 30 + ["poison"] + ["fine"] * 30

    def model(rows):
        if "poison" in rows.tolist():
            raise ModelError("cannot")
        return lengths(rows, scored)

    found = ask("finite", model, texts)
    assert np.flatnonzero(found.failed).tolist() == [30]


@pytest.mark.parametrize("name", ["black", "at full contrast", "inverted"])
def test_each_form_of_a_picture_is_asked(ask, scored, name):
    images = np.random.default_rng(0).integers(60, 120, (10, 4, 4), dtype=np.uint8)
    forms = {"black": lambda r: r.max() == 0, "inverted": lambda r: r.min() >= 135}
    forms["at full contrast"] = lambda r: r.max() == 0  # none is above 127: black as well
    expected = "black" if name == "at full contrast" else name

    def model(rows):
        bad = [forms[name](row) for row in rows]
        return scored(np.where(bad, np.nan, 0.3))

    assert set(ask("finite", model, images).details) == {f"no finite output {expected}"}


def test_numbers_are_blown_up_within_float32(ask, scored):
    largest = np.full((5, 2), np.finfo(np.float32).max / 2, np.float32)
    found = ask("finite", lambda rows: scored(rows[:, 0] * 0), largest)
    assert not found.failed.any()


def test_a_missing_number_is_a_finding_and_its_column_is_named(ask, scored):
    inputs = np.random.default_rng(0).uniform(0, 1, (20, 3)).astype(np.float32)

    def model(rows):
        if np.isnan(rows[:, 1]).any():
            raise ValueError("Input contains NaN")
        return scored(np.full(len(rows), 0.7))

    found = ask("odd_inputs", model, inputs)
    said = dict(zip(found.ids.tolist(), found.details, strict=True))
    assert said["missing"] == said["column 1 missing"] == "crashes: Input contains NaN"
    assert {name for name, line in said.items() if line} == {"missing", "column 1 missing"}
    assert {"zeros", "largest", "infinite", "column 0 missing", "column 2 missing"} <= set(said)


def test_a_model_that_wavers_or_spoils_its_mates_is_seen(ask, scored):
    calls = []

    def wavers(rows):
        calls.append(1)
        return scored(np.full(len(rows), len(calls) / 1e4))

    assert set(ask("odd_inputs", wavers, ["a", "b"]).details) == {"another output the second time"}

    def spoils(rows):
        scores = scored(np.full(len(rows), 0.5))
        if len(rows) > 1 and not all(rows.tolist()):
            scores[0] = np.nan
        return scores

    found = ask("odd_inputs", spoils, ["a", "b"])
    said = dict(zip(found.ids.tolist(), found.details, strict=True))
    assert {name: line for name, line in said.items() if line} == {
        "empty": "no finite output for the rows in its call"
    }


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 3)])
def test_odd_pictures_have_the_shape_of_the_others(ask, scored, shape):
    images, seen = np.full(shape, 7, np.uint8), []

    def model(rows):
        seen.append(rows.shape[1:])
        return scored(rows.reshape(len(rows), -1).mean(axis=1) / 255)

    found = ask("odd_inputs", model, images)
    assert found.ids.tolist() == ["black", "white", "chequered", "noise"]
    assert not found.failed.any()
    assert set(seen) == {shape[1:]}
