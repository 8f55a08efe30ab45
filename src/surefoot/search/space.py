"""Which recipes there are to try for a model: free moves, then quantisers, then smaller models.

The grammar is that of the field's practice: what costs nothing first (exporter, fusion, runtime),
then eight bits, then fewer layers or channels with distillation, then what of these held, together.
Every idea carries a bound, the least that it could cost if all went as well as arithmetic allows,
so that one that cannot be leaner than what holds already is not tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from surefoot import plugins
from surefoot.core.hashing import hash_json
from surefoot.core.model import Model, StepCall
from surefoot.core.search import Round

Steps = tuple[StepCall, ...]

EIGHT_BITS = 0.25
"""A quantiser's bound: a register holds four 8-bit numbers where it held one of 32 bits."""
QUANTISERS = (
    StepCall(use="quantize_dynamic"),
    StepCall(use="quantize_static"),
    StepCall(use="quantize_nncf"),
)
OPERATORS = StepCall(use="quantize_static", options=(("format", "qoperator"),))
"""For pictures: ONNX Runtime may run integer convolutions faster as operators of their own."""
RATIOS = (0.3, 0.5, 0.7)
"""Shares of the latency that structured pruning takes away."""
LONGEST = 90
"""Letters of a candidate's name; it becomes that of a file."""
IMAGES = (("augment", True), ("batch", 128), ("epochs", 6), ("learning_rate", 0.001))
"""How convolutional nets are distilled: shifted and mirrored pictures, and a higher rate."""
USUAL = "onnxruntime"
"""What runs a graph where nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """A candidate that could be tried."""

    round: Round
    """When."""
    plain: Steps
    """How its weights are made."""
    runtime: str
    """What runs it."""
    bound: float = 0.0
    """The least that it can cost, as a share of the baseline's cost."""

    @property
    def steps(self) -> Steps:
        """How it is made; a runtime that is not the usual one of its format is a step."""
        if self.runtime == USUAL:
            return self.plain
        return (*self.plain, StepCall(use="set_runtime", options=(("runtime", self.runtime),)))

    @property
    def uses(self) -> set[str]:
        """The steps by name."""
        return {call.use for call in self.plain}

    @property
    def name(self) -> str:
        """`drop_layers 3 + distill + quantize_nncf, openvino`."""
        words = [_words(call) for call in self.plain]
        told = " + ".join(word for word in words if word != "export_onnx") or "export_onnx"
        if len(told) > LONGEST:
            told = f"{told[: LONGEST - 9]}~{hash_json(asdict(self)['plain'])[:8]}"
        return f"{told}, {self.runtime}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The recipes for one baseline."""

    baseline: Model
    """What they start from."""
    labelled: bool
    """Whether there are training rows."""
    allowed: tuple[StepCall, ...] = ()
    """The only steps to use, with options that win over the grammar's; empty: all."""

    def free(self) -> list[Idea]:
        """The model as it is, in every form and runtime that costs nothing but a try."""
        ideas = [
            Idea(round="free", plain=steps, runtime=runtime)
            for steps in self._graphs()
            if self._usable(steps)
            for runtime in self._runtimes(steps)
        ]
        return [idea for idea in ideas if idea.steps]  # with no step it is the baseline

    def quantised(self, graphs: Iterable[tuple[Steps, float]]) -> list[Idea]:
        """Eight bits on top of graphs, of each with its cost.

        Args:
            graphs: Steps that end in an ONNX graph, and the least that they cost in any runtime.
        """
        ideas = []
        for steps, cost in graphs:
            for quantiser in self._quantisers():
                made = (*steps, quantiser)
                ideas += self._ideas("quantise", made, cost * EIGHT_BITS)
        return ideas

    def shrunk(self, cost: float) -> list[Idea]:
        """Smaller models, distilled from the baseline where there are rows to learn from.

        Args:
            cost: What the leanest form of the whole model costs.
        """
        smaller = list(self._smaller())
        # What holds without distillation, or is not lean enough, need not be distilled.
        taught = [(s, share) for s, share in smaller if s[-1].use not in _WHOLE and self.labelled]
        made = [*smaller, *(((*steps, self._distill()), share) for steps, share in taught)]
        return [
            idea
            for steps, share in made
            for idea in self._ideas(
                "shrink", self._exported(steps), cost * self._least(steps, share)
            )
        ]

    def combined(self, smaller: Iterable[tuple[Steps, float]], factor: float) -> list[Idea]:
        """Eight bits on top of smaller models.

        Args:
            smaller: Steps of those that held, and what each costs.
            factor: How far eight bits lowered the cost of the whole model, at best.
        """
        ideas = []
        for steps, cost in smaller:
            for quantiser in self._quantisers():
                made = (*steps, quantiser)
                ideas += self._ideas("combine", made, cost * factor)
            trained = tuple(call for call in steps if call.use != "export_onnx")
            if self.labelled and len(trained) < len(steps):
                made = (*trained, StepCall(use="finetune_quantized"))
                ideas += self._ideas("combine", made, cost * factor)
        return ideas

    def repaired(self, cheap: Iterable[tuple[Steps, float]]) -> list[Idea]:
        """What may win back the answers that a quantiser lost.

        Args:
            cheap: Steps that end in a quantiser and lost too much, and what each costs.
        """
        ideas = []
        for steps, cost in cheap:
            *before, _ = steps
            repairs = [(*before, StepCall(use="quantize_mixed"))]
            repairs += [(*steps, StepCall(use="refit_head"))] if self.labelled else []
            for made in repairs:
                ideas += self._ideas("combine", made, cost)
        return ideas

    def _ideas(self, turn: Round, steps: Steps, bound: float) -> list[Idea]:
        if not self._usable(steps):
            return []
        return [
            Idea(round=turn, plain=self._given(steps), runtime=runtime, bound=bound)
            for runtime in self._runtimes(steps)
        ]

    def _graphs(self) -> Iterator[Steps]:
        """Every way to an ONNX graph of the whole model, the plain one first."""
        if self.baseline.format == "onnx":
            yield ()
            yield (StepCall(use="fuse_graph"),)
            return
        export = StepCall(use="export_onnx")
        yield (export,)
        # Programs of torch.export are written by one of the two exporters alone.
        if self.baseline.format == "huggingface":
            yield (replace(export, options=(("exporter", "dynamo"),)),)
        if self.baseline.signature.input == "text":
            yield (export, StepCall(use="fuse_graph"))
            yield (export, StepCall(use="bucket_lengths"))

    def _smaller(self) -> Iterator[tuple[Steps, float]]:
        """Steps to a smaller model, and the share of the cost that it could have at best."""
        kind, layers = self.baseline.signature.input, _layers(self.baseline)
        for keep in sorted({layers * 2 // 3, layers // 2, layers // 3} - {0, layers})[::-1]:
            yield (StepCall(use="drop_layers", options=(("keep", keep),)),), keep / layers
        if self.baseline.format in ("huggingface", "pt2"):
            for ratio in RATIOS:
                call = StepCall(use="prune_structured", options=(("ratio", ratio),))
                yield (call,), 1 - ratio
            yield (StepCall(use="low_rank"),), 0.25
        if kind == "text":
            yield (StepCall(use="distill_static"),), 0.0
        if kind == "numeric":
            yield (StepCall(use="distill_trees"),), 0.0

    def _quantisers(self) -> tuple[StepCall, ...]:
        image = self.baseline.signature.input == "image"
        return (*QUANTISERS, OPERATORS) if image else QUANTISERS

    def _distill(self) -> StepCall:
        """Distillation as it is done for the kind of input."""
        image = self.baseline.signature.input == "image"
        return StepCall(use="distill", options=IMAGES if image else ())

    def _exported(self, steps: Steps) -> Steps:
        return steps if gives(self.baseline.format, steps) == "onnx" else (*steps, _EXPORT)

    def _usable(self, steps: Steps) -> bool:
        """Whether all steps are there, allowed, and fit each other."""
        allowed = {call.use for call in self.allowed} | {"export_onnx"}
        if self.allowed and not all(call.use in allowed for call in steps):
            return False
        return gives(self.baseline.format, steps) is not None

    def said(self, step: str) -> Mapping[str, Any]:
        """The options that the plan itself gives to a step."""
        return next((dict(call.options) for call in self.allowed if call.use == step), {})

    def _given(self, steps: Steps) -> Steps:
        """The steps with the plan's own options."""
        given = ({**dict(call.options), **self.said(call.use)} for call in steps)
        return tuple(
            replace(call, options=tuple(sorted(options.items())))
            for call, options in zip(steps, given, strict=True)
        )

    def _least(self, steps: Steps, share: float) -> float:
        """The share of the cost; none is known where the plan says how much is taken away."""
        said = (self.said(call.use).keys() & dict(call.options).keys() for call in steps)
        return 0.0 if any(said) else share

    def _runtimes(self, steps: Steps) -> list[str]:
        """The runtimes on this machine that read what the steps give."""
        format = gives(self.baseline.format, steps)
        fused = any(call.use == "fuse_graph" for call in steps)
        return [
            name
            for name in plugins.names("runtime")
            if format in plugins.module("runtime", name).FORMATS
            and not plugins.missing_library(name)
            and not (fused and name != "onnxruntime")
        ]


_EXPORT = StepCall(use="export_onnx")
_WHOLE = ("distill_static", "distill_trees")
"""Steps that train a model of their own."""


def gives(format: str | None, steps: Sequence[StepCall]) -> str | None:
    """The format that steps end in; None where one is given what it does not take.

    Args:
        format: What they are given.
        steps: The steps.
    """
    known = plugins.names("step")
    for call in steps:
        if call.use not in known or format is None or not plugins.fits(call.use, format):
            return None
        format = plugins.gives(call.use, format)
    return format


def _layers(model: Model) -> int:
    """How many layers a transformer has; 0 where that is not known."""
    file = model.path / "config.json"
    if model.format != "huggingface" or not file.exists():
        return 0
    found = json.loads(file.read_text())
    return int(found.get("num_hidden_layers") or found.get("n_layers") or 0)


def _words(call: StepCall) -> str:
    return " ".join([call.use, *(str(value) for _, value in call.options)])
