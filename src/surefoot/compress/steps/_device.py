"""Where a step that trains does its work."""

from __future__ import annotations

from typing import Any, Literal

from surefoot.core.errors import ModelError

Device = Literal["auto", "cpu", "cuda"]


def pick_device(wanted: Device) -> Any:
    """The torch device to train on: with `auto` a CUDA device where there is one.

    Raises:
        ModelError: `cuda` is asked for and there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda' and there is no CUDA device", fix="device = 'auto'")
    cuda = wanted != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if cuda else "cpu")
