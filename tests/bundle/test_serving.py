"""The policy that a run leaves in its bundle: what it holds, and that it follows from the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from surefoot.bundle import read_verdict_json, write_bundle
from surefoot.bundle.evidence import recorded
from surefoot.bundle.rederive import claims_of_files
from surefoot.bundle.serving import (
    SERVING,
    alone,
    policy,
    read_policy,
    serve_plan,
    write_policy,
)
from surefoot.core.claims import Claim, Verification
from surefoot.core.errors import BundleError
from surefoot.core.evidence import Cell
from surefoot.core.plan import EndpointPlan, ServePlan
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.evaluate.remote import EndpointAnswers
from surefoot.gate.cascade import GRID, Answers, choose, one_of_each, planned_apart, shared_path
from surefoot.report.verify import verification_exit_code
from surefoot.serve.cascade import cascade

ROWS = 900
URL = "http://127.0.0.1:9/v1"
REMOTE = ServePlan(fallback=URL, endpoint=EndpointPlan(protocol="openai", model="m", cost=0.002))


def cells(contents):
    """What three models say of calibration rows: `turned` is unsure where it is wrong."""
    rng = np.random.default_rng(2)
    ids = np.array([str(i) for i in range(ROWS)], np.dtypes.StringDType())
    labels = rng.integers(0, 3, ROWS)
    hard = rng.beta(1, 4, ROWS)
    for name, wrong in {"baseline": 0.05, "same": 0.06, "turned": 0.5}.items():
        missed = rng.random(ROWS) < 2 * wrong * hard
        answers = np.where(missed, (labels + 1) % 3, labels)
        sure = 1 - 0.6 * hard * rng.random(ROWS)
        scores = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
        scores[np.arange(ROWS), answers] = sure
        yield Cell(
            candidate=name, dataset="calibration", ids=ids, labels=labels,
            predicted=scores.argmax(axis=1), scores=scores.astype(np.float32),
        )  # fmt: skip


@pytest.fixture
def written(contents, load, tmp_path):
    """Writes a bundle with calibration rows and latencies: `written(ServePlan(...))`."""

    def make(serve=None, endpoint=None, **own):
        plan = replace(contents.plan, serve=serve or ServePlan(candidate="turned"))
        task = contents.task
        rows = replace(
            task.test["main"],
            name="calibration",
            **{"slices": {"odd": np.arange(ROWS) % 2 == 1}, **own},
        )
        milliseconds = {"baseline": 9.0, "same": 3.0, "turned": 1.0}
        loads = tuple(load(name, 1, ms) for name, ms in milliseconds.items())
        path = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        write_bundle(
            path,
            "key",
            replace(
                contents,
                plan=plan,
                task=replace(task, calibration=rows),
                calibration=list(cells(contents)),
                evidence=replace(contents.evidence, loads=loads),
                endpoint=endpoint,
            ),
        )
        return path

    return make


def answered(contents, *, confident=True):
    """What an endpoint says of these rows: right but for each seventh, where it names no class."""
    first = next(iter(cells(contents)))
    predicted = np.where(np.arange(ROWS) % 7 == 0, -1, first.labels)
    cell = replace(first, candidate="fallback", predicted=predicted, scores=0 * first.scores)
    sure = np.linspace(0.4, 1, ROWS) if confident else np.full(ROWS, np.nan)
    return EndpointAnswers(cell=cell, confidence=sure, wall_ms=np.linspace(10, 30, ROWS))


def test_the_policy_is_what_the_rows_give_and_comes_back_as_it_was(written):
    path = written()
    found = read_policy(path)
    assert found == policy(path, ServePlan(candidate="turned"), "turned")
    assert found.stages == ("turned",)
    assert found.chosen.threshold > 0.5
    assert found.chosen.shown
    assert found.rows == ROWS
    assert SERVING in json.loads((path / "manifest.json").read_text())


def test_of_several_models_each_has_its_share_its_time_and_its_threshold(written):
    path = written(ServePlan(candidate="turned", between=["same"]))
    found = read_policy(path)
    assert found.stages == ("turned", "same")
    assert (found.rows, found.planned) == (600, 300)
    one = found.chosen
    parts = (one.share.value, *one.between)
    assert len(one.thresholds) == 1
    assert sum(parts) == pytest.approx(one.answered)
    asked = [1, 1 - parts[0], 1 - sum(parts)]
    each = (found.lean_ms, *found.between_ms, found.fallback_ms)
    wanted = sum(share * ms for share, ms in zip(asked, each, strict=True))
    assert found.cost(one.share.value, one.between) == pytest.approx(wanted)
    # The weights of all that are asked are at hand.
    assert {p.name for p in (path / "models").iterdir()} == {"baseline", "same", "turned"}
    assert read_policy(path) == policy(path, serve_plan_of(path), "turned")


def serve_plan_of(path):
    return serve_plan(json.loads((path / "plan.json").read_text())["serve"])


def test_an_endpoint_stands_behind_like_a_model(written, contents):
    serve = replace(REMOTE, candidate="turned", max_error_over_fallback=0.05)
    path = written(serve, answered(contents))
    found = read_policy(path)
    assert serve_plan_of(path) == serve
    assert (found.fallback, found.endpoint, found.endpoint_cost) == ("fallback", URL, 0.002)
    assert found.fallback_accuracy == pytest.approx(1 - 129 / ROWS)
    assert found.fallback_ms is None
    assert found.fallback_slow_ms == pytest.approx(np.quantile(np.linspace(10, 30, ROWS), 0.95))
    lean = read_parquet(path / "calibration" / "turned.parquet")
    stands = lean["confidence"].astype(np.float64) >= found.chosen.threshold
    lost = stands & ~lean["correct"] & (np.arange(ROWS) % 7 != 0)
    assert found.chosen.lost.value == lost.mean()
    kept = read_parquet(path / "calibration" / "fallback.parquet")
    assert kept["predicted"][0] == ""
    assert not kept["correct"][0]
    assert kept["predicted"][1] == kept["label"][1]


def test_out_of_scope_is_told_by_whoever_knows_how_sure_it_is(written, contents):
    for confident in (True, False):
        path = written(replace(REMOTE, candidate="turned"), answered(contents, confident=confident))
        scope = read_policy(path).scope
        assert set(scope) == ({"turned", "fallback"} if confident else {"turned"})
        confidence = read_parquet(path / "calibration" / "turned.parquet")["confidence"]
        assert (confidence < scope["turned"]).sum() == 44  # of 900: 45 of 901 are 5 %


def test_verify_derives_it_again_and_sees_what_was_edited(written):
    path = written()

    def claim():
        said = recorded(path, read_verdict_json(path))
        (one,) = [c for c in claims_of_files(path, said) if c.subject == SERVING]
        return one

    assert claim().status == "REPRODUCED"
    assert claim().there == claim().here
    data = json.loads((path / SERVING).read_text())
    data["chosen"]["threshold"] = 0.5
    (path / SERVING).write_text(json.dumps(data))
    assert claim().status == "DIFFERS"
    assert "chosen.threshold is 0.5, not" in claim().why
    (path / "calibration" / "turned.parquet").unlink()
    assert claim().status == "NOT RUN"
    (path / SERVING).unlink()
    said = recorded(path, read_verdict_json(path))
    assert SERVING not in [c.subject for c in claims_of_files(path, said)]  # an older bundle


def test_a_policy_whose_rows_were_taken_away_is_no_policy(written):
    """Whoever forges one can write a new manifest too, but not the rows that would show it."""
    path = written()
    data = json.loads((path / SERVING).read_text())
    data["chosen"]["threshold"] = 0.0
    (path / SERVING).write_text(json.dumps(data))
    (path / "calibration" / "baseline.parquet").unlink()
    said = recorded(path, read_verdict_json(path))
    (claim,) = [c for c in claims_of_files(path, said) if c.subject == SERVING]
    assert (claim.status, claim.candidate) == ("NOT RUN", "turned")
    cells = Claim(basis="again", candidate="turned", subject="answers on main", status="REPRODUCED")
    found = Verification(faults=(), files=9, models=("turned",), claims=(cells, claim))
    assert verification_exit_code(found) == 3
    with pytest.raises(BundleError, match=r"'baseline' gave no answers"):
        cascade(path, serve_plan_of(path))


def test_verify_tells_thresholds_apart_that_are_next_to_1(written):
    plan = ServePlan(candidate="turned")
    path = written(plan)
    file = path / "calibration" / "turned.parquet"
    sure = np.where(np.arange(ROWS) % 3 == 0, 1 - 1e-6, 1).astype(np.float32)
    right = np.arange(ROWS) % 3 != 0
    write_parquet(file, {**read_parquet(file), "confidence": sure, "correct": right})
    assert write_policy(path, plan, "turned") == ""
    said = recorded(path, read_verdict_json(path))
    data = json.loads((path / SERVING).read_text())
    assert data["chosen"]["threshold"] == GRID[1]
    for threshold, status in ((float(GRID[1]), "REPRODUCED"), (float(GRID[3]), "DIFFERS")):
        data["chosen"]["threshold"] = threshold
        (path / SERVING).write_text(json.dumps(data))
        (claim,) = [c for c in claims_of_files(path, said) if c.subject == SERVING]
        assert claim.status == status


def uncounted(between):
    """Rows in groups, and a slice of those alone that no walk counts."""
    groups = np.array([str(i // 2) for i in range(ROWS)], np.dtypes.StringDType())
    counted = one_of_each(ROWS, groups)
    if between:
        only = np.isin(np.arange(ROWS), counted[np.random.default_rng(0).permutation(450)[:150]])
    else:
        only = ~np.isin(np.arange(ROWS), counted)
    return {"groups": groups, "slices": {"rare": only}}


@pytest.mark.parametrize("between", [[], ["same"]])
def test_a_promised_slice_of_which_no_row_counts_costs_no_run_its_work(written, between):
    path = written(
        ServePlan(candidate="turned", between=between, slices=["rare"]), **uncounted(between)
    )
    assert read_policy(path) is None
    (warning,) = [w for w in read_verdict_json(path)["warnings"] if "[serve]" in w]
    assert "of the calibration rows in slice 'rare' none counts" in warning
    assert str(path.parent) not in warning
    with pytest.raises(BundleError, match=r"slice 'rare' none counts"):
        policy(path, serve_plan_of(path), "turned")


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_handful_of_rows_promises_nothing_and_warns_of_nothing(rows, recwarn):
    answers = Answers(
        confidence=np.full((2, rows), 0.9, np.float32), right=np.ones((2, rows), bool),
        fallback_right=np.ones(rows, bool), slices={},
    )  # fmt: skip
    apart, tests = planned_apart(answers)
    path = shared_path(apart, (1.0, 2.0))
    assert np.isfinite(path).all()
    assert choose(tests, path, max_error=0.02, delta=0.1)[0] == 0
    assert not recwarn.list


@pytest.mark.parametrize(
    "serve",
    [ServePlan(candidate="gone"), ServePlan(candidate="turned", slices=["even"])],
)
def test_what_cannot_be_promised_keeps_no_bundle_from_being_written(written, serve):
    path = written(serve)
    assert read_policy(path) is None
    assert (path / "manifest.json").is_file()


def test_a_bundle_without_calibration_rows_has_none(contents, tmp_path):
    path = write_bundle(tmp_path / "bundle", "key", contents).path
    assert read_policy(path) is None
    found = alone(path, ServePlan(), "same")
    assert found.void == "the bundle has no calibration rows"
    assert found.chosen is None


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("chosen"),
        lambda d: d.update(chosen=3),
        lambda d: d.update(odd=1),
        lambda d: d.update(scope={"turned": "low"}),
        lambda d: d.update(curve=[{}]),
        lambda d: d.update(between=None),
    ],
)
def test_a_policy_of_another_form_is_refused(written, change):
    path = written()
    data = json.loads((path / SERVING).read_text())
    change(data)
    (path / SERVING).write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"serving\.json: is not as surefoot writes it"):
        read_policy(path)


def test_endpoint_answers_to_other_rows_are_no_pairs(written, contents):
    path = written(replace(REMOTE, candidate="turned"), answered(contents))
    file = path / "calibration" / "fallback.parquet"
    write_parquet(file, {key: column[::-1].copy() for key, column in read_parquet(file).items()})
    with pytest.raises(BundleError, match=r"other calibration rows"):
        policy(path, serve_plan_of(path), "turned")


def test_reading_it_loads_neither_duckdb_nor_scipy(written):
    path = written(ServePlan(candidate="turned", between=["same"]))
    program = (
        "import sys; from pathlib import Path; from surefoot.bundle import read_verdict_json;"
        "from surefoot.serve.cascade import cascade_or_alone, promised_plan;"
        "import surefoot.serve.router; p = Path(sys.argv[1]);"
        "plan = promised_plan(p, max_error=None, delta=None, abstain=False);"
        "found = cascade_or_alone(p, plan, read_verdict_json(p));"
        "print(found.lean, sorted({'duckdb', 'scipy', 'torch', 'sklearn'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", program, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "turned []\n"
