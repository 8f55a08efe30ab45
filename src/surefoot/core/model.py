"""A model on disk, and how a recipe makes one from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from surefoot.core.dataset import TaskKind

BASELINE = "baseline"
"""The name of the model that candidates are made from and compared with."""
InputKind = Literal["text", "image", "numeric"]
OutputKind = Literal["logits", "probabilities"]
INPUTS: dict[TaskKind, InputKind] = {
    "text-classification": "text",
    "image-classification": "image",
    "tabular-classification": "numeric",
}
"""The input of each kind of task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What goes into a model and what comes out; lies beside the weights as `signature.json`."""

    input: InputKind
    """The kind of raw input."""
    classes: tuple[str, ...]
    """The class name of each output column."""
    output: OutputKind = "logits"
    """What the output columns hold; surefoot hands out probabilities in either case."""
    tensors: tuple[str, ...] = ()
    """Names of the input tensors, in the model file's order; empty where the format has none."""
    max_length: int | None = None
    """Text: the most tokens a row may have; longer rows are cut."""
    lengths: tuple[int, ...] = ()
    """Text: a call's rows are padded to the least of these that they fit; empty: no further."""
    width: int | None = None
    """Numeric: the number of columns of a row."""
    shape: tuple[int, ...] = ()
    """Image: (height, width) or (height, width, channels) of a row as uint8."""
    channels_first: bool = True
    """Image: whether the model takes (n, channels, height, width)."""
    mean: tuple[float, ...] = (0.0,)
    """Image: subtracted per channel after scaling to [0, 1]."""
    std: tuple[float, ...] = (1.0,)
    """Image: divided by per channel after `mean`."""


GraphLevel = Literal["none", "basic", "extended", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a model wants to be run; lies beside the weights as `runtime.json`."""

    runtime: str | None = None
    """The plugin in `models/runtimes/` that runs it; None takes the first that reads its format."""
    threads: int | None = None
    """Threads inside an operator; None leaves it to whoever opens the model."""
    graph_level: GraphLevel | None = None
    """How far the runtime may rewrite the graph; None leaves it to the runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An immutable folder: weights, signature, tokenizer, golden vectors. Steps give a new one."""

    name: str
    """A name for people."""
    format: str
    """The plugin in `models/formats/` that reads it, for example `onnx`."""
    path: Path
    """The folder."""
    file: str
    """The weights inside the folder: a file, or `.` when the folder itself is the model."""
    fingerprint: str
    """SHA-256 over every file of the folder that decides an answer."""
    size_bytes: int
    """What has to be shipped: weights, tokenizer and signature."""
    signature: Signature
    """Inputs and outputs."""
    parent: str | None = None
    """The fingerprint of the model it was made from."""
    settings: Settings = Settings()
    """How it wants to be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """One compression step with its options."""

    use: str
    """The plugin in `compress/steps/`."""
    options: tuple[tuple[str, Any], ...] = ()
    """Its keyword arguments as sorted pairs, so that a recipe can be hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The steps that turn the baseline into a candidate, in order."""

    name: str
    """The candidate's name."""
    steps: tuple[StepCall, ...] = ()
    """Empty for the baseline."""
    seed: int = 0
    """What every step that draws at random starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a candidate cost to make."""

    wall_s: float = 0.0
    """Seconds on the clock."""
    cpu_s: float = 0.0
    """CPU seconds, those of child processes among them."""
    rows: int = 0
    """Rows that were learnt from or calibrated on, a row once for each time it was seen."""
    peak_mb: float = 0.0
    """The most memory that a step took beyond what its process held before, in MB."""
    energy_j: float | None = None
    """Joules of the whole machine meanwhile; None where it does not report them."""


def total_cost(costs: Sequence[Cost]) -> Cost:
    """What steps cost together: sums, and of the memory the most; energy where all report it."""
    energies = [cost.energy_j for cost in costs if cost.energy_j is not None]
    return Cost(
        wall_s=sum(cost.wall_s for cost in costs),
        cpu_s=sum(cost.cpu_s for cost in costs),
        rows=sum(cost.rows for cost in costs),
        peak_mb=max((cost.peak_mb for cost in costs), default=0.0),
        energy_j=sum(energies) if costs and len(energies) == len(costs) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model with the runtime and the recipe that make it up; the baseline has an empty recipe."""

    name: str
    """The name it has in the plan."""
    model: Model
    """The model."""
    runtime: str
    """The plugin in `models/runtimes/` that runs it."""
    recipe: Recipe
    """How it was made."""
    cost: Cost = Cost()
    """What making it cost."""
    step_costs: tuple[Cost, ...] = ()
    """What each step of the recipe cost, whichever candidate it was first done for."""
