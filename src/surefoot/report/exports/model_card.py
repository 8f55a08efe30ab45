"""A Hugging Face model card with its `model-index`, and results in the `.eval_results` layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from surefoot.core.errors import PlanError, nearest
from surefoot.core.printable import printable
from surefoot.core.release import Export, Figure, Release
from surefoot.report.card import card_lines, figure_text
from surefoot.report.exports._written import basis, bounded, slug, yaml_text

_LIBRARIES = {"onnx": "onnx", "huggingface": "transformers", "skops": "sklearn"}
"""The Hub's names of what reads a format."""
_TAGS = {
    "text-classification": "text-classification",
    "image-classification": "image-classification",
    "tabular-classification": "tabular-classification",
}


def model_card(release: Release, *, hub: dict[str, str] | None = None) -> Export:
    """A Hugging Face model card: README.md with `model-index`, and `.eval_results/*.yaml`.

    Nothing is claimed to be verified by Hugging Face. Results in the layout of `.eval_results` need
    a data set on the Hub, which no bundle knows.

    Args:
        release: The candidate.
        hub: By test set, the benchmark on the Hub that it is: `OWNER/NAME` or `OWNER/NAME/TASK`.
    """
    figures, notes = bounded(release)
    named = _named(hub or {}, release)
    matter = yaml_text(_matter(release, figures, named))
    files = {"README.md": "\n".join([f"---\n{matter}---", "", *card_lines(release)])}
    for dataset, benchmark in named.items():
        own = [f for f in figures if f.dataset == dataset and _whole(f, release)]
        if own:
            entries = [_entry(figure, benchmark, release) for figure in own]
            files[f".eval_results/{slug(dataset)}.yaml"] = yaml_text(entries)
    if not named:
        notes = (
            *notes,
            "no .eval_results: --set hub.TEST_SET=OWNER/NAME says which benchmark it is",
        )
    return Export(files=files, notes=notes)


def _named(hub: Mapping[str, str], release: Release) -> dict[str, tuple[str, str]]:
    """The benchmark of each test set: its id on the Hub and its task."""
    known = [used.name for used in release.data if used.role == "test"]
    found = {}
    for dataset, text in hub.items():
        if dataset not in known:
            raise PlanError(f"hub.{dataset}: no such test set; {nearest(dataset, known)}")
        owner, _, rest = text.partition("/")
        name, _, task = rest.partition("/")
        if not owner or not name or "/" in task:
            raise PlanError(
                f"hub.{dataset}: should be OWNER/NAME or OWNER/NAME/TASK, found '{text}'"
            )
        found[dataset] = (f"{owner}/{name}", task or "default")
    return found


def _whole(figure: Figure, release: Release) -> bool:
    """Whether a figure is the task's metric on a whole test set as it came."""
    return figure.quantity == release.metric and figure.slice is None and not figure.shift


def _matter(
    release: Release, figures: tuple[Figure, ...], named: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """The metadata at the head of the card."""
    model = release.candidate
    matter: dict[str, Any] = {
        "pipeline_tag": _TAGS[release.kind],
        "tags": ["surefoot", *(slug(use) for use, _ in model.steps)],
        "metrics": list(dict.fromkeys(f.quantity for f in figures if f.dataset is not None)),
        "model-index": [
            {"name": printable(model.name), "results": list(_results(release, figures, named))}
        ],
    }
    if model.format in _LIBRARIES:
        matter = {"library_name": _LIBRARIES[model.format], **matter}
    return matter


def _results(
    release: Release, figures: tuple[Figure, ...], named: Mapping[str, tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """A result for each place: its data set, and the metrics there with their intervals."""
    places = dict.fromkeys(f.where for f in figures if f.dataset is not None)
    fingerprints = {used.name: used.fingerprint for used in release.data}
    for where in places:
        here = [f for f in figures if f.where == where and f.dataset is not None]
        name = str(here[0].dataset)
        args: dict[str, Any] = {"surefoot_rows_fingerprint": fingerprints.get(name)}
        args |= {"slice": here[0].slice, "shift": here[0].shift or None}
        args |= {"severity": here[0].severity if here[0].shift else None}
        yield {
            "task": {"type": _TAGS[release.kind], "name": printable(release.task)},
            "dataset": {
                "name": printable(where),
                "type": named[name][0] if name in named else slug(name),
                # Two places of one data set are told apart by it, as readers take them together.
                "config": slug(where),
                "split": "test",
                "args": {key: value for key, value in args.items() if value is not None},
            },
            "metrics": list(map(_metric, here)),
        }


def _metric(figure: Figure) -> dict[str, Any]:
    e = figure.estimate
    return {
        "type": figure.quantity,
        "value": e.value,
        "name": f"{figure.quantity} {figure_text(figure)} ({basis(figure)})",
        "args": {
            "confidence_interval": {
                "low": e.low, "high": e.high, "level": e.level, "method": e.method, "n": e.n,
            }
        },
    }  # fmt: skip


def _entry(figure: Figure, benchmark: tuple[str, str], release: Release) -> dict[str, Any]:
    """A result as `.eval_results` holds it: no token of verification, since nobody verified."""
    return {
        "dataset": {"id": benchmark[0], "task_id": benchmark[1]},
        "value": figure.estimate.value,
        "notes": printable(
            f"{figure.quantity} {figure_text(figure)} ({basis(figure)}); surefoot"
            f" {release.library}, verdict {release.verdict.outcome}, bundle {release.key[:16]}"
        ),
    }
