"""Every Eval Ever: one aggregate JSON record, and the answers example by example if asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from surefoot.core.release import Export, Figure, Release
from surefoot.core.within import within
from surefoot.report.exports._written import bounded, id_of, json_text, slug

VERSION = "0.3.0"
"""The version of the schemas `eval.schema.json` and `instance_level_eval.schema.json`."""
_ENDS: dict[str, tuple[float, float | None]] = {
    "accuracy": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "auc": (0.0, 1.0),
    "out_of_scope_auc": (0.0, 1.0),
    "ece": (0.0, 1.0),
}
_ENDS |= {"aurc": (0.0, 1.0), "brier": (0.0, 2.0), "log_loss": (0.0, None)}
"""The least and the largest value of a metric; None where it has none."""
_UNITS = {"p50_ms": "ms", "p99_ms": "ms", "size_mb": "MB", "memory_mb": "MB"}


def every_eval_ever(
    release: Release,
    *,
    model_id: str | None = None,
    organisation: str = "unknown",
    relationship: str = "other",
    samples: bool = False,
) -> Export:
    """A record of Every Eval Ever, schema 0.3.0, in the folders of its data store.

    A number without two finite ends of its interval is left out and named.

    Args:
        release: The candidate.
        model_id: The model's id, `OWNER/NAME` on the Hugging Face Hub; by default its name alone.
        organisation: Who evaluated.
        relationship: Of the evaluator to the model: `first_party`, `third_party`, `collaborative`
            or `other`.
        samples: Whether to write the answers example by example as well, with ids and labels. No
            inputs: the bundle has none.
    """
    name = model_id or release.candidate.name
    figures, notes = bounded(release)
    record = _record(release, name, figures)
    record["source_metadata"] = {
        "source_name": "surefoot bundle",
        "source_type": "evaluation_run",
        "source_organization_name": organisation,
        "evaluator_relationship": relationship,
        "additional_details": {"bundle_key": release.key},
    }
    developer, _, short = name.rpartition("/")
    folder = f"data/{slug(release.task)}/{slug(developer or 'unknown')}/{slug(short)}"
    path = f"{folder}/{id_of(release, 'every_eval_ever')}"
    files: dict[str, str] = {}
    if samples:
        text = "".join(_samples(release, record["evaluation_id"], name))
        files[f"{path}_samples.jsonl"] = text
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{path}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": _sha256(text),
            "total_rows": text.count("\n"),
        }
    return Export(files={f"{path}.json": json_text(record), **files}, notes=notes)


def _record(release: Release, name: str, figures: tuple[Figure, ...]) -> dict[str, Any]:
    at = f"{release.exported_at:.0f}"
    model, verdict = release.candidate, release.verdict
    details = {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",
        "surefoot_candidate": model.name,
        "surefoot_fingerprint": model.fingerprint,
        "surefoot_recipe": json.dumps([[use, dict(options)] for use, options in model.steps]),
        "surefoot_baseline_fingerprint": release.baseline.fingerprint,
        "surefoot_verdict": verdict.outcome,
    }
    libraries: Mapping[str, Any] = release.environment.get("libraries", {})
    engine = {"name": model.runtime}
    if libraries.get(model.runtime):
        engine["version"] = str(libraries[model.runtime])
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{slug(release.task)}/{name}/{at}",
        "retrieved_timestamp": at,
        "source_metadata": {},
        "eval_library": {"name": "surefoot", "version": release.library},
        "model_info": {
            "name": model.name,
            "id": name,
            "inference_engine": engine,
            "additional_details": details,
        },
        "evaluation_results": [_result(figure, release) for figure in figures],
    }


def _result(figure: Figure, release: Release) -> dict[str, Any]:
    e, (least, most) = figure.estimate, _ENDS.get(figure.quantity, (0.0, None))
    config: dict[str, Any] = {
        "metric_id": figure.quantity,
        "metric_name": figure.quantity,
        "lower_is_better": figure.lower_is_better,
        "score_type": "continuous",
        "min_score": least,
        "max_score": "Infinity" if most is None else most,
    }
    if figure.quantity in _UNITS:
        config["metric_unit"] = _UNITS[figure.quantity]
    uncertainty: dict[str, Any] = {
        "confidence_interval": {
            "lower": e.low,
            "upper": e.high,
            "confidence_level": e.level,
            "method": e.method,
        },
        "num_samples": e.n,
    }
    score: dict[str, Any] = {"score": e.value}
    if e.method != "exact":
        score["uncertainty"] = uncertainty
    return {
        "evaluation_result_id": _result_id(figure),
        "evaluation_name": figure.where or release.task,
        "source_data": {
            "dataset_name": figure.dataset or release.task,
            "source_type": "other",
            "additional_details": _source(figure, release),
        },
        "metric_config": config,
        "score_details": score,
    }


def _result_id(figure: Figure) -> str:
    return f"{figure.quantity} on {figure.where}" if figure.where else figure.quantity


def _source(figure: Figure, release: Release) -> dict[str, str]:
    used = next((d for d in release.data if d.name == figure.dataset), None)
    found = {} if used is None or not used.fingerprint else {"fingerprint": used.fingerprint}
    if figure.slice is not None:
        found["slice"] = figure.slice
    if figure.shift:
        found |= {"shift": figure.shift, "severity": f"{figure.severity:g}"}
    return found


def _samples(release: Release, evaluation: str, name: str) -> Iterator[str]:
    """A record for each row of each test set as it came, by the cells of the candidate."""
    import duckdb

    for used in release.data:
        path = within(release.cells, f"{used.name}.parquet")
        if used.role != "test" or not path.is_file():
            continue
        with duckdb.connect(":memory:") as connection:
            found = connection.from_parquet(str(path)).fetchnumpy()
        correct = np.asarray(found["correct"], dtype=bool)
        for row in range(len(correct)):
            record = _sample(found, row, correct=bool(correct[row]))
            record |= {
                "schema_version": VERSION,
                "evaluation_id": evaluation,
                "model_id": name,
                "evaluation_name": used.name,
                "evaluation_result_id": f"accuracy on {used.name}",
            }
            yield json_text(record, indent=None)


def _sample(found: Mapping[str, Any], row: int, *, correct: bool) -> dict[str, Any]:
    answer = _text(found, "predicted", row)
    attribution = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": answer,
        "extraction_method": "argmax",
        "is_terminal": True,
    }
    return {
        "sample_id": _text(found, "id", row),
        "interaction_type": "single_turn",
        "input": {"raw": "", "reference": [_text(found, "label", row)]},
        "output": {"raw": [answer]},
        # Where the bundle holds outcomes alone nobody may count answers that changed.
        "answer_attribution": [attribution] if answer else [],
        "evaluation": {"score": float(correct), "is_correct": correct},
    }


def _text(found: Mapping[str, Any], column: str, row: int) -> str:
    """A value of a column; empty where the bundle holds outcomes alone."""
    return str(found[column][row]) if column in found else ""


def _sha256(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
