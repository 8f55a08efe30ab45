"""A CycloneDX machine learning bill of materials (ML-BOM), version 1.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from surefoot.core.printable import printable
from surefoot.core.release import DataUsed, Export, Figure, Release, Shipped
from surefoot.report.exports._written import basis, bounded, id_of, json_text

_FORMATS = {"text": "string", "image": "image", "numeric": "number"}


def cyclonedx(release: Release) -> Export:
    """A CycloneDX 1.6 ML-BOM: the model, its baseline, data sets and libraries.

    Performance metrics carry their slice and confidence interval; what they rest on (n, method,
    level) and the verdict with each of its budgets stand among the model's properties.
    """
    figures, notes = bounded(release)
    data = [_data(used) for used in release.data]
    libraries = _libraries(release.environment)
    model = _model(release.candidate, release.kind, data)
    model["modelCard"] |= {
        "quantitativeAnalysis": {"performanceMetrics": list(map(_metric, figures))},
        "considerations": _considerations(release, notes),
    }
    model["properties"] += [
        _property("verdict", release.verdict.outcome),
        *(_property("budget", f"{f.outcome} {f.subject}") for f in release.verdict.findings),
        *(_property("basis", f"{_named(figure)}: {basis(figure)}") for figure in figures),
        _property("bundle:key", release.key),
    ]
    baseline = _model(release.baseline, release.kind, [])
    tool = {"type": "application", "name": "surefoot", "version": release.library}
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{id_of(release, 'cyclonedx')}",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": model},
        "components": [baseline, *data, *libraries],
        "dependencies": [
            {
                "ref": model["bom-ref"],
                "dependsOn": [part["bom-ref"] for part in (baseline, *data, *libraries)],
            }
        ],
    }
    return Export(files={"": json_text(bom)}, notes=notes)


def _model(model: Shipped, task: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    """A model; nothing of its files where the bundle does not hold them."""
    parameters: dict[str, Any] = {"task": task}
    if data:
        parameters["datasets"] = [{"ref": used["bom-ref"]} for used in data]
    if model.signature is not None:
        parameters["inputs"] = [{"format": _FORMATS[model.signature.input]}]
        parameters["outputs"] = [{"format": model.signature.output}]
    files = [
        {
            "type": "file",
            "bom-ref": f"file:{model.name}/{name}",
            "name": printable(name),
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for name, digest in model.files.items()
    ]
    steps = [f"{use} {dict(options)}" if options else use for use, options in model.steps]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.name}",
        "name": printable(model.name),
        "version": model.fingerprint[:12],
        **({"components": files} if files else {}),
        "modelCard": {"modelParameters": parameters},
        "properties": [
            _property("fingerprint", model.fingerprint),
            _property("runtime", model.runtime),
            _property("size_bytes", str(model.size_bytes)),
            _property("seed", str(model.seed)),
            *(_property("step", step) for step in steps),
        ],
    }


def _data(used: DataUsed) -> dict[str, Any]:
    told = [f"used as {used.role}"]
    told += [] if used.rows is None else [f"{used.rows} rows"]
    described: dict[str, Any] = {
        "bom-ref": f"data-content:{used.role}/{used.name}",
        "type": "dataset",
        "name": printable(used.name),
        "description": ", ".join(told),
    }
    if used.fingerprint is not None:
        prints = [_property("rows:fingerprint", used.fingerprint)]
        described["contents"] = {"properties": prints}
    return {
        "type": "data",
        "bom-ref": f"data:{used.role}/{used.name}",
        "name": printable(used.name),
        "data": [described],
    }


def _libraries(environment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the measurements were made with."""
    known = {name: v for name, v in environment.get("libraries", {}).items() if v}
    return [
        {
            "type": "library",
            "bom-ref": f"library:{name}",
            "name": name,
            "version": str(version),
            "purl": f"pkg:pypi/{quote(name, safe='')}@{quote(str(version), safe='')}",
        }
        for name, version in known.items()
        if name != "surefoot"
    ]


def _metric(figure: Figure) -> dict[str, Any]:
    e = figure.estimate
    named: dict[str, Any] = {"type": figure.quantity, "value": repr(e.value)}
    if figure.where:
        named["slice"] = printable(figure.where)
    if e.method != "exact":
        ends = {"lowerBound": repr(e.low), "upperBound": repr(e.high)}
        named["confidenceInterval"] = ends
    return named


def _named(figure: Figure) -> str:
    return f"{figure.quantity} on {figure.where}" if figure.where else figure.quantity


def _considerations(release: Release, notes: tuple[str, ...]) -> dict[str, Any]:
    """Trade-offs that the verdict tells, and what keeps it from telling more."""
    tradeoffs = [
        f"{finding.outcome}: {finding.subject}, {finding.estimate.value:.4g} against a limit of"
        f" {finding.limit:.4g} (n {finding.estimate.n:,}, {finding.estimate.method})"
        for finding in release.verdict.findings
    ]
    limits = [*release.evidence.get("doubts", ()), *release.evidence["warnings"], *notes]
    found = {"performanceTradeoffs": list(map(printable, tradeoffs))}
    return found | ({"technicalLimitations": list(map(printable, limits))} if limits else {})


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"surefoot:{name}", "value": printable(value)}
