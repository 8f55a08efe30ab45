"""The status page: what it tells, and how it looks in a real browser while requests come in."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.serve.browser import chromium
from tests.serve.live import ask, served

from surefoot.core.serving import Cascade
from surefoot.serve.board import Board
from surefoot.serve.flow import Answered, Standing
from surefoot.serve.meters import CELLS, Meters, name_models
from surefoot.serve.readiness import Readiness
from surefoot.serve.status import LATELY_S, Status, page_headers

FOUND = Cascade(
    lean="le<b>an", fallback="baseline", max_error=0.01, delta=0.1, slices=(), rows=300, needed=228,
    chosen=None, curve=(), fallback_accuracy=0.9, lean_ms=1, fallback_ms=2,
)  # fmt: skip
NOW = Standing(threshold=0.9)


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def meters():
    board = Board(slots=1, cells=CELLS)
    name_models(board, ["le<b>an", "baseline", "abstain"])
    return Meters(board, 0)


def status(meters, standing=NOW, found=FOUND):
    return Status(found, "PASS", "f" * 64, meters, Readiness((), {}), lambda: standing)


def row(confidence, route="le<b>an"):
    scores = np.array([[confidence, 1 - confidence]])
    return Answered(
        scores=scores, predicted=np.array([0]), routes=(route,), promises=("held",)
    )  # fmt: skip


def test_it_tells_what_there_was_ever_and_what_lately(meters, monkeypatch):
    clock = Clock(monkeypatch)
    told = status(meters)
    meters.answered(True, 200, 0.004)
    meters.routed(row(0.93))
    clock.now += 30
    found = told.data()
    assert found["numbers"]["rows"]["le<b>an"] == found["lately"]["rows"]["le<b>an"] == 1
    clock.now += LATELY_S + 1
    meters.routed(row(0.6, "baseline"))
    told.note()
    clock.now += LATELY_S / 2
    found = told.data()
    assert found["numbers"]["rows"] == {"le<b>an": 1, "baseline": 1, "abstain": 0}
    assert found["lately"]["rows"]["le<b>an"] == 0
    assert found["lately_seconds"] >= LATELY_S / 2
    assert json.loads(json.dumps(found))["seconds"] == 30 + LATELY_S + 1 + LATELY_S / 2


def test_readings_that_are_kept_are_few_however_often_it_is_looked_at(meters, monkeypatch):
    clock, told = Clock(monkeypatch), status(meters)
    for _ in range(2_000):
        clock.now += 0.25
        told.note()
    assert len(told._noted) <= LATELY_S + 2
    assert told.data()["lately_seconds"] == pytest.approx(LATELY_S, abs=2)


def test_names_are_shown_and_not_obeyed(meters):
    meters.routed(row(0.93))
    page = status(meters).page().decode()
    assert "le&lt;b&gt;an" in page
    assert "le<b>an" not in page


def test_parts_of_histograms_are_told_from_the_first_that_holds_any(meters):
    told = status(meters)
    assert told.page().decode().count("Nothing yet.") == 4
    for _ in range(99):
        meters.answered(True, 200, 0.004)
    meters.answered(True, 504, 30.0)
    meters.routed(row(0.93))
    page = told.page().decode()
    assert "half up to 5 ms, 99 of 100 up to 5 ms" in page
    assert "2.5 ms to 5 ms" in page
    assert "above 2.5 s" in page
    assert "1 ms to 2.5 ms" not in page
    assert "0.9 to 0.95" in page
    assert '<rect class="bad" width="1.0"' in page  # the 504


@pytest.mark.parametrize(
    ("standing", "leaving", "mark", "said"),
    [
        (NOW, False, "PASS", "below a confidence of 0.9 of its own it is baseline"),
        (Standing(threshold=0.0), False, "PASS", "it answers every request"),
        (Standing(threshold=np.inf, promise="void: drift"), False, "INCONCLUSIVE",
         "every request goes to baseline"),
        (replace(NOW, alarm=True, promise="void: drift"), False, "FAIL", "alarm"),
        (NOW, True, "FAIL", "Not ready</b>: leaving"),
    ],
)  # fmt: skip
def test_what_counts_now_comes_first(meters, standing, leaving, mark, said):
    told = status(meters, standing)
    told._readiness.leaving = leaving
    page = told.page().decode()
    assert f'<div class="verdict {mark}">' in page
    assert said in page
    assert f"the promise is <b>{standing.promise}</b>" in page
    assert told.data()["threshold"] == (
        None if standing.threshold == np.inf else standing.threshold
    )


def test_the_page_stands_alone(port, run):
    code, page = ask(port, "GET", "/status")
    assert code == 200
    assert "://" not in page
    assert "unsafe" not in str(page_headers())
    code, data = ask(port, "GET", "/status.json")
    assert code == 200
    assert json.loads(data)["name"] == "same"
    manifest = (run / "surefoot-run" / "bundle" / "manifest.json").read_bytes()
    assert json.loads(data)["bundle"] == hashlib.sha256(manifest).hexdigest()
    assert json.loads(data)["bundle"] in page


SHOWN = """(() => {
  const row = [...document.querySelectorAll('tbody tr')].find(r => r.cells[0].innerText == 'same');
  return row ? Number(row.cells[4].innerText) : 0;
})()"""
LOOK = """({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  back: getComputedStyle(document.body).backgroundColor,
  bar: Math.round(document.querySelector('svg.share').getBoundingClientRect().width),
})"""


@pytest.fixture(scope="module")
def page(port, tmp_path_factory):
    for _ in range(3):
        ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})
    ask(port, "POST", "/predict", {"inputs": [1]})
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        page.call("Page.navigate", url=f"http://127.0.0.1:{port}/status")
        page.wait("document.readyState == 'complete' && location.href.endsWith('/status')")
        yield page


def test_what_is_shown_changes_with_what_is_served(page, port):
    before = page.wait(SHOWN)
    assert before >= 3
    ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]] * 5})
    page.wait(f"{SHOWN} == {before + 5}")
    assert page.ask("document.getElementById('told').innerText") == (
        "It looks again every 2 seconds."
    )
    assert page.told == []  # nothing that the policy forbids was tried


def test_it_fits_a_telephone_and_a_desk_in_light_and_dark(page, tmp_path):
    shots = Path(os.environ.get("SUREFOOT_SHOTS", tmp_path))
    for name, width, dark, back in (
        ("phone", 390, False, "rgb(255, 255, 255)"),
        ("desk", 1100, False, "rgb(255, 255, 255)"),
        ("dark", 1100, True, "rgb(20, 23, 27)"),
    ):
        page.look(width, dark=dark)
        found = page.ask(LOOK)
        assert found["wide"] <= 0
        assert found["back"] == back
        assert found["bar"] > 60
        page.shoot(shots / f"{name}.png")
        assert (shots / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_axe_finds_no_fault(page):
    axe = os.environ.get("SUREFOOT_AXE")
    if not axe:
        pytest.skip("SUREFOOT_AXE names no axe.min.js")
    page.ask(Path(axe).read_text() + ";true")
    for dark in (False, True):
        page.look(1100, dark=dark)
        found = page.ask("axe.run({resultTypes: ['violations']}).then(r => r.violations)")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.slow
def test_a_service_that_has_gone_is_said(run, tmp_path):
    with chromium(tmp_path) as page, served(run) as (process, port, _):
        page.call("Page.navigate", url=f"http://127.0.0.1:{port}/status")
        page.wait("document.readyState == 'complete' && location.href.endsWith('/status')")
        process.kill()
        page.wait("document.getElementById('told').innerText.startsWith('No answer')")
