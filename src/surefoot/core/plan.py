"""The tables of surefoot.toml as dataclasses; `surefoot.plan` reads and checks them."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surefoot.core.budget import metrics
from surefoot.core.dataset import TaskKind
from surefoot.core.evidence import Budget
from surefoot.core.load import Scenario
from surefoot.core.model import Recipe, StepCall

Table = dict[str, Any]
TIMED_AXES = {"batch": 64, "arrival_rate": 256, "threads": None, "deadline": None}
"""Axes of an envelope that are no shifts, and where they end unless the plan says."""
OWN_SETS = ("train", "selection", "calibration", "out_of_scope", "unlabelled")
"""The sets of `[task]` that are not test sets."""
LABEL_LESS = ("out_of_scope", "unlabelled")
"""Those of them whose labels mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """The `[task]` table."""

    kind: TaskKind
    """The kind of input and output."""
    test: dict[str, Table]
    """Test sets by name, each a source call."""
    train: Table | None = None
    """What steps may learn from."""
    selection: Table | None = None
    """What a search may choose on; a tenth of `train` by default."""
    calibration: Table | None = None
    """What calibration may see; a tenth of `train` by default."""
    out_of_scope: Table | None = None
    """Rows that belong to none of the classes; their source needs no `label`."""
    unlabelled: Table | None = None
    """Rows that steps may distil from without labels; their source needs no `label`."""
    metric: str = "accuracy"
    """The metric that is measured."""
    name: str = "task"
    """A short name for headings."""
    seed: int = 0
    """What the split of `train` starts from."""

    def sources(self) -> dict[str, Table]:
        """Every source call by the name of its set."""
        own = {name: getattr(self, name) for name in OWN_SETS}
        return {name: call for name, call in (own | self.test).items() if call is not None}

    def columns(self) -> dict[str, list[str]]:
        """The numeric columns by test set, where its source names them."""
        return {name: call["columns"] for name, call in self.test.items() if "columns" in call}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """The `[model]` table."""

    path: str
    """A Hugging Face folder, .onnx, .pt2 or .skops file."""
    runtime: str | None = None
    """What runs it; found from its format by default."""
    classes: list[str] | None = None
    """The class name of each output, where the model's own files do not say."""
    tokenizer: str | None = None
    """Text: the tokenizer.json, where it does not lie beside the model."""
    max_length: int | None = None
    """Text: the most tokens of a row."""
    output: typing.Literal["logits", "probabilities"] | None = None
    """What the output columns hold."""
    mean: list[float] | None = None
    """Image: subtracted per channel after scaling to [0, 1]."""
    std: list[float] | None = None
    """Image: divided by per channel."""
    trust: bool = False
    """Whether a pickle or TorchScript file, which can run any code, may be loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePlan:
    """One `[[candidate]]` table."""

    name: str
    """The candidate's name."""
    steps: list[str | Table]
    """Step names, or tables with `use` and the step's options."""
    runtime: str | None = None
    """What runs it; found from the format by default."""
    seed: int = 0
    """What every step that draws at random starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPlan:
    """The `evaluate.latency` table."""

    batch: list[int] = field(default_factory=lambda: [1, 32])
    """Rows per call, one measurement each."""
    calls: int = 800
    """Calls of each candidate at most."""
    seconds: float = 30.0
    """Seconds at most for each batch size, all candidates together."""
    threads: int = 1
    """Threads a runtime may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSearchPlan:
    """The `evaluate.find_slices` table."""

    depth: int = 2
    """How many conditions a slice may join, at most 3."""
    least_rows: int = 50
    """Rows that a slice must have in each half of a test set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """The `[search]` table: surefoot finds the recipes itself."""

    minutes: float = 20.0
    """How long it may take to make and try candidates; what is begun is brought to its end."""
    steps: list[str | Table] = field(default_factory=list)
    """The only steps to use, those with options with these; all by default."""
    worth: float = 0.05
    """The least share by which a further candidate has to be leaner to be worth a try."""
    finalists: int = 3
    """How many candidates at most are judged on the test sets."""
    seed: int = 0
    """What every step that draws at random starts from, and the order of the selection rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """The `[serve.endpoint]` table: how a fallback at an address is asked."""

    protocol: typing.Literal["open_inference", "openai"] = "open_inference"
    """The Open Inference Protocol, version 2, or chat completions as OpenAI has them."""
    model: str | None = None
    """The model's name there."""
    timeout_ms: float = 2000.0
    """An answer that takes longer is none."""
    prompt: str | None = None
    """`openai`: what is asked, with `{classes}` and `{text}` in it; there is a default."""
    logprobs: bool = False
    """`openai`: whether to ask how likely the answer was, which becomes its confidence."""
    api_key_env: str | None = None
    """The environment variable that holds the key; the key itself never stands in a plan."""
    cost: float | None = None
    """What a request costs, in money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """The `[serve]` table: what is promised of the lean model in front of a fallback."""

    candidate: str | None = None
    """The lean model, whose weights go into the bundle; by default the one that passed."""
    between: list[str] = field(default_factory=list)
    """Candidates that are asked in turn after it, before the fallback is."""
    fallback: str = "baseline"
    """Who answers where nobody is sure enough: `baseline`, `abstain` (nobody), or an address."""
    endpoint: EndpointPlan = field(default_factory=EndpointPlan)
    """How a fallback at an address is asked."""
    max_error_over_fallback: float = 0.02
    """The most requests, of all, that it may answer wrong where the fallback would be right."""
    delta: float = 0.1
    """How often such a promise may be broken, over all sets of calibration rows."""
    slices: list[str] = field(default_factory=list)
    """Slices that it is promised for as well."""
    shadow: float = 0.02
    """The share of requests that both models are asked, to see whether the promise still holds."""
    false_alarm: float = 0.05
    """How often safe mode may sound an alarm although nothing has changed."""
    on_alarm: typing.Literal["fallback", "strict"] = "fallback"
    """Whether everything goes to the fallback then, or what is not very sure."""
    batch_variant: bool = False
    """Whether requests may share a call of a model whose answers depend on that, or may."""

    @property
    def remote(self) -> bool:
        """Whether the fallback is at an address."""
        return "://" in self.fallback


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopePlan:
    """One `[[evaluate.envelope]]` table: an axis, and what holds as far as a model holds."""

    axis: str
    """A shift that fits the inputs, or one of `TIMED_AXES`."""
    max_drop: float | None = None
    """Shifts: accuracy may lie below the baseline's on the rows as they came by at most this."""
    at_most: float | None = None
    """The other axes: milliseconds at the 99th percentile; `deadline`: share of late answers."""
    dataset: str | None = None
    """The test set that rows are taken from; the first by default."""
    up_to: int | None = None
    """`batch` and `arrival_rate`: where the axis ends."""
    seconds: float = 20.0
    """Timed axes: seconds at most for each value that is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One `evaluate.load.NAME` table."""

    scenario: Scenario
    """When requests arrive, as MLPerf LoadGen names it."""
    target_qps: float | None = None
    """`server`: requests a second."""
    seconds: float = 30.0
    """How long requests arrive."""
    batch: int | None = None
    """Rows a request; by default 8 for `multi_stream`, 32 for `offline`, else 1."""
    threads: int = 1
    """Threads a runtime may use."""
    url: str | None = None
    """The model at an endpoint of the Open Inference Protocol, version 2, instead of in process."""
    candidate: str | None = None
    """With `url`: the candidate that the endpoint serves."""
    deadlines_ms: list[float] | None = None
    """Deadlines of which the report tells the accuracy; 10 to 500 by default."""

    @property
    def rows(self) -> int:
        """Rows a request."""
        usual = {"multi_stream": 8, "offline": 32}.get(self.scenario, 1)
        return usual if self.batch is None else self.batch

    @property
    def requests(self) -> int | None:
        """How many requests arrive; None where the candidate sets the pace."""
        return None if self.target_qps is None else max(1, round(self.target_qps * self.seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatePlan:
    """The `[evaluate]` table."""

    slices: dict[str, str] = field(default_factory=dict)
    """Slice name to an SQL condition over the columns of the data."""
    class_slices: bool = False
    """Whether every class of a test set is a slice too, called `class=NAME`."""
    find_slices: bool | Table = False
    """Whether to look for slices that nobody declared; a table has `depth` and `least_rows`."""
    shifts: list[str | Table] = field(default_factory=list)
    """Shifts that every test set is measured under too: names, or tables with a `severity`."""
    checks: list[str | Table] = field(default_factory=list)
    """Behaviour checks of every candidate: names, or tables with `use` and the check's options."""
    check_rows: int = 1000
    """Rows that checks ask about, drawn from all test sets; a small limit takes many."""
    seeds: int = 1
    """How often a candidate with a step that draws at random is made, each with its own seed."""
    batch: int = 32
    """Rows per call while cells are filled."""
    processes: int | None = None
    """Processes that fill cells; by default one for each CPU, as far as memory allows."""
    evidence: typing.Literal["rows", "hashed"] = "rows"
    """Whether a bundle names rows by id, label and answer, or by salted hashes of them."""
    latency: LatencyPlan = field(default_factory=LatencyPlan)
    """How latency is measured."""
    envelope: list[EnvelopePlan] = field(default_factory=list)
    """Axes along which it is found how far the baseline and the candidates hold."""
    load: dict[str, LoadPlan] = field(default_factory=dict)
    """Loads by name, under which latency is measured too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole plan; every path in it is absolute."""

    path: Path
    """The file it was read from."""
    task: TaskPlan
    """What the model must do."""
    model: ModelPlan
    """The baseline."""
    recipes: tuple[Recipe, ...]
    """The candidates' recipes."""
    runtimes: Mapping[str, str | None]
    """Candidate name to the runtime it asks for."""
    evaluate: EvaluatePlan
    """What is measured."""
    shifts: tuple[StepCall, ...]
    """What every test set is measured under too."""
    checks: tuple[StepCall, ...]
    """What every candidate's behaviour is checked for."""
    budgets: tuple[Budget, ...]
    """What has to hold."""
    text: str
    """The file's own words, for the bundle, and what overrode them as comments."""
    search: SearchPlan | None = None
    """How to find more candidates; None where the plan does not ask for it."""
    search_steps: tuple[StepCall, ...] = ()
    """The steps that a search may use; empty: all."""
    serve: ServePlan = field(default_factory=ServePlan)
    """What is to be promised of what is served."""

    def resolved(self) -> Table:
        """The plan as plain JSON-able data: defaults filled in, paths as seen from its folder."""
        plain = dataclasses.asdict(self)
        del plain["text"], plain["path"]
        task = plain["task"]
        for table in (plain["model"], *(task[n] or {} for n in OWN_SETS), *task["test"].values()):
            for key in ("path", "tokenizer"):
                if table.get(key):
                    table[key] = self.shown(Path(table[key]))
        steps = [call for recipe in plain["recipes"] for call in recipe["steps"]]
        for call in (*steps, *plain["search_steps"]):
            call["options"] = tuple((key, self._shown(value)) for key, value in call["options"])
        return plain

    def _shown(self, value: Any) -> Any:
        """An option of a step; one that names a file was put into the plan's folder."""
        inside = isinstance(value, str) and value.startswith(f"{self.path.parent}{os.sep}")
        return self.shown(Path(value)) if inside else value

    def metrics(self) -> tuple[str, ...]:
        """The metrics that have to be measured: the task's own first, then those of budgets."""
        return metrics(self.budgets, self.task.metric, [call.use for call in self.checks])

    def slice_search(self) -> SliceSearchPlan | None:
        """How to look for slices that nobody declared; None where the plan does not ask for it."""
        asked = self.evaluate.find_slices
        return SliceSearchPlan(**({} if asked is True else asked)) if asked is not False else None

    def shown(self, path: Path) -> str:
        """A path as seen from the plan's folder: where that folder lies must not matter."""
        return Path(os.path.relpath(path, self.path.parent)).as_posix()

    def files(self) -> tuple[Path, ...]:
        """Every file and folder of data that the plan reads; a model's depend on its format."""
        calls = self.task.sources().values()
        return tuple(dict.fromkeys(Path(str(c["path"])) for c in calls if "path" in c))
