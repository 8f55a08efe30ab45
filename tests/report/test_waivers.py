"""Waivers in every form of a report; what others wrote in them does nothing there."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from tests.conftest import write_numbers

from surefoot.bundle import read_bundle, read_verdict_json
from surefoot.core.errors import BundleError
from surefoot.plan import read_plan
from surefoot.report.bundle import bundle_exit_code, bundle_lines
from surefoot.report.forms import in_form
from surefoot.report.waivers import waived_of
from surefoot.run import run_plan

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "label" }
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "same"
steps = []
[evaluate]
latency = { batch = [1], calls = 20, seconds = 1 }
[[budget]]
quantity = "size_mb"
at_most = 0.000001
"""
EVIL = "<script>alert(1)</script> | [x](javascript:y) `a` =cmd \x1b[2J \u202e"


@pytest.fixture(scope="module")
def made(tmp_path_factory, linear):
    """The bundle of a run that fails."""
    folder = tmp_path_factory.mktemp("waivers")
    linear(folder / "linear.onnx")
    write_numbers(folder / "test.csv", 60)
    (folder / "surefoot.toml").write_text(PLAN)
    return run_plan(read_plan(folder / "surefoot.toml"), folder / "run")[0].path


@pytest.fixture
def signed(made, tmp_path):
    """The same with a waiver: `signed(reason=..., until=...)`."""

    def sign(**changes):
        path = tmp_path / "bundle"
        shutil.copytree(made, path, dirs_exist_ok=True)
        today = datetime.now(UTC).date()
        waiver = {
            "budget": "size_mb",
            "limit": "at_most",
            "candidate": "same",
            "outcome": "FAIL",
            "measured": "0.001 MB, at most 1e-06 MB",
            "worst": None,
            "until": (today + timedelta(days=9)).isoformat(),
            "by": "Ada",
            "made": today.isoformat(),
            "reason": "a fix is on its way",
            **changes,
        }
        data = json.loads((path / "verdict.json").read_text())
        (path / "verdict.json").write_text(json.dumps({**data, "waivers": [waiver]}))
        return path

    return sign


FORMS = ("plain", "html", "markdown", "json", "junit")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_who_signed(signed, form):
    path = signed()
    text = in_form(form, path, shown=path)
    assert "Ada" in text
    assert "a fix is on its way" in text
    assert "FAIL" in text or "failure" in text
    assert bundle_exit_code(path) == 0


@pytest.mark.parametrize("form", FORMS)
def test_what_others_wrote_does_nothing(signed, form):
    path = signed(reason=EVIL, by=EVIL)
    text = in_form(form, path, shown=path)
    assert "\x1b" not in text
    assert "\u202e" not in text
    if form in ("html", "junit"):
        assert "<script>alert" not in text
    if form == "markdown":
        # A pipe ends a cell of a table even inside code.
        cells = [line for line in text.splitlines() if line.startswith("| `counts`")]
        assert len(cells) == 1
        assert cells[0].replace("\\|", "").count("|") == 8


def test_an_expired_one_is_shown_and_does_not_count(signed):
    path = signed(made="2025-11-01", until="2025-12-01")
    lines = bundle_lines(path)
    assert "waived" not in lines[0]
    (row,) = (line for line in lines if line.startswith("expired"))
    assert "it ended on 2025-12-01" in row
    assert bundle_exit_code(path) == 1


def test_the_day_is_that_of_the_verdict_if_the_clock_here_is_behind(signed):
    path = signed()
    data, verdicts = read_verdict_json(path), read_bundle(path).verdicts
    day = datetime.fromisoformat(data["written"]).date()
    found = waived_of(data, verdicts, path, now=day - timedelta(days=3))
    assert found.day == day
    assert "one of them is wrong" in found.note
    assert waived_of(data, verdicts, path, now=day).note == ""


@pytest.mark.parametrize(
    "changes", [{"until": "never"}, {"reason": ""}, {"limit": 7}, {"until": "2999-01-01"}]
)
def test_one_that_surefoot_did_not_write_is_an_error(signed, changes):
    with pytest.raises(BundleError, match=r"verdict\.json is not as surefoot writes it: waivers: "):
        bundle_lines(signed(**changes))
