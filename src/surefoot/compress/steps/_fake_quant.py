"""Rounds to 8 bits and back while a network trains, with scales that are trained too."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

# How much of the range seen a scale may cover: outliers are cut off where that errs less.
_COVERED = torch.linspace(0.4, 1.0, 31)


def fake_quantise(
    values: Tensor, log_scale: Tensor, zero: int, low: int, high: int, axis: int | None
) -> Tensor:
    """Round to multiples of a scale, as an integer runtime will.

    Gradients pass through the rounding, and reach the scale as in Esser et al. (2020), "Learned
    Step Size Quantization". The logarithm is trained, so that a step is relative to the scale.

    Args:
        values: What to round.
        log_scale: A scalar, or a value per entry of `axis`.
        zero: The integer that stands for 0.
        low: The smallest integer.
        high: The largest.
        axis: The axis of a scale per channel.
    """
    scale = log_scale.exp()
    if axis is not None:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    # Cut off first: the gradient of what is cut off is that of the bound, to the last half step.
    steps = (values / scale).clamp(low - zero, high - zero)
    return (steps + (steps.round() - steps).detach()) * scale


def already(
    values: Tensor, log_scale: Tensor, zero: int, low: int, high: int, axis: int | None
) -> Tensor:
    """Values that were rounded so before and were only moved since; the same arguments."""
    return values


def integers(
    values: Tensor, log_scale: Tensor, zero: int, low: int, high: int, axis: int | None
) -> Tensor:
    """The integers that `fake_quantise` rounds to, as int32; the same arguments."""
    scale = log_scale.exp()
    if axis is not None:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return ((values / scale).round() + zero).clamp(low, high).to(torch.int32)


def activation_range(batches: Sequence[Tensor], bits: int = 8) -> tuple[Tensor, int]:
    """Log scale and zero point of an activation that errs least in the mean square.

    Args:
        batches: Some of its values, and the smallest and largest of them.
        bits: Bits without a sign.
    """
    values = torch.cat([batch.flatten() for batch in batches])
    top = 2**bits - 1
    least, most = values.min().clamp(max=0), values.max().clamp(min=0)
    tried = []
    for share in _COVERED.tolist():
        scale = ((most - least) * share / top).clamp(min=1e-8)
        zero = int((-least * share / scale).round().clamp(0, top))
        rounded = fake_quantise(values, scale.log(), zero, 0, top, None)
        tried.append((float((rounded - values).square().mean()), scale.log(), zero))
    _, log_scale, zero = min(tried, key=operator.itemgetter(0))
    return log_scale, zero


def weight_range(weight: Tensor, bits: int, *, per_channel: bool, axis: int = 0) -> Tensor:
    """Log scale of a weight, signed and symmetric, that errs least in the mean square.

    Args:
        weight: The weights.
        bits: Bits with the sign.
        per_channel: A scale for each entry of `axis`, or one for all.
        axis: The axis of the outputs.
    """
    top = 2 ** (bits - 1) - 1
    rows = weight.movedim(axis, 0).flatten(1) if per_channel else weight.reshape(1, -1)
    most = rows.abs().amax(1).clamp(min=1e-8)
    tried = [(most * share / top).log() for share in _COVERED.tolist()]
    errors = torch.stack(
        [(fake_quantise(rows, each, 0, -top, top, 0) - rows).square().mean(1) for each in tried]
    )
    best = torch.stack(tried).gather(0, errors.argmin(0, keepdim=True))[0]
    return best if per_channel else best[0]
