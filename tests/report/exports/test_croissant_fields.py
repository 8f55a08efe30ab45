"""Croissant metadata field by field: references, names, splits and paths of others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from surefoot.core.errors import DataError
from surefoot.core.release import DataUsed
from surefoot.report.exports.croissant import CONTEXT, croissant

HOSTILE = "a\"b']\u202e\x1b[2J\n<script>"


def meta(release, *data, **options):
    used = replace(release, data=data) if data else release
    return json.loads(croissant(used, **options).files[""])


def table(name, role="test", **changes):
    told = {"source": "csv", "path": f"{name}.csv", "columns": {"body": "text", "intent": "label"}}
    return DataUsed(name=name, role=role, **(told | changes))


def parts_of(part):
    """Every table in a table or list, itself among them."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from parts_of(inner)


def test_every_reference_leads_to_an_id_that_there_is_once(release):
    sets = [table("main"), table("train", "train"), table("x\u202e"), table("x "), table("x")]
    for data in ((), sets):
        told = meta(release, *data)
        del told["@context"]
        tables = list(parts_of(told))
        made = [part["@id"] for part in tables if {"@id", "@type"} <= set(part)]
        named = [part["@id"] for part in tables if set(part) == {"@id"}]
        assert named
        assert len(set(made)) == len(made)
        assert set(named) <= set(made)


def test_parts_of_one_file_share_it_and_have_records_of_their_own(release):
    parts = [table(f"flights month={i}", path="flights.csv", rows=10 * i) for i in (1, 2)]
    told = meta(release, *parts)
    (file,) = told["distribution"]
    assert file["contentUrl"] == "flights.csv"
    records = told["recordSet"][1:]
    assert len({one["@id"] for one in records}) == 2
    assert [f"{10 * i} rows" in one["description"] for i, one in enumerate(records, 1)] == [1, 1]
    for one in records:
        assert {f["source"]["fileObject"]["@id"] for f in one["field"]} == {file["@id"]}


@pytest.mark.parametrize(
    ("source", "media"),
    [
        ("csv", "text/csv"),
        ("jsonl", "application/jsonlines"),
        ("parquet", "application/x-parquet"),
    ],
)
def test_each_table_has_its_media_type_and_way_to_a_column(release, source, media):
    told = meta(release, table("main", source=source))
    assert told["distribution"][0]["encodingFormat"] == media
    first = told["recordSet"][1]["field"][0]["source"]["extract"]
    assert first == ({"jsonPath": '$["body"]'} if source == "jsonl" else {"column": "body"})


@pytest.mark.parametrize("source", ["npz", "image_folder", "hf_dataset"])
def test_what_is_no_table_is_described_and_noted_and_has_no_fields(release, source):
    images = table("pictures", source=source, path="pictures", rows=1234, columns={})
    told = meta(release, images)
    assert told["distribution"] == []
    assert len(told["recordSet"]) == 1
    assert told["description"] == f"pictures: test data, read as {source}, 1,234 rows"
    notes = croissant(replace(release, data=(images,))).notes
    assert notes[0] == "'pictures' is no table file, so its fields are left out"


def test_splits_are_those_that_the_data_sets_are_used_as(release):
    roles = ("test", "train", "selection", "calibration", "out_of_scope", "unlabelled")
    told = meta(release, *(table(role, role) for role in roles))
    splits = told["recordSet"][0]
    assert {row["splits/name"]: row["splits/url"] for row in splits["data"]} == {
        "test": "cr:TestSplit",
        "train": "cr:TrainingSplit",
        "selection": "cr:ValidationSplit",
    }
    (alone,) = meta(release, table("main"))["recordSet"][0]["data"]
    assert alone["splits/name"] == "test"


@pytest.mark.parametrize(
    ("kind", "type_"),
    [("text", "sc:Text"), ("number", "sc:Float"), ("label", "sc:Text"), ("group", "sc:Text")],
)
def test_a_column_has_the_type_of_what_it_holds(release, kind, type_):
    (field,) = meta(release, table("main", columns={"x": kind}))["recordSet"][1]["field"]
    assert field["dataType"] == type_
    assert field["description"] == f"x: {kind}"


def test_hostile_names_keep_their_way_to_the_column_and_are_plain_elsewhere(release):
    used = table(HOSTILE, path=f"data/{HOSTILE}.jsonl", source="jsonl", columns={HOSTILE: "text"})
    text = croissant(replace(release, data=(used,))).files[""]
    assert not set(text) & set("\u202e\x1b")
    told = json.loads(text)
    (field,) = told["recordSet"][1]["field"]
    path = field["source"]["extract"]["jsonPath"]
    assert json.loads(path.removeprefix("$[").removesuffix("]")) == HOSTILE
    names = [told["name"], told["distribution"][0]["name"], told["recordSet"][1]["name"]]
    for name in [*names, field["@id"].replace("/", "")]:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@pytest.mark.parametrize("path", ["a\0b.csv", "gone.csv", ".", "x" * 5000])
def test_a_path_that_leads_to_no_file_is_one_error(release, tmp_path, path):
    used = replace(release, data=(table("main", path=path),))
    with pytest.raises(DataError, match="--set data=FOLDER names the folder") as caught:
        croissant(used, data=str(tmp_path))
    assert "\0" not in str(caught.value)


def test_the_context_is_that_of_the_standard(release):
    told = meta(release)
    assert told["@context"] == CONTEXT
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert told["@type"] == "sc:Dataset"
