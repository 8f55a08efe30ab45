"""Trains a network on labels and on a teacher's probabilities while it is rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from surefoot.compress.steps._targets import distillation_loss, softened
from surefoot.core.errors import ModelError
from surefoot.core.seen import saw

_BATCH = 64
# A step of a scale is relative to it, so that one rate suits all of them.
_SCALE_RATE = 1e-3
_LONGEST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is learned, and how."""

    tensors: Callable[[np.ndarray], tuple[Tensor, ...]]
    """The input tensors of the rows at these positions."""
    labels: np.ndarray
    """(n,) int64."""
    taught: np.ndarray
    """(n, classes) the teacher's probabilities."""
    epochs: int
    """Times that every row is seen."""
    learning_rate: float
    """Step size of Adam for weights at the start; it falls to zero in a line."""
    temperature: float
    """Softens the teacher's and the student's probabilities."""
    label_weight: float
    """Weight of the labels; the teacher has the rest."""
    seed: int
    """What the order of rows starts from."""
    output: str
    """`logits`, or `probabilities` where the network ends in them."""


def train_rounded(network: fx.GraphModule, lesson: Lesson, device: Any) -> None:
    """Train the weights and the scales of a network.

    Args:
        network: Changed; its parameters named `..._scale` are logarithms of scales.
        lesson: What is learned.
        device: Where.

    Raises:
        ModelError: The loss is not a number; names epoch and batch.
    """
    named = dict(network.named_parameters())
    scales = [value for name, value in named.items() if name.endswith("_scale")]
    rest = [value for name, value in named.items() if not name.endswith("_scale")]
    rates = (lesson.learning_rate, min(_SCALE_RATE, 10 * lesson.learning_rate))
    optimiser = torch.optim.Adam(
        [{"params": each, "lr": rate} for each, rate in zip((rest, scales), rates, strict=True)]
    )
    for epoch, batch, share_left, rows in _order(len(lesson.labels), lesson):
        outputs = network(*(each.to(device) for each in lesson.tensors(rows)))
        loss = _loss(outputs, rows, lesson, device)
        if not torch.isfinite(loss):
            raise ModelError(
                f"step 'finetune_quantized': the loss is {loss.item()} in epoch {epoch + 1},"
                f" batch {batch + 1}",
                fix="take a smaller learning_rate",
            )
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * share_left
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*rest, *scales], _LONGEST)
        optimiser.step()


def _order(n: int, lesson: Lesson) -> Iterator[tuple[int, int, float, np.ndarray]]:
    """Epoch, batch, the share of the training that is left, and the rows of every step."""
    rng = np.random.default_rng(lesson.seed)
    starts = range(0, n, _BATCH)
    steps = max(1, lesson.epochs * len(starts))
    for epoch in range(lesson.epochs):
        saw(n if epoch else 0)  # a first time by whoever asked for the rows
        order = rng.permutation(n)
        for batch, start in enumerate(starts):
            left = 1 - (epoch * len(starts) + batch) / steps
            yield epoch, batch, left, order[start : start + _BATCH]


def _loss(outputs: Tensor, rows: np.ndarray, lesson: Lesson, device: Any) -> Tensor:
    if lesson.output == "probabilities":
        outputs = outputs.clamp(min=1e-12).log()
    wanted = softened(lesson.taught[rows], lesson.temperature)
    gold, soft = (torch.from_numpy(each).to(device) for each in (lesson.labels[rows], wanted))
    loss: Tensor = distillation_loss(outputs, gold, soft, lesson.label_weight, lesson.temperature)
    return loss
