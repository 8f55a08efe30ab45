"""A manifest that runs the served bundle in KServe."""

from __future__ import annotations

from surefoot.core.release import Export, Release
from surefoot.report.exports._written import PORT, slug, yaml_text


def kserve(release: Release, *, image: str = "") -> Export:
    """An InferenceService of KServe around the image that `dockerfile` describes.

    `surefoot serve` speaks the Open Inference Protocol, version 2, so KServe needs no other
    adapter. The verdict and the fingerprint are annotations.

    Args:
        release: What is exported.
        image: The image as the cluster pulls it, for example `registry.example/intent:1`; by
            default it is called by the candidate and the beginning of its fingerprint.
    """
    name = slug(release.candidate.name).lower().replace("_", "-").replace(".", "-")[:50].strip("-")
    container = {
        "name": "kserve-container",
        "image": image or f"{name}:{release.candidate.fingerprint[:12]}",
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": PORT}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": PORT}},
        "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False},
    }
    manifest = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "annotations": {
                "surefoot/verdict": release.verdict.outcome,
                "surefoot/fingerprint": release.candidate.fingerprint,
                "surefoot/bundle": release.key,
            },
        },
        "spec": {"predictor": {"containers": [container]}},
    }
    return Export(files={"": yaml_text(manifest)})
