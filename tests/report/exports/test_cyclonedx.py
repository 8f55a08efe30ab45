"""The bill of materials, by the validator of CycloneDX where it is installed."""

import json

import pytest

from surefoot.report.exports.cyclonedx import cyclonedx


@pytest.fixture
def bom(release):
    return json.loads(cyclonedx(release).files[""])


def test_the_schema_has_nothing_to_say(release, ruined):
    validation = pytest.importorskip("cyclonedx.validation.json", reason="no CycloneDX library")
    pytest.importorskip("jsonschema", reason="no CycloneDX[json-validation]")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    for one in (release, ruined):
        assert validator.validate_str(cyclonedx(one).files[""]) is None


def test_metrics_have_their_slice_and_interval(release, bom):
    card = bom["metadata"]["component"]["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    figures = [f for f in release.of(release.candidate) if f.bounded]
    assert len(metrics) == len(figures)
    for metric, figure in zip(metrics, figures, strict=True):
        assert (metric["type"], float(metric["value"])) == (figure.quantity, figure.estimate.value)
        assert metric.get("slice", "") == figure.where
        if figure.estimate.method != "exact":
            ends = metric["confidenceInterval"]
            assert float(ends["lowerBound"]) == figure.estimate.low
            assert float(ends["upperBound"]) == figure.estimate.high


def test_what_a_number_rests_on_and_the_verdict_are_properties(release, bom):
    told = bom["metadata"]["component"]["properties"]
    by_name = {}
    for one in told:
        by_name.setdefault(one["name"], []).append(one["value"])
    assert by_name["surefoot:verdict"] == ["PASS"]
    assert by_name["surefoot:fingerprint"] == [release.candidate.fingerprint]
    assert "accuracy on main: 95 % Clopper-Pearson, n 300" in by_name["surefoot:basis"]
    assert len(by_name["surefoot:budget"]) == len(release.verdict.findings)


def test_a_failed_candidate_is_called_one_and_has_no_files(ruined):
    model = json.loads(cyclonedx(ruined).files[""])["metadata"]["component"]
    assert {"name": "surefoot:verdict", "value": "FAIL"} in model["properties"]
    assert "components" not in model
    assert "inputs" not in model["modelCard"]["modelParameters"]


def refs(part):
    if isinstance(part, dict):
        if "bom-ref" in part:
            yield part["bom-ref"]
        for inner in part.values():
            yield from refs(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from refs(inner)


def test_references_are_unique_and_lead_somewhere(bom):
    found = list(refs(bom))
    assert len(set(found)) == len(found)
    (dependency,) = bom["dependencies"]
    data = bom["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]
    assert {*dependency["dependsOn"], dependency["ref"], *(d["ref"] for d in data)} <= set(found)


def test_files_have_their_hashes_and_libraries_their_versions(release, bom):
    files = {
        f["name"]: f["hashes"][0]["content"] for f in bom["metadata"]["component"]["components"]
    }
    assert files == release.candidate.files
    libraries = {c["name"]: c for c in bom["components"] if c["type"] == "library"}
    numpy = release.environment["libraries"]["numpy"]
    assert libraries["numpy"]["version"] == numpy
    assert libraries["numpy"]["purl"] == f"pkg:pypi/numpy@{numpy}"
    assert "surefoot" not in libraries  # it is the tool
