"""Says in which runtime a model runs, on how many threads, and how far its graph is rewritten."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from surefoot import plugins
from surefoot.compress.steps._copies import copy_weights, seal_copy
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError, nearest
from surefoot.core.model import Model, Settings
from surefoot.models import own_runtime, runtimes_for
from surefoot.models.settings import write

NEEDS = ()
GIVES = None
SETS_RUNTIME = True


def set_runtime(
    model: Model,
    task: Task,
    folder: Path,
    *,
    runtime: str | None = None,
    threads: int | None = None,
    graph_level: Literal["none", "basic", "extended", "all"] | None = None,
) -> Model:
    """Says in which runtime a model runs, on how many threads, and how far its graph is rewritten.

    The weights stay as they are. What is left out stays as it was; steps that follow keep it.

    Args:
        model: A model of any format.
        task: Not used.
        folder: Where the new model goes.
        runtime: The runtime; one that reads the model.
        threads: Threads inside an operator, whatever the plan says of threads elsewhere.
        graph_level: How far ONNX Runtime may rewrite the graph; `all` where nothing is said.

    Raises:
        ModelError: Nothing is set or changed, or the runtime cannot do it.
    """
    asked = {"runtime": runtime, "threads": threads, "graph_level": graph_level}
    given = {key: value for key, value in asked.items() if value is not None}
    settings = replace(model.settings, **given)  # type: ignore[arg-type]
    if settings == model.settings:
        raise ModelError(
            "step 'set_runtime' changes nothing", fix=f"give one of {', '.join(asdict(settings))}"
        )
    _check(settings, model)
    copy_weights(model, folder)
    write(settings, folder)
    return seal_copy(model, folder, "set_runtime", model.signature)


def _check(settings: Settings, model: Model) -> None:
    name = settings.runtime
    able = runtimes_for(model.format)
    if name is not None and name not in able:
        raise ModelError(
            f"step 'set_runtime': runtime '{name}' does not read {model.format}",
            where=model.name,
            fix=nearest(name, able),
        )
    if settings.threads is not None and settings.threads < 1:
        raise ModelError(f"step 'set_runtime': threads is {settings.threads}", fix="1 or more")
    name = own_runtime(replace(model, settings=settings))
    levels = getattr(plugins.module("runtime", name), "GRAPH_LEVELS", ())
    if settings.graph_level is not None and settings.graph_level not in levels:
        raise ModelError(
            f"step 'set_runtime': {name} has no graph level '{settings.graph_level}'",
            where=model.name,
            fix="leave graph_level out",
        )
