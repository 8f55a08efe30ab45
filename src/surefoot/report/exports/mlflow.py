"""MLflow: a model folder with the ONNX flavour, and a run logged at a tracking server."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from surefoot.core.errors import PluginError
from surefoot.core.extras import require
from surefoot.core.printable import printable
from surefoot.core.release import Export, Release
from surefoot.report.exports._tensors import Tensor, held, onnx_tensors
from surefoot.report.exports._written import basis, bounded, id_of, pins, slug, yaml_text

_NUMPY = {
    "BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "str",
}  # fmt: skip
"""MLflow's names of types where they differ by more than their case."""
_AT_ONCE = 500
"""Metrics in one request; MLflow takes 1,000 entries."""
_LONGEST = 500
"""Characters of a parameter or tag: what every version of MLflow takes."""


def mlflow(
    release: Release, *, tracking_uri: str | None = None, experiment: str = "surefoot"
) -> Export:
    """An MLflow model folder without pickle or Python code, and a logged run if asked for.

    An ONNX file gets an `MLmodel` with the ONNX flavour, which `mlflow.onnx.load_model` reads;
    other models are plain files. The run holds each number with the ends of its interval and its
    n as metrics of their own, the recipe as parameters, and the verdict as a tag.

    Args:
        release: The candidate.
        tracking_uri: The server to log a run at, for example `http://127.0.0.1:5000`.
        experiment: The experiment of that run; made where it is missing.
    """
    model = release.candidate
    folder = held(model)
    notes: tuple[str, ...] = ()
    files: dict[str, str | Path] = {name: folder / name for name in model.files}
    if model.format == "onnx":
        files |= {"MLmodel": yaml_text(_described(release))}
        files |= {"requirements.txt": pins(release, ("onnx", "onnxruntime"))}
    else:
        notes = (*notes, f"a {model.format} model is written as plain files, without an MLmodel")
    if tracking_uri is not None:
        with redirect_stdout(sys.stderr):  # where the run can be seen is no result of ours
            run = _log(release, files, tracking_uri, experiment)
        notes = (
            *notes,
            *bounded(release)[1],
            f"logged as run {run} of the experiment '{experiment}'",
        )
    return Export(files=files, notes=notes)


def _described(release: Release) -> dict[str, Any]:
    """The content of `MLmodel`."""
    model = release.candidate
    inputs, outputs = onnx_tensors(model)
    at = datetime.fromtimestamp(release.exported_at, UTC).replace(tzinfo=None)
    return {
        "flavors": {
            "onnx": {
                "data": model.file,
                "onnx_version": str(
                    release.environment.get("libraries", {}).get("onnx") or "unknown"
                ),
                "providers": ["CPUExecutionProvider"],
            }
        },
        "metadata": {"surefoot": _told(release)},
        "model_size_bytes": model.size_bytes,
        "model_uuid": id_of(release, "mlflow").hex,
        "signature": {"inputs": _spec(inputs), "outputs": _spec(outputs), "params": None},
        "utc_time_created": at.isoformat(sep=" ", timespec="microseconds"),
    }


def _spec(tensors: tuple[Tensor, ...]) -> str:
    """A signature, which MLflow keeps as JSON within YAML."""
    return json.dumps(
        [
            {
                "name": tensor.name,
                "type": "tensor",
                "tensor-spec": {
                    "dtype": _NUMPY.get(tensor.datatype, tensor.datatype.lower()),
                    "shape": list(tensor.shape),
                },
            }
            for tensor in tensors
        ]
    )


def _told(release: Release) -> dict[str, str]:
    """What a reader of a run or of a model folder has to know."""
    return {
        "verdict": release.verdict.outcome,
        "bundle_key": release.key,
        "candidate": printable(release.candidate.name),
        "fingerprint": release.candidate.fingerprint,
        "baseline_fingerprint": release.baseline.fingerprint,
        "library": f"surefoot {release.library}",
    }


def _log(release: Release, files: Mapping[str, str | Path], uri: str, experiment: str) -> str:
    """Log a run; gives its id."""
    library = require("mlflow", extra="mlflow", error=PluginError)
    entities = require("mlflow.entities", extra="mlflow", error=PluginError)
    failure = require("mlflow.exceptions", extra="mlflow", error=PluginError).MlflowException
    _check_reached(uri)
    try:
        client = library.MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        where = client.create_experiment(experiment) if found is None else found.experiment_id
        run = client.create_run(where, run_name=slug(release.candidate.name)).info.run_id
        now = int(time.time() * 1000)
        metrics = [entities.Metric(key, value, now, 0) for key, value in _metrics(release)]
        for start in range(0, len(metrics), _AT_ONCE):
            client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])
        client.log_batch(
            run,
            params=[entities.Param(key, value[:_LONGEST]) for key, value in _params(release)],
            tags=[entities.RunTag(f"surefoot.{k}", v) for k, v in _told(release).items()],
        )
        for name, content in files.items():
            _log_file(client, run, name, content)
        client.set_terminated(run)
    except failure as error:
        why = printable(str(error).partition("\n")[0])
        raise PluginError(f"MLflow did not take the run: {why}", where=uri) from error
    return str(run)


def _log_file(client: Any, run: str, name: str, content: str | Path) -> None:
    if isinstance(content, str):
        client.log_text(run, content, f"model/{name}")
    else:
        folder = f"model/{name}".rpartition("/")[0]
        client.log_artifact(run, str(content), folder)


def _check_reached(uri: str) -> None:
    """Say at once that nobody answers; MLflow's own retries take minutes to."""
    try:
        parts = urlsplit(uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise PluginError(f"is no address: {error}", where=uri) from error
    if parts.scheme not in ("http", "https"):
        raise PluginError("is no http address of an MLflow server", where=uri)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except (OSError, UnicodeError) as error:  # the latter: a name that no host can have
        raise PluginError(
            f"no MLflow server answers: {error}", where=uri, fix="start it, or correct tracking_uri"
        ) from error


def _metrics(release: Release) -> Iterator[tuple[str, float]]:
    for figure in bounded(release)[0]:
        e = figure.estimate
        timed = figure.batch is not None and figure.load is None
        where = f"batch_{figure.batch}" if timed else figure.where
        key = "/".join(slug(part) for part in (figure.quantity, where) if part)
        yield key, e.value
        if e.method != "exact":
            yield from ((f"{key}/low", e.low), (f"{key}/high", e.high), (f"{key}/n", float(e.n)))


def _params(release: Release) -> Iterator[tuple[str, str]]:
    model = release.candidate
    yield "runtime", model.runtime
    yield "seed", str(model.seed)
    for position, (use, options) in enumerate(model.steps, 1):
        yield f"step_{position}", printable(f"{use} {json.dumps(dict(options))}")
    methods = dict.fromkeys(f"{f.quantity}: {basis(f)}" for f in bounded(release)[0])
    yield "basis", printable("; ".join(methods))
