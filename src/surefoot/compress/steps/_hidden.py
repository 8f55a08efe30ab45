"""Losses that hold a student's hidden states against its teacher's, for transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from surefoot.compress.steps._modules import Lifted, open_module
from surefoot.core.errors import ModelError
from surefoot.core.model import Model

Kind = Literal["none", "states", "relations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A teacher's layers beside a student's."""

    kind: Kind
    """Which loss."""
    teacher: Any
    """The teacher's module."""
    ours: Sequence[Any]
    """Layers of the student."""
    theirs: Sequence[Any]
    """The layer of the teacher that each is held against."""
    projections: Any
    """A module list: from the student's width to the teacher's per layer; empty if not needed."""
    heads: int
    """Parts that a state is cut into before its tokens are related."""


def open_hidden(kind: Kind, student: Lifted, teacher: Model, step: str) -> Hidden | None:
    """Pair the layers of a student with a teacher's; None where no loss on them is asked for.

    `states`: layer m of M is held against the teacher's layer m * N / M of N, as in Jiao et al.
    (2020), "TinyBERT"; a projection learnt beside it fits widths. `relations`: the last layers.

    Raises:
        ModelError: One of the two is no transformer that torch runs, or they read other tokens.
    """
    if kind == "none":
        return None
    _check_tokens(student.model, teacher, step)
    other = open_module(teacher)
    ours, theirs = _layers(student), _layers(other)
    if kind == "relations":
        ours, theirs = ours[-1:], theirs[-1:]
    else:
        places = [(m + 1) * len(theirs) // len(ours) - 1 for m in range(len(ours))]
        theirs = [theirs[max(0, place)] for place in places]
    widths = [_config(lifted).hidden_size for lifted in (student, other)]
    return Hidden(
        kind=kind,
        teacher=other.module.requires_grad_(False).eval(),
        ours=ours,
        theirs=theirs,
        projections=_projections(widths, len(ours) if kind == "states" else 0),
        heads=math.gcd(*widths, _config(other).num_attention_heads),
    )


def states_of(layers: Sequence[Any], call: Any) -> tuple[Any, list[Any]]:
    """What a call gives, and the (n, length, width) states that these layers gave during it."""
    found: list[Any] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        return call(), found
    finally:
        for hook in hooks:
            hook.remove()


def hidden_loss(hidden: Hidden, ours: Sequence[Any], theirs: Sequence[Any], mask: Any) -> Any:
    """How far a student's states are from its teacher's, over tokens that are no padding.

    `states`: the squared error in units of the teacher's variance. `relations`: the divergence of
    how tokens relate, softmax(H H^T / sqrt(width)) a head: the value relation of Wang et al.
    (2020), "MiniLM", on the states that layers give instead of the values inside attention.

    Args:
        hidden: The pairing.
        ours: The student's states.
        theirs: The teacher's.
        mask: (n, length), 1 for tokens.
    """
    if hidden.kind == "relations":
        return _relation_loss(ours[0], theirs[0], mask, hidden.heads)
    total, tokens = 0.0, mask.bool()
    for place, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        state = hidden.projections[place](own) if len(hidden.projections) else own
        wanted = other[tokens]
        total = total + ((state[tokens] - wanted) ** 2).mean() / wanted.var().clamp(min=1e-6)
    return total / len(ours)


def _relation_loss(own: Any, other: Any, mask: Any, heads: int) -> Any:
    import torch.nn.functional as F

    absent = (mask == 0)[:, None, None, :]

    def relations(state: Any) -> Any:
        rows, length, width = state.shape
        parts = state.view(rows, length, heads, width // heads).transpose(1, 2)
        products = parts @ parts.transpose(2, 3) / math.sqrt(width // heads)
        return F.log_softmax(products.masked_fill(absent, -1e4), dim=3)

    distance = F.kl_div(relations(own), relations(other), reduction="none", log_target=True)
    # (n, heads, length): one divergence for every token and head.
    return distance.sum(dim=3).transpose(1, 2)[mask.bool()].mean()


def _projections(widths: Sequence[int], layers: int) -> Any:
    import torch

    needed = layers if widths[0] != widths[1] else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = [torch.nn.Linear(widths[0], widths[1]) for _ in range(needed)]
    return torch.nn.ModuleList(linear)


def _check_tokens(student: Model, teacher: Model, step: str) -> None:
    for model in (student, teacher):
        if model.format != "huggingface":
            raise ModelError(
                f"step '{step}': hidden states of a {model.format} model cannot be read",
                where=model.name,
                fix="hidden = 'none', or distil before the export, from a Hugging Face folder",
            )
    texts = [(m.path / "tokenizer.json").read_bytes() for m in (student, teacher)]
    seen = [(m.signature.tensors, m.signature.max_length) for m in (student, teacher)]
    if texts[0] != texts[1] or seen[0] != seen[1]:
        raise ModelError(
            f"step '{step}': teacher and student read other tokens, so that their states do not"
            " belong to the same ones",
            where=student.name,
            fix="hidden = 'none'",
        )


def _layers(lifted: Lifted) -> list[Any]:
    from torch import nn

    count = _config(lifted).num_hidden_layers
    found = [
        child
        for child in lifted.module.modules()
        if isinstance(child, nn.ModuleList) and len(child) == count
    ]
    if len(found) != 1:
        raise ModelError(
            f"has {len(found)} lists of {count} layers; needs one to read states from",
            where=str(Path(lifted.model.path)),
            fix="hidden = 'none'",
        )
    return list(found[0])


def _config(lifted: Lifted) -> Any:
    return next(child for child in lifted.module.modules() if hasattr(child, "config")).config
