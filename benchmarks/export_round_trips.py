"""Every export through the reader or validator of its own ecosystem: a row each.

    python benchmarks/export_round_trips.py BUNDLE [--schemas FOLDER] [--mlflow URI]

It needs what it tries: huggingface_hub, cyclonedx-python-lib[json-validation], mlcroissant, mlflow
with onnx. FOLDER holds `eval.schema.json` and `instance_level_eval.schema.json` as the package
every-eval-ever ships them (its wheel is a zip file); URI is an MLflow server that runs. What is not
there is said, and the exit code is 1 if anything that was tried did not fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from surefoot.bundle import open_bundle, read_bundle
from surefoot.core.release import Release
from surefoot.evaluate.outputs.logged import compare_outputs
from surefoot.report.export import write_export
from surefoot.report.release import read_release

Tried = tuple[str, str]
"""What read it, and what came back."""


class AbsentError(Exception):
    """What is tried is not here."""


def model_card(release: Release, folder: Path, _: argparse.Namespace) -> Tried:
    """The card and its results, read by huggingface_hub."""
    import yaml
    from huggingface_hub import ModelCard, parse_eval_result_entries

    named = {used.name: "owner/benchmark" for used in release.data if used.role == "test"}
    write_export("model_card", release, folder, {"hub": named})
    results = ModelCard.load(folder / "README.md").data.eval_results
    figures = {f.where + f.quantity: f for f in release.of(release.candidate) if f.dataset}
    for result in results:
        figure = figures[result.dataset_name + result.metric_type]
        ends = result.metric_args["confidence_interval"]
        assert (result.metric_value, ends["low"]) == (figure.estimate.value, figure.estimate.low)
        assert result.verified is None
    files = sorted((folder / ".eval_results").glob("*.yaml"))
    entries = [e for f in files for e in parse_eval_result_entries(yaml.safe_load(f.read_text()))]
    assert len(entries) == len(files) == len(named)
    return library("huggingface_hub"), f"{len(results)} results, {len(entries)} entries"


def every_eval_ever(release: Release, folder: Path, given: argparse.Namespace) -> Tried:
    """The records by the published schemas."""
    import jsonschema

    if given.schemas is None:
        raise AbsentError("--schemas")
    write_export("every_eval_ever", release, folder, {"samples": True})
    names = ("eval", "instance_level_eval")
    aggregate, instance = (
        jsonschema.Draft7Validator(json.loads((given.schemas / f"{name}.schema.json").read_text()))
        for name in names
    )
    (record,) = folder.rglob("*.json")
    (samples,) = folder.rglob("*.jsonl")
    aggregate.validate(json.loads(record.read_text()))
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    for row in rows:
        instance.validate(row)
    version = aggregate.schema["version"]
    return f"schemas {version}", f"1 record, {len(rows):,} samples valid"


def compare(release: Release, folder: Path, given: argparse.Namespace) -> Tried:
    """The records of two candidates, read by `surefoot compare`, against the bundle's cells."""
    with open_bundle(given.bundle) as bundle:
        names = [verdict.candidate for verdict in read_bundle(bundle).verdicts]
    others = [name for name in names if name != release.candidate.name]
    if not others:
        raise AbsentError("a second candidate")
    with open_bundle(given.bundle) as bundle:
        other = read_release(bundle, others[0])
        for one in (release, other):
            cells = replace(one, cells=bundle / "cells" / one.candidate.name)
            write_export("every_eval_ever", cells, folder / one.candidate.name, {"samples": True})
    paths = [next((folder / name).rglob("*.json")) for name in (release.candidate.name, others[0])]
    (paired,) = compare_outputs(*paths, metric=None, slices=(), group=None).evidence.paired
    for one, value in ((release, paired.baseline), (other, paired.value)):
        shares = [
            f.estimate.value * f.estimate.n
            for f in one.of(one.candidate)
            if f.quantity == "accuracy" and f.slice is None and not f.shift
        ]
        assert abs(sum(shares) - value * paired.n) < 1e-6
    return "surefoot compare", f"{paired.n:,} rows, {paired.lost} lost, {paired.won} won"


def cyclonedx(release: Release, folder: Path, _: argparse.Namespace) -> Tried:
    """The bill of materials, by the strict JSON validator of CycloneDX 1.6."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    out = folder.with_suffix(".json")
    write_export("cyclonedx", release, out, {})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(out.read_text()) is None
    model = json.loads(out.read_text())["metadata"]["component"]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    return library("cyclonedx-python-lib"), f"valid, {len(metrics)} performance metrics"


def croissant(release: Release, folder: Path, given: argparse.Namespace) -> Tried:
    """The metadata, read by mlcroissant."""
    import mlcroissant

    out = folder.with_suffix(".json")
    options = {} if given.data is None else {"data": str(given.data)}
    write_export("croissant", release, out, options)
    found = mlcroissant.Dataset(jsonld=out).metadata
    assert not found.ctx.issues.errors
    fields = sum(len(one.fields) for one in found.record_sets)
    warned = len(found.ctx.issues.warnings)
    told = f"{len(found.record_sets)} record sets, {fields} fields, 0 errors, {warned} warnings"
    return library("mlcroissant"), told


def mlflow_folder(release: Release, folder: Path, _: argparse.Namespace) -> Tried:
    """The model folder, loaded by the ONNX flavour of MLflow."""
    import mlflow.onnx

    write_export("mlflow", release, folder, {})
    inputs = mlflow.onnx.load_model(str(folder)).graph.input
    signature = mlflow.models.get_model_info(str(folder)).signature
    assert [i.name for i in inputs] == [i.name for i in signature.inputs]
    return library("mlflow"), f"loaded, inputs {', '.join(i.name for i in inputs)}"


def mlflow_server(release: Release, folder: Path, given: argparse.Namespace) -> Tried:
    """A run logged at a server, read back, and its model loaded from there."""
    import mlflow.onnx

    if given.mlflow is None:
        raise AbsentError("--mlflow")
    export = write_export("mlflow", release, folder, {"tracking_uri": given.mlflow})
    run = next(n.split()[3] for n in export.notes if n.startswith("logged as run"))
    mlflow.set_tracking_uri(given.mlflow)
    found = mlflow.MlflowClient().get_run(run)
    assert found.info.status == "FINISHED"
    assert found.data.tags["surefoot.verdict"] == release.verdict.outcome
    values = [f.estimate.value for f in release.of(release.candidate) if f.bounded]
    assert set(values) <= set(found.data.metrics.values())
    mlflow.onnx.load_model(f"runs:/{run}/model")
    return f"{library('mlflow')} server", f"{len(found.data.metrics)} metrics, model loaded"


def open_inference(release: Release, folder: Path, _: argparse.Namespace) -> Tried:
    """The metadata against the graph of the file, read by onnx."""
    import onnx

    out = folder.with_suffix(".json")
    write_export("open_inference", release, out, {})
    told = json.loads(out.read_text())
    model = release.candidate
    graph = onnx.load(model.folder / model.file, load_external_data=False).graph
    for side, ports in (("inputs", graph.input), ("outputs", graph.output)):
        shapes = {p.name: [d.dim_value or -1 for d in p.type.tensor_type.shape.dim] for p in ports}
        assert {t["name"]: t["shape"] for t in told[side]} == shapes
    shown = ", ".join(f"{t['name']} {t['datatype']} {t['shape']}" for t in told["inputs"])
    return library("onnx"), shown


TRIALS: dict[str, Callable[[Release, Path, argparse.Namespace], Tried]] = {
    "model_card": model_card,
    "every_eval_ever": every_eval_ever,
    "every_eval_ever, read again": compare,
    "cyclonedx": cyclonedx,
    "croissant": croissant,
    "mlflow, folder": mlflow_folder,
    "mlflow, run": mlflow_server,
    "open_inference": open_inference,
}


def library(name: str) -> str:
    """A library with its version."""
    return f"{name} {metadata.version(name)}"


def rows(given: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """What came of each trial."""
    with open_bundle(given.bundle) as bundle, tempfile.TemporaryDirectory() as place:
        release = read_release(bundle)
        for number, (name, trial) in enumerate(TRIALS.items()):
            try:
                reader, found = trial(release, Path(place) / str(number), given)
            except (AbsentError, ImportError, metadata.PackageNotFoundError) as error:
                reader, found = "", f"not tried: {error}"
            except Exception:  # noqa: BLE001  a row for what did not fit, whatever it was
                reader, found = "", f"FAILED: {traceback.format_exc(limit=3)}"
            yield name, reader, found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--schemas", type=Path)
    parser.add_argument("--mlflow")
    parser.add_argument("--data", type=Path, help="the plan's folder, for checksums of its files")
    found = list(rows(parser.parse_args()))
    print("| export | read by | came back |\n|---|---|---|")
    for row in found:
        print(f"| {' | '.join(row)} |")
    return any(row[2].startswith("FAILED") for row in found)


if __name__ == "__main__":
    sys.exit(main())
