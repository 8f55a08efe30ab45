"""A container that serves the bundle."""

from __future__ import annotations

import json

from surefoot.core.errors import ModelError
from surefoot.core.model import BASELINE
from surefoot.core.release import Export, Release, Shipped
from surefoot.report.exports._written import PORT, pins, slug

NEEDED = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "torch": ("torch", "transformers"),
    "sklearn": ("scikit-learn", "skops"),
}
"""The libraries that a runtime takes; those that surefoot takes itself come with it."""


def dockerfile(release: Release, *, base: str = "python:3.11-slim") -> Export:
    """A Dockerfile that serves the bundle with `surefoot serve`, and the versions it was made with.

    It takes `bundle.zip` (`surefoot pack RUN bundle.zip`) and a wheel of surefoot beside it.
    Containers run as nobody and are ready when `/readyz` says so.

    Args:
        release: What is exported.
        base: The image that it starts from.
    """
    if release.candidate.folder is None:
        raise ModelError(
            "the bundle does not hold the model, so there is nothing to serve",
            where=release.candidate.name,
            fix="export the winner, or name the candidate under [serve] in the plan and run it",
        )
    command = ["surefoot", "serve", "/srv/bundle.zip", "--host", "0.0.0.0", "--port", str(PORT)]
    if release.verdict.outcome != "PASS":
        command.append("--force")
    lines = (
        f"# {slug(release.candidate.name)} of bundle {slug(release.key)[:12]}",
        f"# whose verdict is {release.verdict.outcome}",
        f"FROM {base}",
        "WORKDIR /srv",
        "COPY requirements.txt surefoot-*.whl bundle.zip ./",
        'RUN pip install --no-cache-dir -r requirements.txt "$(ls surefoot-*.whl)[serve]"',
        "USER 65534:65534",
        f"EXPOSE {PORT}",
        f"CMD {json.dumps(command)}",
    )
    # What both models run on, at the versions that they were measured with.
    wanted = {name for one in _served(release) for name in NEEDED.get(one.runtime, ())}
    requirements = pins(release, sorted(wanted))
    return Export(
        files={"Dockerfile": "\n".join(lines) + "\n", "requirements.txt": requirements},
        notes=_notes(release),
    )


def _served(release: Release) -> tuple[Shipped, ...]:
    fallback = release.plan.get("serve", {}).get("fallback", BASELINE)
    return (release.candidate, *((release.baseline,) if fallback == BASELINE else ()))


def _notes(release: Release) -> tuple[str, ...]:
    heavy = [one.name for one in _served(release) if one.runtime == "torch"]
    if not heavy:
        return ()
    return (f"{', '.join(heavy)} runs in torch: without a CPU build of it the image is large",)
