"""Checks that ask the same rows under other circumstances, against planted dependences."""

import numpy as np
import pytest

from surefoot.core.checks import Golden


def numbers(rows=200):
    return np.random.default_rng(3).uniform(0, 1, (rows, 1)).astype(np.float32)


def test_a_row_that_depends_on_its_mates_fails_and_no_other(ask, scored):
    """A model that adds a tenth whenever a call has more than one row."""
    inputs = numbers()

    def model(rows):
        return scored(np.clip(rows[:, 0] + (0.1 if len(rows) > 1 else 0), 0, 1))

    found = ask("batch_invariance", model, inputs)
    expected = (inputs[:, 0] < 0.5) & (inputs[:, 0] + np.float32(0.1) > 0.5)
    assert 10 < expected.sum() < 40
    assert found.failed.tolist() == expected.tolist()
    assert found.largest == pytest.approx(0.1, abs=1e-6)
    first = found.details[int(expected.argmax())]
    assert first == "bad, but good in a batch of 32, good in another batch of 32"


def test_a_scale_that_is_shared_by_a_call_is_seen_among_other_mates(ask, scored):
    """As dynamic int8 does: rounded to steps of the largest value in the call."""
    inputs = numbers(300)

    def model(rows):
        step = rows.max() / 8 if len(rows) else 1
        return scored(np.round(rows[:, 0] / step) * step)

    found = ask("batch_invariance", model, inputs)
    assert 0 < found.failed.mean() < 0.3
    # Alone nothing is rounded away, so a failing row lies within half a step of the border.
    assert (np.abs(inputs[found.failed, 0] - 0.5) <= 1 / 16 + 1e-6).all()


def test_padding_that_leaks_shows_beside_a_long_row_alone(ask, scored):
    texts = ["good film", "bad film", "good plot"] * 20

    def model(rows):
        longest = max((len(text) for text in rows.tolist()), default=0)
        good = [0.9 if "good" in text else 0.1 for text in rows.tolist()]
        return scored([0.4 if longest > 200 and g > 0.5 else g for g in good])

    found = ask("batch_invariance", model, texts)
    assert found.failed.tolist() == ["good" in text for text in texts]
    assert found.details[0] == "good, but bad beside a very long row"


def test_a_sound_model_fails_nowhere(ask, scored):
    for name in ("batch_invariance", "thread_invariance", "determinism"):
        found = ask(name, lambda rows: scored(rows[:, 0]), numbers())
        assert not found.failed.any()
        assert found.largest == 0.0


def test_an_answer_that_hangs_on_threads_fails(ask, scored):
    inputs = numbers()

    def opened(threads):
        return lambda rows: scored(np.clip(rows[:, 0] - 0.02 * threads, 0, 1))

    found = ask("thread_invariance", opened(1), inputs, reopened=opened)
    one, four = inputs[:, 0] - 0.02, inputs[:, 0] - 0.08
    assert found.failed.tolist() == ((one > 0.5) != (four > 0.5)).tolist()
    assert found.failed.any()
    assert "on 4 threads" in found.details[int(found.failed.argmax())]


def test_a_model_that_opens_differently_fails_and_bits_are_counted(ask, scored):
    inputs, openings = numbers(), []

    def opened(threads):
        openings.append(threads)
        shift = 1e-3 * len(openings)
        return lambda rows: scored(np.clip(rows[:, 0] + shift, 0, 1))

    found = ask("determinism", opened(1), inputs, reopened=opened)
    once, again = (scored(np.clip(inputs[:, 0] + 1e-3 * i, 0, 1)) for i in (2, 3))
    assert found.failed.tolist() == (once.argmax(1) != again.argmax(1)).tolist()
    assert found.note == f"{(once != again).any(axis=1).sum()} rows differ in some bit"
    assert found.largest == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(("shift", "failed"), [(0.0, 0), (0.01, 0), (0.2, 6), (float("nan"), 6)])
def test_golden_rows_that_moved_are_counted(ask, scored, shift, failed):
    inputs = np.linspace(0.1, 0.6, 6, dtype=np.float32)[:, None]
    expected = scored(inputs[:, 0])

    def broken(found):
        # Called for all rows at once, however they were asked.
        assert found.shape == expected.shape
        return ~(np.abs(found - expected).max(axis=1) <= 0.05)

    golden = Golden(inputs=inputs, probabilities=expected, broken=broken)
    found = ask(
        "golden", lambda rows: scored(rows[:, 0] + np.float32(shift)), inputs, golden=golden
    )
    assert found.failed.sum() == failed
    assert found.ids.tolist() == [f"golden-{i}" for i in range(6)]


def test_a_model_without_golden_vectors_has_no_rows(ask, scored):
    found = ask("golden", lambda rows: scored(rows[:, 0]), numbers(3))
    assert (len(found.failed), found.note) == (0, "the model has none")
