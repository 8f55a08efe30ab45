"""The page in a real browser; `benchmarks/report_browser.py` has the rest, axe-core among it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from surefoot.report.content import read_content
from surefoot.report.page import page

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "report_browser.py"
LOOK = """({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  unlabelled: [...document.querySelectorAll('[tabindex]')].filter(e => !e.ariaLabel).length,
  plots: [...document.querySelectorAll('svg[role=img]')].map(e => e.getBoundingClientRect().width),
  back: getComputedStyle(document.body).backgroundColor,
})"""


@pytest.fixture(scope="module")
def browser():
    spec = importlib.util.spec_from_file_location("report_browser", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.chromium() is None:
        pytest.skip("there is no Chromium on this machine")
    return module


@pytest.fixture(scope="module")
def shown(rich, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(read_content(rich)))
    return path


def test_it_fits_a_telephone_and_a_desk_in_light_and_dark(browser, shown):
    phone = browser.ask(shown, LOOK, width=390, options=[browser.PATIENT])
    desk = browser.ask(shown, LOOK, options=[browser.PATIENT, browser.DARK])
    for found in (phone, desk):
        assert found["wide"] <= 0
        assert found["unlabelled"] == 0
        assert len(found["plots"]) >= 6
        assert min(found["plots"]) > 200
    assert phone["back"] == "rgb(255, 255, 255)"
    assert desk["back"] == "rgb(20, 23, 27)"


def test_it_prints_on_a4(browser, shown, tmp_path):
    pdf = browser.print_pdf(shown, tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pdf or b"/MediaBox [0 0 595" in pdf
