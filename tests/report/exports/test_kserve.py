"""The manifest of an InferenceService, read back by a YAML parser."""

import re
from dataclasses import replace

import pytest

from surefoot.report.exports.dockerfile import dockerfile
from surefoot.report.exports.kserve import kserve

yaml = pytest.importorskip("yaml")


def test_it_is_the_container_of_the_dockerfile(release):
    found = yaml.safe_load(kserve(release, image="registry.example/trees:1").files[""])
    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    (container,) = found["spec"]["predictor"]["containers"]
    (port,) = re.findall(r"^EXPOSE (\d+)$", dockerfile(release).files["Dockerfile"], re.MULTILINE)
    assert container["ports"] == [{"containerPort": int(port), "protocol": "TCP"}]
    assert container["image"] == "registry.example/trees:1"
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": int(port)}
    told = found["metadata"]["annotations"]
    assert told["surefoot/verdict"] == release.verdict.outcome
    assert told["surefoot/fingerprint"] == release.candidate.fingerprint


@pytest.mark.parametrize(
    "name", ["int8, onnxruntime", "A_b.C", "---", "żółw\nkind: Secret", "x" * 300]
)
def test_its_name_is_one_that_a_cluster_takes(release, name):
    named = replace(release, candidate=replace(release.candidate, name=name))
    found = yaml.safe_load(kserve(named, image="i").files[""])
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])
    assert len(found["metadata"]["name"]) <= 63
    assert found["kind"] == "InferenceService"
