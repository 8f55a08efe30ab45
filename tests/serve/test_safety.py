"""Safe mode: when it sounds the alarm, what it says, and what it takes to promise again."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta

from surefoot import stats
from surefoot.bundle import write_bundle
from surefoot.core.plan import ServePlan
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.serve.board import Safety
from surefoot.serve.cascade import GRID, cascade
from surefoot.serve.safety import (
    ATTEMPTS,
    BLOCK,
    KEPT,
    SAVED,
    Guard,
    Terms,
    pair_record,
    read_terms,
    write_terms,
)
from surefoot.serve.terms import safety_terms

TERMS = Terms(
    key="one", threshold=float(GRID[125]), strict=None, max_error=0.02, delta=0.1, false_alarm=0.05,
    accepted=2_000, disagreed=40, limit=float(stats.highest_rate(40, 2_000, 0.025)),
    grid=tuple(GRID[:126].tolist()), shadow=0.02, stuck="",
)  # fmt: skip


def fed(guard: Guard, n: int, share: float, rng: np.random.Generator, **fixed: float) -> None:
    """Pairs of which a share differ, whatever the confidence, until the guard turns."""
    epoch = guard.state.epoch
    for differs in rng.random(n) < share:
        sure = fixed.get("confidence", 0.5 + 0.5 * rng.random())
        stands = sure >= (guard.state.threshold or guard.terms.threshold)
        guard.pair(
            pair_record(confidence=sure, agreed=not differs, accepted=bool(stands), epoch=epoch)
        )
        if guard.state.epoch != epoch:
            return


def alarmed(terms: Terms = TERMS, file=None) -> Guard:
    guard = Guard(terms, file)
    fed(guard, 2_000, 0.3, np.random.default_rng(0), confidence=0.999)
    assert guard.state.mode == "alarm"
    return guard


def test_a_record_fits_a_pipe_and_comes_back():
    record = pair_record(confidence=0.1 + 0.2, agreed=True, accepted=False, epoch=7)
    assert len(record) <= 58
    guard = Guard(TERMS, None)
    guard.pair(record)  # of an epoch that there is not
    assert guard.late == 1
    assert guard.figures()["shadow_pairs"] == 0


def test_no_drift_is_no_alarm_and_drift_is_one_that_says_why():
    quiet = [Guard(TERMS, None) for _ in range(40)]
    for i, guard in enumerate(quiet):
        fed(guard, 1_000, 0.02, np.random.default_rng(i), confidence=0.999)
    assert sum(guard.state.mode == "alarm" for guard in quiet) <= 4
    guard = Guard(TERMS, None)
    assert guard.state == Safety()
    fed(guard, 2_000, 0.12, np.random.default_rng(1), confidence=0.999)
    assert (guard.state.mode, guard.state.epoch) == ("alarm", 1)
    assert guard.state.threshold == math.inf
    assert "more than the 2.7% that may be" in guard.state.reason
    assert guard.figures()["safe_mode"] == 1


def test_answers_that_do_not_stand_are_no_evidence():
    guard = Guard(TERMS, None)
    fed(guard, 1_000, 1.0, np.random.default_rng(0), confidence=0.6)
    assert guard.state == Safety()


def test_what_was_answered_before_the_alarm_does_not_open_again():
    guard = alarmed()
    for _ in range(2_000):
        guard.pair(pair_record(confidence=0.999, agreed=True, accepted=True, epoch=0))
    assert guard.state.mode == "alarm"
    assert guard.late == 2_000


def test_it_opens_again_where_fresh_pairs_show_the_promise():
    guard = alarmed()
    needed = BLOCK * int(stats.calibration_rows_needed(0.02, 0.05))
    fed(guard, needed - 1, 0.0, np.random.default_rng(2))
    assert guard.state.mode == "alarm"
    fed(guard, 1, 0.0, np.random.default_rng(3))
    assert (guard.state.mode, guard.state.epoch, guard.state.reason) == ("normal", 2, "")
    # Nothing differed, so the bundle's own threshold is shown; never a laxer one.
    assert guard.state.threshold == TERMS.threshold
    # What may differ from now on is what these pairs tell, not what the bundle told.
    stood = guard.figures()["shadow_limit"]
    assert stood < TERMS.limit


def test_each_attempt_is_on_pairs_of_its_own_and_costs_half_of_what_is_left():
    guard = alarmed()
    sizes = []
    for attempt in (1, 2, 3):
        before = guard.figures()["shadow_pairs"]
        n = BLOCK * int(stats.calibration_rows_needed(0.02, 0.1 / 2**attempt))
        fed(guard, n, 0.9, np.random.default_rng(attempt))  # nothing worth it is shown
        assert guard.state.mode == "alarm"
        sizes.append(guard.figures()["shadow_pairs"] - before)
    assert sizes == sorted(sizes)
    fed(guard, 5_000, 0.0, np.random.default_rng(4))
    assert guard.state.mode == "normal"


def test_what_opens_again_keeps_its_promise():
    """Risks are known: at each threshold a share differs that grows with what it lets stand."""
    broken = opened = 0
    for run in range(60):
        rng = np.random.default_rng(run)
        guard = alarmed()
        epoch = guard.state.epoch
        for _ in range(6_000):
            sure = 1 - 0.4 * rng.random()
            differs = rng.random() < 0.6 * (1 - sure)
            guard.pair(
                pair_record(confidence=sure, agreed=not differs, accepted=False, epoch=epoch)
            )
            if guard.state.mode == "normal":
                break
        if guard.state.mode == "normal":
            opened += 1
            width = 1 - guard.state.threshold
            broken += 0.6 * width**2 / 2 / 0.4 > 0.02
    assert opened > 40
    assert stats.proportion_at_least(broken, 60, 0.1) > 0.01  # no evidence of more than 10 %


def test_slices_and_several_models_never_open_again():
    guard = alarmed(replace(TERMS, stuck="of promised slices requests do not tell"))
    fed(guard, 5_000, 0.0, np.random.default_rng(5))
    assert guard.state.mode == "alarm"


def test_an_alarm_may_be_answered_by_a_stricter_threshold():
    guard = alarmed(replace(TERMS, strict=float(GRID[100])))
    assert guard.state.threshold == GRID[100]
    assert guard.state.mode == "alarm"


def test_an_alarm_lets_no_more_answers_stand_than_before_it():
    """After it opened at a stricter threshold than the one that is kept for alarms, too."""
    terms = replace(TERMS, strict=float(GRID[100]), threshold=float(GRID[110]))
    guard = Guard(terms, None)
    opened = float(GRID[60])
    guard._turn(Safety(threshold=opened))
    fed(guard, 2_000, 0.3, np.random.default_rng(0), confidence=0.99999)
    assert guard.state.mode == "alarm"
    assert guard.state.threshold == opened
    lax = Guard(replace(terms, strict=float(GRID[120])), None)
    fed(lax, 2_000, 0.3, np.random.default_rng(0), confidence=0.99999)
    assert lax.state.threshold == terms.threshold


def test_of_an_unknown_state_no_threshold_is_known_either(tmp_path):
    file = tmp_path / "safe-mode.json"
    file.write_text("{")
    assert Guard(replace(TERMS, strict=float(GRID[100])), file).state.threshold == math.inf


def test_the_state_outlives_the_service(tmp_path):
    file = tmp_path / "log" / "safe-mode.json"
    guard = Guard(TERMS, file)
    rng = np.random.default_rng(6)
    fed(guard, 4 * SAVED, 0.02, rng, confidence=0.999)
    again = Guard(TERMS, file)
    assert again.figures() == guard.figures()
    for one in (guard, again):
        fed(one, 3 * SAVED, 0.3, np.random.default_rng(7), confidence=0.999)
    assert guard.state == again.state
    assert guard.state.mode == "alarm"
    third = Guard(TERMS, file)  # an alarm is not forgotten by starting anew
    assert third.state == guard.state
    for one in (guard, third):
        fed(one, BLOCK * int(stats.calibration_rows_needed(0.02, 0.05)), 0.0, rng)
    assert guard.state == third.state
    assert third.state.mode == "normal"
    assert Guard(TERMS, file).state == third.state


def test_another_bundle_begins_anew(tmp_path):
    file = tmp_path / "safe-mode.json"
    alarmed(file=file)
    assert Guard(replace(TERMS, key="two"), file).state == Safety()


def test_who_goes_back_to_a_bundle_finds_its_alarm(tmp_path):
    file = tmp_path / "safe-mode.json"
    alarm = alarmed(file=file).state
    for name in range(KEPT - 1):
        other = Guard(replace(TERMS, key=f"other {name}"), file)
        assert other.state == Safety()
        other.save()
        other.save()
    assert Guard(TERMS, file).state == alarm
    Guard(replace(TERMS, key="one more"), file).save()
    assert Guard(TERMS, file).state == Safety()  # a few are kept, not all for ever
    assert len(json.loads(file.read_text())["earlier"]) == KEPT - 1


@pytest.mark.parametrize("attempt", [1_023, 1_074, 100_000])
def test_any_number_of_attempts_can_be_made(tmp_path, attempt):
    """A state may come from a service that tried for years, or from somebody's editor."""
    file = tmp_path / "safe-mode.json"
    terms = replace(TERMS, max_error=0.9)  # fewer pairs an attempt
    alarmed(terms, file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"attempt": attempt}))
    guard = Guard(terms, file)
    assert guard.state.mode == "alarm"
    assert guard.state.reason.startswith("of the last")
    needed = BLOCK * int(stats.calibration_rows_needed(0.9, math.ldexp(0.1, -ATTEMPTS)))
    for differs in (True, False):  # the first attempt fails, and the next is as large
        record = pair_record(
            confidence=0.999999, agreed=not differs, accepted=False, epoch=guard.state.epoch
        )
        for _ in range(needed):
            guard.pair(record)
    assert guard.state.mode == "normal"


@pytest.mark.parametrize(
    "change",
    [
        None, {"staked": [1.0]}, {"state": {"mood": 1}}, {"wealth": 1}, {"lost": [1]}, {"n": "x"},
        {"attempt": 0}, {"attempt": math.inf}, {"limit": 2}, {"state": {"mode": "calm"}},
        {"state": {"threshold": "low"}}, {"earlier": 3, "key": "two"}, {"lost": [2**70] * 126},
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_read_is_taken_for_an_alarm(tmp_path, change):
    file = tmp_path / "safe-mode.json"
    guard = Guard(TERMS, file)
    guard.save()
    assert Guard(TERMS, file).state == Safety()
    file.write_text("" if change is None else json.dumps(json.loads(file.read_text()) | change))
    again = Guard(TERMS, file)
    assert again.state.mode == "alarm"
    assert again.state.reason == "what safe mode knew cannot be read: safe-mode.json"
    # It is got over as any other.
    fed(again, 2_000, 0.0, np.random.default_rng(9))
    assert again.state.mode == "normal"
    assert Guard(TERMS, file).state == again.state


def test_a_state_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    guard = Guard(TERMS, tmp_path / "file" / "safe-mode.json")
    fed(guard, 3 * SAVED, 0.0, np.random.default_rng(8), confidence=0.999)
    assert guard.unsaved == 3
    assert guard.state == Safety()


@pytest.fixture
def bundle(contents, tmp_path):
    """A bundle with 2,000 calibration rows of which 1.5 % differ, more where `same` is unsure."""
    path = tmp_path / "bundle"
    write_bundle(path, "key", contents)
    rng, n = np.random.default_rng(1), 2_000
    confidence = (0.5 + 0.5 * rng.beta(3, 0.5, n)).astype(np.float32)
    differs = rng.random(n) < 0.1 * (1 - confidence)
    ids = np.array([str(i) for i in range(n)], np.dtypes.StringDType())
    text = {True: "bouleau", False: "chêne"}
    (path / "calibration").mkdir()
    for name, other in {"baseline": np.zeros(n, bool), "same": differs}.items():
        answers = np.array([text[bool(one)] for one in other], np.dtypes.StringDType())
        write_parquet(
            path / "calibration" / f"{name}.parquet",
            {"id": ids, "predicted": answers, "correct": ~other, "confidence": confidence},
        )
    return path


def terms_of(path, **plan):
    asked = ServePlan(**plan)
    return safety_terms(path, asked, cascade(path, asked, "same"))


def test_the_terms_are_what_a_plain_count_says(bundle, tmp_path):
    terms, why = terms_of(bundle)
    assert why == ""
    lean, big = (
        read_parquet(bundle / "calibration" / f"{name}.parquet") for name in ("same", "baseline")
    )
    stands = lean["confidence"] >= terms.threshold
    differs = lean["predicted"] != big["predicted"]
    assert terms.accepted == stands.sum()
    assert terms.disagreed == (stands & differs).sum() > 0
    wanted = beta.ppf(0.975, terms.disagreed + 1, terms.accepted - terms.disagreed)
    assert terms.limit == pytest.approx(wanted)
    assert read_terms(tmp_path) is None
    write_terms(tmp_path, terms)
    assert read_terms(tmp_path) == terms


def test_another_promise_has_another_key(bundle):
    keys = {terms_of(bundle, **plan)[0].key
            for plan in ({}, {"false_alarm": 0.01}, {"max_error_over_fallback": 0.05})}  # fmt: skip
    assert len(keys) == 3
    assert terms_of(bundle)[0].key == terms_of(bundle)[0].key


def test_the_strict_threshold_is_one_that_half_of_the_error_shows(bundle):
    easy, half = (
        terms_of(bundle, on_alarm="strict", max_error_over_fallback=error)[0].strict
        for error in (0.02, 0.005)
    )
    assert terms_of(bundle)[0].strict is None
    assert half > easy
    losses = read_parquet(bundle / "calibration" / "same.parquet")
    stands = (losses["confidence"] >= half) & (losses["predicted"] == "bouleau")
    assert stats.proportion_at_most(stands.sum(), 2_000, 0.0025) <= 0.1


def test_the_strict_threshold_holds_in_promised_slices(bundle):
    """A slice of 300 rows is lost below a confidence of 0.95; all rows together hardly tell."""
    few, right = np.arange(2_000) < 300, np.ones(2_000, bool)
    files = {name: bundle / "calibration" / f"{name}.parquet" for name in ("baseline", "same")}
    lean = read_parquet(files["same"])
    right[few] = lean["confidence"][few] > 0.95
    texts = np.where(right, "chêne", "bouleau").astype(np.dtypes.StringDType())
    for name, file in files.items():
        kept = {**read_parquet(file), "slice_few": few}
        own = {"correct": right, "predicted": texts} if name == "same" else {}
        write_parquet(file, {**kept, **own})
    plan = {"slices": ["few"], "on_alarm": "strict", "max_error_over_fallback": 0.1}
    terms, _ = terms_of(bundle, **plan)
    assert terms.threshold > 0.9
    assert terms.strict >= terms.threshold
    stands = (lean["confidence"] >= terms.strict) & few
    assert stats.proportion_at_most((stands & ~right).sum(), 300, 0.05) <= 0.1


def test_of_rows_in_groups_one_of_each_is_a_reference(bundle):
    for name in ("baseline", "same"):
        file = bundle / "calibration" / f"{name}.parquet"
        write_parquet(file, {**read_parquet(file), "group": np.arange(2_000) // 4})
    terms, _ = terms_of(bundle)
    assert terms.accepted <= 500
    assert terms.limit > 0.005


def test_slices_say_that_nothing_opens_again(bundle):
    for name in ("baseline", "same"):
        file = bundle / "calibration" / f"{name}.parquet"
        write_parquet(file, {**read_parquet(file), "slice_odd": np.arange(2_000) % 2 == 1})
    assert terms_of(bundle, slices=["odd"])[0].stuck == "of promised slices requests do not tell"
    assert terms_of(bundle)[0].stuck == ""


def test_with_several_models_each_answer_that_stands_is_compared_whoever_gave_it(bundle):
    lean, big = (
        read_parquet(bundle / "calibration" / f"{name}.parquet") for name in ("same", "baseline")
    )
    asked = ServePlan()
    found = cascade(bundle, asked, "same")
    # The second one is sure of everything, and answers as the fallback does.
    write_parquet(
        bundle / "calibration" / "turned.parquet", {**big, "confidence": np.ones(2_000, np.float32)}
    )
    chosen = replace(found.chosen, threshold=0.9, thresholds=(0.5,))
    terms, _ = safety_terms(bundle, asked, replace(found, chosen=chosen, between=("turned",)))
    stands = lean["confidence"] >= 0.9
    assert terms.accepted == 2_000
    assert terms.disagreed == (stands & (lean["predicted"] != big["predicted"])).sum()
    assert terms.stuck == "several models are asked in turn"
    assert alarmed(terms).state.threshold == math.inf


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"shadow": 0.0}, "serve.shadow is 0"),
        ({"fallback": "abstain"}, "nobody stands behind"),
        ({"max_error_over_fallback": 0.0001}, "nothing is promised"),
    ],
)
def test_without_a_promise_or_a_fallback_there_is_none_and_it_says_so(bundle, plan, said):
    terms, why = terms_of(bundle, **plan)
    assert terms is None
    assert said in why


def test_bundles_of_old_have_none(bundle):
    for name in ("baseline", "same"):
        file = bundle / "calibration" / f"{name}.parquet"
        found = read_parquet(file)
        del found["predicted"]
        write_parquet(file, found)
    terms, why = terms_of(bundle)
    assert terms is None
    assert why == "the bundle does not hold what both models answered to calibration rows"
