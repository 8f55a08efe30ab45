"""The bill of materials field by field, with parts missing and names that mean harm."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from urllib.parse import unquote

import pytest

from surefoot.core.estimate import Estimate
from surefoot.report.exports._written import id_of
from surefoot.report.exports.cyclonedx import cyclonedx

HOSTILE = "<b>\u202e\x1b[31m\n|`x`"


def written(release):
    return json.loads(cyclonedx(release).files[""])


def properties(component):
    found = {}
    for one in component["properties"]:
        found.setdefault(one["name"].removeprefix("surefoot:"), []).append(one["value"])
    return found


def test_the_serial_number_is_that_of_the_candidate_and_the_bundle(release, ruined):
    number = written(release)["serialNumber"]
    assert number == f"urn:uuid:{id_of(release, 'cyclonedx')}"
    assert uuid.UUID(number.removeprefix("urn:uuid:")).version == 4
    assert written(release)["serialNumber"] == number
    others = (ruined, replace(release, key="another"))
    assert len({number, *(written(one)["serialNumber"] for one in others)}) == 3


def test_both_models_say_what_the_bundle_says_of_them(ruined):
    bom = written(ruined)
    baseline = next(c for c in bom["components"] if c["type"] == "machine-learning-model")
    for component, model in ((bom["metadata"]["component"], ruined.candidate),
                             (baseline, ruined.baseline)):  # fmt: skip
        told = properties(component)
        assert component["name"] == model.name
        assert component["version"] == model.fingerprint[:12]
        assert told["fingerprint"] == [model.fingerprint]
        assert told["size_bytes"] == [str(model.size_bytes)]
        assert told["runtime"] == [model.runtime]
        assert told["seed"] == [str(model.seed)]
    assert "verdict" not in properties(baseline)
    assert properties(bom["metadata"]["component"])["step"] == [
        "quantize_dynamic {'head': True, 'per_channel': False}"
    ]


def test_inputs_and_outputs_are_those_of_the_signature(release):
    parameters = written(release)["metadata"]["component"]["modelCard"]["modelParameters"]
    assert parameters["task"] == "tabular-classification"
    assert parameters["inputs"] == [{"format": "number"}]
    assert parameters["outputs"] == [{"format": "logits"}]
    for kind, named in (("text", "string"), ("image", "image")):
        signature = replace(release.candidate.signature, input=kind, output="probabilities")
        other = replace(release, candidate=replace(release.candidate, signature=signature))
        told = written(other)["metadata"]["component"]["modelCard"]["modelParameters"]
        assert (told["inputs"], told["outputs"]) == (
            [{"format": named}], [{"format": "probabilities"}],
        )  # fmt: skip


def test_data_sets_have_their_role_rows_and_fingerprint(release):
    told = [c for c in written(release)["components"] if c["type"] == "data"]
    for component, used in zip(told, release.data, strict=True):
        (described,) = component["data"]
        assert component["bom-ref"] == f"data:test/{used.name}"
        assert described["description"] == f"used as test, {used.rows} rows"
        assert described["contents"]["properties"][0]["value"] == used.fingerprint
    unknown = replace(release.data[0], rows=None, fingerprint=None, role="train")
    bare = written(replace(release, data=(unknown,)))
    (component,) = [c for c in bare["components"] if c["type"] == "data"]
    assert component["data"][0]["description"] == "used as train"
    assert "contents" not in component["data"][0]


def test_without_data_sets_the_model_names_none(release):
    bom = written(replace(release, data=()))
    assert "datasets" not in bom["metadata"]["component"]["modelCard"]["modelParameters"]
    assert not [c for c in bom["components"] if c["type"] == "data"]


def test_every_budget_is_a_trade_off_with_its_numbers(release, ruined):
    for one in (release, ruined):
        card = written(one)["metadata"]["component"]["modelCard"]
        told = card["considerations"]["performanceTradeoffs"]
        for line, finding in zip(told, one.verdict.findings, strict=True):
            e = finding.estimate
            assert line == (
                f"{finding.outcome}: {finding.subject}, {e.value:.4g} against a limit of"
                f" {finding.limit:.4g} (n {e.n:,}, {e.method})"
            )


def test_doubts_warnings_and_what_was_left_out_are_limitations(release):
    evidence = {**release.evidence, "doubts": [f"doubt {HOSTILE}"], "warnings": ["3 rows"]}
    card = written(replace(release, evidence=evidence))["metadata"]["component"]["modelCard"]
    told = card["considerations"]["technicalLimitations"]
    assert told[:2] == ["doubt <b>\\u202e\\x1b[31m\\n|`x`", "3 rows"]
    assert "left out: p99_ms batch 1: its interval has no end" in told
    assert len(told) == 2 + 1 + len(release.without_interval)
    bounded = tuple(f for f in release.figures if f.bounded)
    clean = written(replace(release, figures=bounded, without_interval=()))
    assert "technicalLimitations" not in clean["metadata"]["component"]["modelCard"][
        "considerations"
    ]  # fmt: skip


def test_an_exact_number_has_no_interval_and_no_slice(release):
    card = written(release)["metadata"]["component"]["modelCard"]
    (size,) = [
        m for m in card["quantitativeAnalysis"]["performanceMetrics"] if m["type"] == "size_mb"
    ]
    assert size == {"type": "size_mb", "value": repr(release.candidate.size_bytes / 1e6)}


def test_numbers_are_written_so_that_they_read_back(release):
    tiny = Estimate(value=1e-17, low=1 / 3, high=2**53 + 1.0, level=0.9, method="t", n=3)
    figure = replace(release.of(release.candidate)[0], estimate=tiny)
    (metric,) = written(replace(release, figures=(figure,)))["metadata"]["component"]["modelCard"][
        "quantitativeAnalysis"
    ]["performanceMetrics"]
    ends = metric["confidenceInterval"]
    assert [float(t) for t in (metric["value"], ends["lowerBound"], ends["upperBound"])] == [
        tiny.value, tiny.low, tiny.high,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("torch", "2.13.0+cpu"),
        ("evil@1?x=y#z", "1"),
        ("a/../b", "1 2"),
        ("numpy", "1@2/3?checksum=0"),
    ],
)
def test_the_address_of_a_library_has_one_name_and_one_version(release, name, version):
    bom = written(replace(release, environment={"libraries": {name: version}}))
    (library,) = [c for c in bom["components"] if c["type"] == "library"]
    head, _, rest = library["purl"].partition("/")
    assert head == "pkg:pypi"
    assert not set(rest) & set("/?# +")
    assert [unquote(part) for part in rest.split("@")] == [name, version]


@pytest.mark.parametrize("environment", [{}, {"libraries": {}}, {"libraries": {"numpy": None}}])
def test_libraries_that_nobody_noted_are_none(release, environment):
    bom = written(replace(release, environment=environment))
    assert not [c for c in bom["components"] if c["type"] == "library"]
    assert bom["metadata"]["tools"]["components"][0]["version"] == "unknown"


def test_hostile_names_are_shown_and_hidden_nowhere(release):
    model = replace(release.candidate, name=HOSTILE, runtime=HOSTILE, files={HOSTILE: "0" * 64})
    data = (replace(release.data[0], name=HOSTILE),)
    text = cyclonedx(replace(release, candidate=model, data=data)).files[""]
    assert not set(text) & set("\u202e\x1b")
    component = json.loads(text)["metadata"]["component"]
    assert component["name"] == "<b>\\u202e\\x1b[31m\\n|`x`"
    assert component["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
