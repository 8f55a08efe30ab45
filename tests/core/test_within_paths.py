"""Paths of others: as properties, and with links of every kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.errors import BundleError
from surefoot.core.within import within

PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", "", "a b", "..."]), max_size=6)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("within") / "bundle"
    (folder / "a" / "b").mkdir(parents=True)
    return folder


@settings(deadline=None)
@given(PARTS)
def test_a_path_is_taken_exactly_if_it_stays_inside(bundle, parts):
    name = "/".join(parts)
    if name.startswith("/"):
        name = name.lstrip("/") or "."
    stays = not os.path.relpath(os.path.normpath(bundle / name), bundle).startswith("../") and (
        os.path.normpath(bundle / name) != os.path.normpath(bundle.parent)
    )
    if stays:
        assert within(bundle, name) == bundle / name
    else:
        with pytest.raises(BundleError, match="lies outside of the bundle"):
            within(bundle, name)


@settings(deadline=None)
@given(PARTS)
def test_names_one_by_one_lead_where_the_joined_path_leads(bundle, parts):
    found = []
    for names in (parts, ["/".join(parts)] if parts and parts[0] else parts):
        try:
            found.append(within(bundle, *names).resolve())
        except BundleError:
            found.append(None)
    assert found[0] == found[1]


def test_the_folder_itself_lies_in_it(bundle):
    assert within(bundle) == bundle
    assert within(bundle, "a", "..") == bundle / "a" / ".."


def test_a_folder_whose_name_begins_alike_is_another(bundle):
    with pytest.raises(BundleError, match="outside"):
        within(bundle, "..", f"{bundle.name}-more")


def test_a_link_that_stays_inside_is_taken_and_one_through_a_folder_is_not(tmp_path):
    inside = tmp_path / "bundle"
    (inside / "models").mkdir(parents=True)
    (inside / "models" / "real").write_text("x")
    (inside / "alias").symlink_to(inside / "models" / "real")
    assert within(inside, "alias").read_text() == "x"
    (inside / "out").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BundleError, match="'out/secret' lies outside"):
        within(inside, "out", "secret")


def test_a_ring_of_links_names_no_file_or_no_other_place(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with pytest.raises(BundleError, match="names no file"):
        within(tmp_path, "one")


def test_a_name_that_is_too_long_or_holds_a_nul_is_one_clear_error(tmp_path):
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(BundleError, match="names no file") as caught:
            within(tmp_path, name)
        assert caught.value.where == str(tmp_path)


def test_a_bundle_reached_by_a_link_is_a_bundle(tmp_path, bundle):
    (tmp_path / "linked").symlink_to(bundle, target_is_directory=True)
    assert within(tmp_path / "linked", "a", "b") == tmp_path / "linked" / "a" / "b"
