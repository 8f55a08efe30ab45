"""Croissant metadata, by mlcroissant where it is installed."""

import hashlib
import json
from dataclasses import replace

import pytest

from surefoot.core.errors import DataError
from surefoot.report.exports.croissant import croissant


@pytest.fixture
def folder(bundle):
    """Where the plan of the bundle lies."""
    return bundle.parents[1]


def test_mlcroissant_reads_it(release, folder, tmp_path):
    library = pytest.importorskip("mlcroissant", reason="no mlcroissant")
    for options in ({}, {"data": str(folder)}):
        (tmp_path / "croissant.json").write_text(croissant(release, **options).files[""])
        found = library.Dataset(jsonld=tmp_path / "croissant.json").metadata
        assert not found.ctx.issues.errors
        assert [r.id for r in found.record_sets] == ["splits", "test-main", "test-grouped"]


def test_columns_are_named_as_in_the_file_and_no_row_is_told(release):
    text = croissant(release).files[""]
    sets = {one["@id"]: one for one in json.loads(text)["recordSet"]}
    named = [f["source"]["extract"]["column"] for f in sets["test-grouped"]["field"]]
    assert named == ["a", "b", "c", "d", "tree", "id", "author"]
    assert "300 rows" in sets["test-main"]["description"]
    assert release.data[0].fingerprint in sets["test-main"]["description"]
    assert not [label for label in ("onerror", "HYPERLINK", "grouped-0") if label in text]


def test_checksums_are_those_of_the_files_that_are_there(release, folder):
    meta = json.loads(croissant(release, data=str(folder)).files[""])
    for one in meta["distribution"]:
        content = (folder / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
    assert "isLiveDataset" not in meta


def test_without_the_files_there_are_no_checksums_and_it_says_so(release):
    export = croissant(release)
    meta = json.loads(export.files[""])
    assert meta["isLiveDataset"] is True
    assert "sha256" not in "".join(meta["distribution"][0])
    assert any("checksums" in note for note in export.notes)


def test_data_that_are_no_longer_there_are_named(release, tmp_path):
    with pytest.raises(DataError, match=r"main.csv: No such file.*--set data=FOLDER"):
        croissant(release, data=str(tmp_path))


def test_keys_of_json_lines_and_what_is_no_table(release):
    table, other = release.data
    keyed = replace(table, source="jsonl", path="main.jsonl", columns={'a "b"': "text"})
    images = replace(other, source="image_folder", path="images", columns={})
    export = croissant(replace(release, data=(keyed, images)))
    (_, records) = json.loads(export.files[""])["recordSet"]
    (field,) = records["field"]
    assert field["source"]["extract"] == {"jsonPath": '$["a \\"b\\""]'}
    assert field["dataType"] == "sc:Text"
    assert "'grouped' is no table file, so its fields are left out" in export.notes
