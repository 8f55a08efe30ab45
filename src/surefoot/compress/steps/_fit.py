"""Trains a student's module towards its targets, and keeps what is best on rows held out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.compress.steps._augment import augmented
from surefoot.compress.steps._hidden import Hidden, hidden_loss, states_of
from surefoot.compress.steps._modules import Lifted
from surefoot.compress.steps._targets import Targets, distillation_loss, softened
from surefoot.core.errors import ModelError
from surefoot.core.seen import saw
from surefoot.models.preprocess import Preprocessor

HELD_OUT = 10
"""One row in so many is held out."""
PATIENCE = 3
"""Training ends after so many epochs without gain, of those in which the learning rate falls."""
_RISING = 0.3  # share of the steps in which the learning rate rises
_WINDOW = 64  # batches whose rows are sorted by length together, so that they need little padding
_STEEPEST = 1.0  # longer gradients are cut to this length

Ask = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a student is trained."""

    step: str
    """The step's name, for messages."""
    epochs: int
    """Times that every row is seen, at most."""
    learning_rate: float
    """The highest step size of AdamW."""
    batch: int
    """Rows per step."""
    temperature: float
    """Softens the teacher's and the student's probabilities."""
    seed: int
    """What held-out rows, the order of rows and drop-out are drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What came of the training."""

    held_out: int
    """Rows that the weights were chosen on, and not trained on."""
    losses: tuple[float, ...]
    """The loss on them before the training and after each epoch; empty where there are none."""
    kept: int
    """The epoch whose weights were kept."""


def fit(
    lifted: Lifted,
    targets: Targets,
    schedule: Schedule,
    device: Any,
    *,
    hidden: Hidden | None = None,
    ask: Ask | None = None,
) -> History:
    """Train a module in place, with AdamW and one cycle of the learning rate.

    The cycle is that of Smith and Topin (2018), "Super-Convergence". A tenth of the rows is held
    out; the weights of the epoch with the smallest loss on it are kept. Those at the start are no
    choice: the step before may have learnt from these very rows, so that their loss says too much.

    Args:
        lifted: The student.
        targets: What it learns from.
        schedule: How.
        device: Where.
        hidden: A teacher's layers to hold its own against.
        ask: Gives a teacher's probabilities for images; these are then changed at random.

    Raises:
        ModelError: The loss is not finite; names epoch and batch.
    """
    import torch

    rng = np.random.default_rng(schedule.seed)
    order = rng.permutation(len(targets))
    held, learn = np.split(order, [len(targets) // HELD_OUT])
    seeded = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=seeded):
        torch.manual_seed(schedule.seed)
        run = _Run(lifted, targets, schedule, device, hidden)
        losses, best, kept = [run.loss_on(held)] if len(held) else [], run.weights(), 0
        with run.optimised(len(learn)) as advance:
            for epoch in range(1, schedule.epochs + 1):
                run.epoch(learn, rng, (epoch, ask), advance)
                if not len(held):
                    continue
                losses.append(run.loss_on(held))
                if not kept or losses[-1] < losses[kept]:
                    best, kept = run.weights(), epoch
                if epoch - max(kept, int(_RISING * schedule.epochs)) >= PATIENCE:
                    break
        if len(held):
            lifted.module.load_state_dict(best)
    lifted.module.to("cpu").eval()
    return History(held_out=len(held), losses=tuple(losses), kept=kept if len(held) else epoch)


class _Run:
    """One training: the module on its device, with the targets as tensors."""

    def __init__(
        self,
        lifted: Lifted,
        targets: Targets,
        schedule: Schedule,
        device: Any,
        hidden: Hidden | None,
    ) -> None:
        import torch

        self._lifted, self._targets, self._schedule = lifted, targets, schedule
        self._device, self._hidden = device, hidden
        self._module = lifted.module.to(device)
        self._preprocessor = Preprocessor(lifted.model)
        self._gold = torch.from_numpy(targets.data.labels)
        self._weight = torch.from_numpy(targets.label_weight)
        self._soft = torch.from_numpy(softened(targets.soft, schedule.temperature))
        if hidden is not None:
            hidden.teacher.to(device)
            hidden.projections.to(device)

    def weights(self) -> Any:
        """A copy of the weights, buffers among them."""
        return copy.deepcopy(self._module.state_dict())

    @contextmanager
    def optimised(self, rows: int) -> Iterator[Callable[[Any], None]]:
        """Gives what turns a loss into one step of the optimiser."""
        import torch

        weights = [w for w in self._module.parameters() if w.requires_grad]
        beside = [] if self._hidden is None else list(self._hidden.projections.parameters())
        optimiser = torch.optim.AdamW([*weights, *beside], lr=self._schedule.learning_rate)
        steps = self._schedule.epochs * _steps(rows, self._schedule.batch)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            self._schedule.learning_rate,
            total_steps=max(2, steps) + 1,  # the last one would have a rate of next to nothing
            pct_start=_RISING,
        )

        def advance(loss: Any) -> None:
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*weights, *beside], _STEEPEST)
            optimiser.step()
            cycle.step()

        yield advance

    def epoch(
        self,
        rows: np.ndarray,
        rng: np.random.Generator,
        at: tuple[int, Ask | None],
        advance: Callable[[Any], None],
    ) -> None:
        """Show every row once."""
        epoch, ask = at
        saw(len(rows) if epoch > 1 else 0)  # a first time by whoever asked for the rows
        self._module.train()
        for place, (chosen, tensors, soft) in enumerate(self._batches(rows, rng, ask), start=1):
            loss = self._loss(chosen, tensors, soft)
            if not loss.isfinite():
                raise ModelError(
                    f"step '{self._schedule.step}': the loss is {loss.item():.3g} in epoch {epoch},"
                    f" batch {place}",
                    where=self._lifted.model.name,
                    fix="give a smaller learning_rate",
                )
            advance(loss)

    def loss_on(self, rows: np.ndarray) -> float:
        """The mean loss of rows on targets alone, in evaluation mode."""
        import torch

        self._module.eval()
        total = 0.0
        with torch.no_grad():
            for first in range(0, len(rows), self._schedule.batch):
                chosen = rows[first : first + self._schedule.batch]
                prepared = self._preprocessor.rows(self._targets.data.inputs[chosen])
                tensors = self._tensors(prepared, np.arange(len(chosen)))
                logits = self._logits(self._module(*tensors))
                total += len(chosen) * float(self._distance(logits, chosen, self._soft[chosen]))
        return total / len(rows)

    def _batches(
        self, rows: np.ndarray, rng: np.random.Generator, ask: Ask | None
    ) -> Iterator[tuple[np.ndarray, tuple[Any, ...], Any]]:
        """Positions, input tensors and soft targets of every batch of an epoch, in a random order.

        A last batch of one row is left out: batch norms cannot learn from it.
        """
        import torch

        size, order = self._schedule.batch, rng.permutation(rows)
        for start in range(0, len(order), size * _WINDOW):
            window = order[start : start + size * _WINDOW]
            inputs = self._targets.data.inputs[window]
            inputs = inputs if ask is None else augmented(inputs, rng)
            prepared = self._preprocessor.rows(inputs)
            sorted_ = self._preprocessor.order(prepared)
            cuts = [sorted_[i : i + size] for i in range(0, len(window), size)]
            for place in rng.permutation(len(cuts)):
                inside = cuts[place]
                if len(inside) == 1 < len(rows):
                    continue
                chosen = window[inside]
                soft = self._soft[chosen]
                if ask is not None:
                    found = softened(ask(inputs[inside]), self._schedule.temperature)
                    soft = torch.from_numpy(found)
                yield chosen, self._tensors(prepared, inside), soft

    def _loss(self, chosen: np.ndarray, tensors: tuple[Any, ...], soft: Any) -> Any:
        if self._hidden is None:
            return self._distance(self._logits(self._module(*tensors)), chosen, soft)
        import torch

        hidden = self._hidden
        output, ours = states_of(hidden.ours, lambda: self._module(*tensors))
        with torch.no_grad():
            _, theirs = states_of(hidden.theirs, lambda: hidden.teacher(*tensors))
        names = self._lifted.model.signature.tensors
        mask = tensors[names.index("attention_mask")]
        beside = hidden_loss(hidden, ours, theirs, mask)
        return self._distance(self._logits(output), chosen, soft) + beside

    def _distance(self, logits: Any, chosen: np.ndarray, soft: Any) -> Any:
        return distillation_loss(
            logits,
            self._gold[chosen].to(self._device),
            soft.to(self._device),
            self._weight[chosen].to(self._device),
            self._schedule.temperature,
        )

    def _logits(self, output: Any) -> Any:
        """Logits of what the module gives; the logarithm of probabilities is as good."""
        probabilities = self._lifted.model.signature.output == "probabilities"
        return output.clamp_min(1e-12).log() if probabilities else output

    def _tensors(self, prepared: Any, positions: np.ndarray) -> tuple[Any, ...]:
        import torch

        tensors = self._preprocessor.tensors(prepared, positions)
        names = self._lifted.model.signature.tensors
        return tuple(torch.from_numpy(tensors[name]).to(self._device) for name in names)


def _steps(rows: int, batch: int) -> int:
    """Batches of an epoch; a last one of a single row is left out."""
    return max(1, rows // batch + (rows % batch > 1))
