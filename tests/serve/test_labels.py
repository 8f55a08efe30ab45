"""Labels that come back: which are taken, and what is said of the others."""

from __future__ import annotations

import json

import pytest

from surefoot.serve.decisions import DecisionIds, Label
from surefoot.serve.labels import read_labels
from surefoot.serve.requests import Refused

ID = DecisionIds().next()
CLASSES = ("cat", "dog")


def test_labels_are_read_in_their_order():
    body = json.dumps({"labels": [{"id": ID, "label": "dog"}, {"label": "cat", "id": ID}]})
    assert read_labels(body.encode(), CLASSES) == [
        Label(id=ID, label="dog"),
        Label(id=ID, label="cat"),
    ]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"labels": [{"id": ID, "label": "cow"}]}, 400, "labels[0].label 'cow' is no class; known"),
        ({"labels": [{"id": ID, "label": 1}]}, 400, "'1' is no class"),
        ({"labels": [{"id": ID, "label": ["cat"]}]}, 400, "is no class"),
        ({"labels": [{"id": ID, "label": "x" * 999}]}, 400, "'" + "x" * 40 + "' is no class"),
        ({"labels": [{"id": "1", "label": "cat"}]}, 400, "labels[0].id is not the id"),
        ({"labels": [{"id": None, "label": "cat"}]}, 400, "labels[0].id is not the id"),
        ({"labels": [{"id": ID + "\n", "label": "cat"}]}, 400, "labels[0].id is not the id"),
        ({"labels": [{"id": ID}]}, 400, 'must have "id" and "label" alone'),
        ({"labels": [{"id": ID, "label": "cat", "x": 1}]}, 400, "alone"),
        ({"labels": ["cat"]}, 400, "labels[0] must have"),
        ({"labels": []}, 400, "at least one"),
        ({"labels": {}}, 400, "at least one"),
        ({"label": []}, 400, "labels"),
        ({"labels": [{"id": ID, "label": "cat"}], "more": 1}, 400, "alone"),
        ({"labels": [{"id": ID, "label": "cat"}] * 1_001}, 413, "1001 labels, at most 1000"),
        ([], 400, "object"),
    ],
)
def test_what_is_no_label_is_named(body, status, said):
    with pytest.raises(Refused) as refused:
        read_labels(json.dumps(body).encode(), CLASSES)
    assert refused.value.status == status
    assert said in str(refused.value)


def test_what_is_no_json_is_refused():
    with pytest.raises(Refused, match="not JSON"):
        read_labels(b"{", CLASSES)


def test_a_long_body_is_looked_at_before_its_values_are_made():
    most = [{"id": ID, "label": "c" * 100}] * 1_000
    assert len(read_labels(json.dumps({"labels": most}).encode(), ("c" * 100,))) == 1_000
    for part in (b"[],", b"{},", b'"a",', b"1,"):
        with pytest.raises(Refused, match="more values than 1000 rows have") as caught:
            read_labels(b'{"labels":[' + part * 200_000 + b"1]}", CLASSES)
        assert caught.value.status == 413
