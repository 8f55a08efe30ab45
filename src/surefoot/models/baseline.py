"""The baseline: the user's own model, taken in where it lies."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.hashing import hash_arrays
from surefoot.core.model import Candidate, Recipe
from surefoot.core.plan import ModelPlan
from surefoot.models.adopt import adopt, source_files
from surefoot.models.open import own_runtime
from surefoot.models.store import read_model
from surefoot.store import Store


def adopt_baseline(
    options: ModelPlan, task: Task, store: Store, name: str = "baseline"
) -> Candidate:
    """Take the user's model into the store, with its signature and golden vectors.

    Args:
        options: The plan's `[model]` table, its paths absolute.
        task: Gives the kind of input and a few rows for the golden vectors.
        store: Where models are kept.
        name: The name of the baseline.

    Raises:
        ModelError: The model cannot be read, trusted or run.
    """
    path = Path(options.path)

    sample = (task.train or next(iter(task.test.values()))).inputs[:8]

    def write(folder: Path) -> None:
        try:
            adopt(path, folder, name=name, kind=task.kind, options=options, sample=sample)
        except ModelError as error:
            # Where the model is being copied to tells its owner nothing.
            if error.where and error.where.startswith(str(folder)):
                raise ModelError(error.what, where=str(path), fix=error.fix) from error
            raise

    content = [(file.name, store.digest(file)) for file in source_files(path, options)]
    inputs = {**asdict(options), "path": path.name, "tokenizer": None, "kind": task.kind}
    inputs["sample"] = hash_arrays(sample)
    folder = store.make("models", {**inputs, "content": content}, write)
    model = read_model(folder, trust=options.trust)
    runtime = options.runtime or own_runtime(model)
    return Candidate(name=name, model=model, runtime=runtime, recipe=Recipe(name=name))
