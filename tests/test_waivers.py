"""The file of waivers: what is written is read back, and what is wrong with it is said."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.bundle.encode import encode
from surefoot.core.errors import BundleError, PlanError
from surefoot.core.waiver import Waiver
from surefoot.waivers import WAIVERS, add_waiver, decode_waivers, read_waivers

WAIVER = Waiver(
    budget="accuracy on main [short]",
    limit="max_drop",
    candidate="int8",
    outcome="FAIL",
    measured="-3.0 pp [-4.0, -2.0], allowed -1.0 pp",
    worst=-0.04,
    until=date(2026, 12, 31),
    by="Ada <ada@example.org>",
    made=date(2026, 11, 27),
    reason="the fix is on its way",
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / WAIVERS


def test_without_a_file_there_are_none(file):
    assert read_waivers(file) == ()


def test_what_is_added_is_read_back_in_order_and_comments_stay(file):
    add_waiver(file, WAIVER)
    file.write_text(file.read_text() + "# seen by the board\n")
    add_waiver(file, replace(WAIVER, candidate="int4", worst=None))
    assert read_waivers(file) == (WAIVER, replace(WAIVER, candidate="int4", worst=None))
    assert "# seen by the board" in file.read_text()
    assert file.read_text().startswith("# Budgets that are not shown to hold")


@given(reason=st.text().filter(str.strip), by=st.text(min_size=1).filter(str.strip))
def test_any_text_survives(tmp_path_factory, reason, by):
    file = tmp_path_factory.mktemp("any") / WAIVERS
    odd = replace(WAIVER, reason=reason, by=by)
    add_waiver(file, odd)
    assert read_waivers(file) == (odd,)


def test_a_bundle_keeps_them_as_json():
    told = json.loads(json.dumps(encode((WAIVER,))))
    assert told[0]["until"] == "2026-12-31"
    assert decode_waivers(told, "bundle") == (WAIVER,)


@pytest.mark.parametrize(
    "listed",
    [None, 7, [7], [{}], [{"budget": "x"}], {"a": 1}],
)
def test_a_bundle_whose_waivers_are_something_else_is_refused(listed):
    with pytest.raises(BundleError, match="waivers: "):
        decode_waivers(listed, "bundle")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('candidate = "int8"', 'candidte = "int8"', "candidte: unknown key; did you mean 'candida"),
        ('candidate = "int8"', "", r"waiver\[0\].candidate: missing"),
        ('reason = "the fix is on its way"', 'reason = " "', "reason: must be a text, and not an"),
        ('by = "Ada <ada@example.org>"', "by = 7", "by: must be a text"),
        ("until = 2026-12-31", 'until = "soon"', "until: must be a day such as 2026-12-31"),
        ("until = 2026-12-31", "until = 2026-12-31T00:00:00Z", "until: must be a day"),
        ("until = 2026-12-31", "until = 2027-12-31", "until: must lie within 90 days of 2026-11"),
        ("until = 2026-12-31", "until = 2026-11-26", "until: must lie within 90 days"),
        ('outcome = "FAIL"', 'outcome = "PASS"', "outcome: must be one of FAIL, INCONCLUSIVE"),
        ('limit = "max_drop"', 'limit = "most"', "limit: must be one of at_most, at_least, max_dr"),
        ("worst = -0.04", "worst = nan", "worst: must be a number"),
        ("[[waiver]]", "[waiver]", "waiver: must be tables"),
        ("[[waiver]]", "[[waver]]", "waver: unknown key"),
        ("[[waiver]]", "[[waiver]", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(file, old, new, said):
    add_waiver(file, WAIVER)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(PlanError, match=said) as caught:
        read_waivers(file)
    assert WAIVERS in str(caught.value)


def test_everything_wrong_is_told_at_once(file):
    add_waiver(file, WAIVER)
    text = file.read_text().replace('"FAIL"', '"PASS"').replace('by = "Ada', 'buy = "Ada')
    file.write_text(text)
    with pytest.raises(PlanError) as caught:
        read_waivers(file)
    assert len(caught.value.problems) == 3


def test_the_file_is_plain_toml(file):
    add_waiver(file, WAIVER)
    (table,) = tomllib.loads(file.read_text())["waiver"]
    assert table["until"] == date(2026, 12, 31)
    assert table["worst"] == -0.04


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(BundleError, match="cannot write"):
        add_waiver(tmp_path / "gone" / WAIVERS, WAIVER)
