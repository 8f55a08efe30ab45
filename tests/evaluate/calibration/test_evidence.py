"""Temperatures, what a place is told of confidence, and when a candidate is called worse."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from surefoot import plugins
from surefoot.core.evidence import Cell
from surefoot.core.progress import Silent
from surefoot.evaluate import apply_temperature, calibration_evidence, cells, fit_temperature
from surefoot.evaluate.calibration.looks import FILE, looked
from surefoot.evaluate.calibration.reliability import Rows, look
from surefoot.store import Store


def drawn(seed, n, *, temperature=1.0, classes=3, scale=2.5):
    """Scores that are true at `temperature`, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * scale
    true = softmax(logits, axis=1)
    labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    return softmax(logits * temperature, axis=1).astype(np.float32), labels


def test_a_model_that_is_too_sure_gets_a_temperature_above_one():
    scores, labels = drawn(0, 1_000, temperature=2.0)
    found = fit_temperature(scores, labels)
    assert (found.fitted, found.note, found.estimate.n) == (True, "", 1_000)
    assert 1 < found.estimate.low < 2 < found.estimate.high
    after = apply_temperature(scores, found)
    metric = plugins.find("metric", "ece")
    before, mended = (metric(s, labels, np.ones((1, 1_000)))[0] for s in (scores, after))
    assert mended < before / 2


@pytest.mark.parametrize(
    ("scores", "labels", "note"),
    [
        (np.tile([0.7, 0.3], (60, 1)), np.zeros(60, int), "60 calibration rows are of one class"),
        (np.eye(2)[np.arange(60) % 2], np.arange(60) // 2 % 2, "all 0 or 1"),
        (np.tile([0.7, 0.3], (60, 1)), np.arange(60) % 2, "says nothing"),
        (np.eye(2)[np.arange(60) % 2] * 0.8 + 0.1, np.arange(60) % 2, "right so often"),
        (np.array([[0.6, 0.4]]), np.array([1]), "1 calibration rows are of one class"),
    ],
)
def test_rows_that_tell_no_temperature(scores, labels, note):
    found = fit_temperature(scores, labels)
    assert not found.fitted
    assert note in found.note
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == (1, 0, np.inf)
    np.testing.assert_allclose(apply_temperature(scores, found), scores, atol=1e-9)


def test_rows_of_one_group_tell_no_temperature():
    scores, labels = drawn(1, 80)
    found = fit_temperature(scores, labels, groups=np.zeros(80, int))
    assert not found.fitted
    assert "one group" in found.note


def test_few_rows_are_said_to_be_few():
    found = fit_temperature(*drawn(2, 30))
    assert found.fitted
    assert found.note == "30 calibration rows are too few to trust it"
    assert found.estimate.high > 1.3 * found.estimate.low


def test_zeros_where_the_truth_is_are_counted():
    scores, labels = drawn(3, 200)
    scores[5, labels[5]] = 0
    assert fit_temperature(scores, labels).note.startswith("1 calibration rows give the right")


def test_a_place_is_told_what_its_metrics_say():
    scores, labels = drawn(4, 400, temperature=1.5)
    found = look(Rows(scores=scores, labels=labels)).reliability
    once = np.ones((1, 400))
    for name in ("ece", "aurc"):
        expected = plugins.find("metric", name)(scores, labels, once)[0]
        assert found.figures[name].value == pytest.approx(expected)
    for name in ("brier", "log_loss"):
        expected = plugins.find("metric", name)(scores, labels).mean()
        assert found.figures[name].value == pytest.approx(expected)
    for figure in found.figures.values():
        assert 0 <= figure.low < figure.value < figure.high
    assert len(found.bins) == 15
    assert sum(b.n for b in found.bins) == 400


def test_the_curve_is_the_accuracy_of_the_most_confident():
    scores, labels = drawn(5, 500)
    found = look(Rows(scores=scores, labels=labels)).reliability.curve
    order = np.argsort(-scores.max(axis=1))
    right = (scores.argmax(axis=1) == labels)[order]
    for tenths, kept in enumerate(found, start=1):
        assert kept.coverage == pytest.approx(tenths / 10)
        assert kept.accuracy.value == pytest.approx(right[: 50 * tenths].mean())
        assert kept.accuracy.low < kept.accuracy.value <= kept.accuracy.high
    assert found[0].accuracy.value > found[-1].accuracy.value


def test_rows_of_equal_confidence_are_kept_together():
    scores, labels = np.tile([0.8, 0.2], (40, 1)), np.arange(40) % 4 == 0
    found = look(Rows(scores=scores, labels=labels.astype(int))).reliability
    assert {(kept.coverage, kept.accuracy.value) for kept in found.curve} == {(1.0, 0.75)}
    assert found.figures["aurc"].value == pytest.approx(0.25)


def too_sure(seed, n):
    """Confidence exceeds the chance of being right by 0.1."""
    rng = np.random.default_rng(seed)
    sure = 1 - 0.3 * rng.beta(1, 2, n)
    right = rng.random(n) < sure - 0.1
    return np.stack([sure, 1 - sure], axis=1), np.where(right, 0, 1)


def test_coverage_of_the_figures():
    """The truth comes from half a million rows."""
    scores, labels = too_sure(0, 500_000)
    once, truth, inside = np.ones((1, 500_000)), {}, dict.fromkeys(("ece", "aurc"), 0)
    for name in inside:
        truth[name] = plugins.find("metric", name)(scores, labels, once)[0]
    for name in ("log_loss", "brier"):
        truth[name], inside[name] = plugins.find("metric", name)(scores, labels).mean(), 0
    for seed in range(1, 61):
        scores, labels = too_sure(seed, 400)
        found = look(Rows(scores=scores, labels=labels)).reliability.figures
        for name, figure in found.items():
            inside[name] += bool(figure.low <= truth[name] <= figure.high)
    assert all(hits >= 52 for hits in inside.values()), inside  # fewer: once in a hundred at 95 %


def test_rows_that_belong_to_no_class():
    scores, labels = drawn(6, 300)
    strangers = drawn(7, 100, scale=0.5)[0]
    found = look(Rows(scores=scores, labels=labels, strangers=strangers)).reliability
    figure = found.figures["out_of_scope_auc"]
    sure = np.concatenate([scores.max(axis=1), strangers.max(axis=1)])
    assert figure.value == pytest.approx(roc_auc_score(np.arange(400) < 300, sure))
    assert 0.5 < figure.low < figure.value < figure.high < 1
    groups = np.arange(300) // 3
    wide = look(Rows(scores=scores, labels=labels, groups=groups, strangers=strangers)).reliability
    assert wide.figures["out_of_scope_auc"].value == figure.value


@pytest.mark.parametrize("groups", [None, np.arange(60) // 2])
def test_answers_that_are_all_right_leave_room_for_the_next(groups):
    labels = np.arange(60) % 2
    found = look(Rows(scores=np.eye(2)[labels], labels=labels, groups=groups)).reliability.figures
    # By hand: of 60 rows, or 30 groups of two, none is wrong.
    wrong = 1 - 0.025 ** (1 / (60 if groups is None else 30))
    assert (found["aurc"].value, found["aurc"].low) == (0, 0)
    assert found["aurc"].high == pytest.approx(wrong * (1 + np.log(1 / wrong)))
    assert (found["ece"].value, found["ece"].low, found["ece"].high) == (0, -np.inf, np.inf)
    for name in ("brier", "log_loss"):
        assert found[name].high > found[name].value


def test_answers_that_are_all_wrong_leave_room_too():
    labels = np.arange(60) % 2
    found = look(Rows(scores=np.eye(2)[1 - labels], labels=labels)).reliability.figures["aurc"]
    right = 1 - 0.025 ** (1 / 60)
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 - right + right * np.log(right))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.7])
def test_no_order_of_wrong_answers_is_beyond_the_bounds_of_their_share(share):
    n, metric = 20_000, plugins.find("metric", "aurc")
    sure = 1 - np.arange(n) / n / 2.1
    scores, wrong = np.stack([sure, 1 - sure], axis=1), np.arange(n) < share * n
    most, least = (
        metric(scores, order.astype(int), np.ones((1, n)))[0] for order in (wrong, wrong[::-1])
    )
    assert most == pytest.approx(share - share * np.log(share), abs=1e-3)
    assert least == pytest.approx(share + (1 - share) * np.log(1 - share), abs=1e-3)


def test_strangers_that_confidence_parts_perfectly_leave_room_for_the_next():
    scores, labels = np.tile([0.9, 0.1], (200, 1)), np.arange(200) % 3 % 2
    rows = Rows(scores=scores, labels=labels, strangers=np.tile([0.6, 0.4], (12, 1)))
    figure = look(rows).reliability.figures["out_of_scope_auc"]
    assert (figure.value, figure.high) == (1, 1)
    assert figure.low == pytest.approx(0.025 ** (1 / 12))


def test_one_group_leaves_values_without_an_interval():
    scores, labels = drawn(8, 60)
    found = look(Rows(scores=scores, labels=labels, groups=np.zeros(60, int)))
    assert found.error is None
    for figure in found.reliability.figures.values():
        assert np.isfinite(figure.value)
        assert (figure.low, figure.high) == (-np.inf, np.inf)
    assert found.reliability.curve[0].accuracy.high == np.inf


@pytest.fixture(name="evidence")
def fixture_evidence(tree_set, tmp_path):
    """Evidence of candidates, kept in a folder of the test."""
    return partial(evidence_, tree_set, Store(tmp_path / "kept"))


def evidence_(tree_set, store, made, calibration=None, strangers=None, progress=None):
    """Evidence of candidates, given the scores of each on a set `main` whose labels are drawn."""
    labels = next(iter(made.values()))[1]
    main = replace(tree_set(len(labels)), labels=labels)
    others = {}
    if calibration is not None:
        others["calibration"] = replace(
            tree_set(len(calibration[1]), name="calibration"), labels=calibration[1]
        )
    if strangers is not None:
        others["out_of_scope"] = tree_set(len(strangers), name="out_of_scope")
    own = {"calibration": calibration and calibration[0], "out_of_scope": strangers}
    filled = {name: [cells.cell(name, main, scores)] for name, (scores, _) in made.items()}
    beside: dict[str, list[Cell]] = {
        name: [cells.cell(name, others[key], own[key]) for key in others] for name in made
    }
    return calibration_evidence(filled, {"main": main}, beside, others, store, progress)


def test_without_calibration_rows_there_is_no_after(evidence):
    found = evidence({"baseline": drawn(9, 200), "int8": drawn(9, 200)})
    assert (found.rows, found.warnings) == (0, ())
    assert [one.candidate for one in found.places] == ["baseline", "int8"]
    assert all(one.after is None for one in found.places)
    assert not found.temperatures["int8"].fitted


def test_each_candidate_has_its_own_temperature_and_the_answers_stay(evidence):
    made = {"baseline": drawn(10, 900, temperature=1.8)}
    found = evidence(made, drawn(11, 400, temperature=1.8), drawn(12, 80, scale=0.3)[0])
    (place,) = found.places
    assert found.rows == 400
    assert place.after.figures["ece"].value < place.before.figures["ece"].value
    assert place.after.figures["log_loss"].value < place.before.figures["log_loss"].value
    assert place.after.curve[-1].accuracy == place.before.curve[-1].accuracy
    assert place.after.figures["out_of_scope_auc"].value > 0.5


def test_a_candidate_that_is_surer_than_it_may_be_is_called_worse(evidence):
    calm = drawn(13, 1_500)
    made = {"baseline": calm, "same": calm, "sure": drawn(13, 1_500, temperature=2.0)}
    (line,) = evidence(made).warnings
    assert line.startswith("sure is worse calibrated than baseline on main: ece 0.1")


def test_false_warnings_are_rare(evidence):
    """Two equally calibrated models whose scores differ: noise on the logits of both."""
    warned = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores, labels = drawn(100 + seed, 500)
        made = {
            name: (softmax(np.log(scores) + rng.normal(size=scores.shape) * 0.7, axis=1), labels)
            for name in ("baseline", "other")
        }
        warned += bool(evidence(made).warnings)
    assert warned <= 4  # of 20 at 5 %: more happen once in a hundred


def test_a_temperature_that_is_not_to_be_trusted_is_a_warning(evidence):
    found = evidence({"baseline": drawn(14, 200)}, drawn(15, 20))
    (line,) = found.warnings
    assert line.startswith("temperature of baseline: 20 calibration rows")


def drawn_rows(**changed):
    scores, labels = drawn(16, 120)
    whole = {
        "scores": scores, "labels": labels, "groups": np.arange(120) // 2,
        "strangers": drawn(17, 30, scale=0.5)[0], "their_groups": np.arange(30) // 3,
    }  # fmt: skip
    return Rows(**(whole | changed))


def test_a_look_that_is_kept_is_the_look_and_is_not_taken_again(tmp_path):
    store, rows = Store(tmp_path), drawn_rows()
    first, plain = looked(rows, 1.5, store), look(rows.at(1.5))
    assert first.reliability == plain.reliability
    np.testing.assert_array_equal(first.error.replicates, plain.error.replicates)
    (file,) = tmp_path.glob(f"calibration/*/{FILE}")
    written = file.stat().st_mtime_ns
    # What is kept is read: a mark in it comes back.
    file.write_text(file.read_text().replace('"bootstrap"', '"marked"'))
    assert looked(rows, 1.5, Store(tmp_path)).reliability.figures["ece"].method == "marked"
    file.write_text("{")  # damaged: looked at again
    assert looked(rows, 1.5, store).reliability == plain.reliability
    assert file.stat().st_mtime_ns > written


@pytest.mark.parametrize("part", ["scores", "labels", "groups", "strangers", "their_groups"])
def test_a_look_is_of_these_rows_alone(tmp_path, part):
    store = Store(tmp_path)
    looked(drawn_rows(), 1.0, store)
    changed = np.array(getattr(drawn_rows(), part))
    changed[:] = changed[::-1].copy()
    other = drawn_rows(**{part: changed})
    assert looked(other, 1.0, store).reliability == look(other).reliability
    assert looked(drawn_rows(), 1.2, store).reliability == look(drawn_rows().at(1.2)).reliability
    assert len(list(tmp_path.glob("calibration/*"))) == 3


def test_rows_of_one_group_are_kept_without_an_error(tmp_path):
    rows = drawn_rows(groups=np.zeros(120, np.int64), strangers=None, their_groups=None)
    store = Store(tmp_path)
    for _ in range(2):
        found = looked(rows, 1.0, store)
        assert found.error is None
        assert found.reliability.figures["ece"].high == np.inf


class Killed(Silent):
    """Ends the run when the first place is done."""

    def advance(self):
        raise KeyboardInterrupt


def test_a_run_that_was_killed_keeps_what_it_had_seen(evidence, tmp_path):
    made = {"baseline": drawn(18, 200), "int8": drawn(19, 200)}
    calibration = drawn(20, 100)
    with pytest.raises(KeyboardInterrupt):
        evidence(made, calibration, progress=Killed())
    done = {p: p.stat().st_mtime_ns for p in tmp_path.glob(f"kept/calibration/*/{FILE}")}
    assert len(done) == 2  # the baseline before and after
    found = evidence(made, calibration)
    assert {p: p.stat().st_mtime_ns for p in done} == done
    assert len(list(tmp_path.glob(f"kept/calibration/*/{FILE}"))) == 4
    assert evidence(made, calibration) == found
