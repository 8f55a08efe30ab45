from __future__ import annotations

import json

import pytest

from surefoot.core.errors import DataError
from surefoot.data.sources.jsonl import jsonl


def test_texts_are_not_taken_for_dates(write):
    rows = [{"text": "2020-01-01T00:00:00Z", "label": True}, {"text": "", "label": False}]
    d = jsonl(path=write("\n".join(map(json.dumps, rows)), "r.jsonl"), text="text", label="label")
    assert d.inputs.tolist() == ["2020-01-01T00:00:00Z", ""]
    assert d.classes == ("false", "true")


def test_many_keys_stay_columns(write):
    rows = [{"text": f"t{i}", "label": "a", f"key{i}": i} for i in range(300)]
    path = write("\n".join(map(json.dumps, rows)), "r.jsonl")
    d = jsonl(path=path, text="text", label="label", slices={"s": "key7 = 7"})
    assert d.slices["s"].nonzero()[0].tolist() == [7]


def test_a_missing_key_is_a_missing_value(write):
    path = write('{"text": "a", "label": "x"}\n{"text": "b"}\n{"label": "x"}\n', "r.jsonl")
    with pytest.raises(DataError, match="row 2 has nothing in column 'label'"):
        jsonl(path=path, text="text", label="label")


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "a", "label": "x"}\n{"text": "b",\n',
        b'[{"text": "a", "label": "x"},\n{"text": "b", "label": "x"}]\n',
        b'{"text": "caf\xe9", "label": "x"}\n',
    ],
    ids=["cut off", "one array", "not UTF-8"],
)
def test_malformed(write, content):
    with pytest.raises(DataError, match=r"in line \d.*each line must be one JSON object") as caught:
        jsonl(path=write(content, "r.jsonl"), text="text", label="label")
    assert "\n" not in str(caught.value)


def test_lines_that_are_no_objects(write):
    with pytest.raises(DataError, match="no column 'text'"):
        jsonl(path=write("[1, 2]\n[3]\n", "r.jsonl"), text="text", label="label")
