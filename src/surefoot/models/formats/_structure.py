"""Layers of other sizes than a Hugging Face configuration says, in `structure.json` beside it.

A configuration has one width for all layers. A pruned or factorised model has another in each; the
file names every module that differs, and what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.nested import from_json

STRUCTURE = "structure.json"
_Entries = dict[str, dict[str, Any]]


def write_structure(module: Any, path: Path) -> None:
    """Write what a transformers model differs in from one that its configuration makes.

    Args:
        module: A `PreTrainedModel`.
        path: The folder; gets no file where there is no difference.
    """
    import torch

    with torch.device("meta"):
        plain = dict(type(module)(module.config).named_modules())
    entries: _Entries = {}
    for name, child in module.named_modules():
        entry = _difference(child, plain[name]) if name in plain else {}
        if entry:
            entries[name] = entry
    if entries:
        (path / STRUCTURE).write_text(json.dumps(entries, indent=1) + "\n")


def read_structured(kind: Any, config: Any, path: Path) -> Any:
    """Read a model whose folder has a `structure.json`.

    Args:
        kind: An `Auto` class of transformers.
        config: Its configuration.
        path: The folder.

    Raises:
        ModelError: The file does not fit the model, or the weights do not fit the file.
    """
    import torch
    from safetensors.torch import load_file

    module = kind.from_config(config, dtype=torch.float32)
    for name, entry in _read(path / STRUCTURE).items():
        try:
            _apply(module, name, entry)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ModelError(
                f"'{name}' does not fit the model that config.json describes: {error}",
                where=str(path / STRUCTURE),
            ) from error
    weights = load_file(path / "model.safetensors")
    try:
        missing = module.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:
        line = str(error).strip().rpartition("\n")[2].strip()
        raise ModelError(f"weights do not fit structure.json: {line}", where=str(path)) from error
    wanted = {name for name, _ in module.named_parameters()}
    lost = sorted(name for name in missing if name in wanted and not name.startswith("pooler."))
    if lost:
        raise ModelError(
            f"{len(lost)} weights are missing, the first is '{lost[0]}'", where=str(path)
        )
    return module.eval()


def _difference(child: Any, plain: Any) -> dict[str, Any]:
    from torch import nn

    if isinstance(plain, nn.Linear):
        if isinstance(child, nn.Sequential):
            inputs, rank = child[0].in_features, child[0].out_features
            return {"low_rank": [inputs, rank, child[1].out_features]}
        sizes = [child.in_features, child.out_features]
        return {} if sizes == [plain.in_features, plain.out_features] else {"linear": sizes}
    return {
        name: value
        for name, value in vars(child).items()
        if type(value) is int and name in vars(plain) and getattr(plain, name) != value
    }


def _read(path: Path) -> Mapping[str, dict[str, Any]]:
    try:
        content = from_json(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"not valid JSON: {error}", where=str(path)) from error
    if not isinstance(content, dict) or not all(isinstance(e, dict) for e in content.values()):
        raise ModelError("is no table of modules", where=str(path), fix="make the model again")
    return content


def _apply(module: Any, name: str, entry: Mapping[str, Any]) -> None:
    from torch import nn

    child = module.get_submodule(name)
    if isinstance(child, nn.Linear):
        bias = child.bias is not None
        if "low_rank" in entry:
            inputs, rank, outputs = _sizes(entry["low_rank"], child, 3)
            first = nn.Linear(inputs, rank, bias=False)
            made: Any = nn.Sequential(first, nn.Linear(rank, outputs, bias=bias))
        else:
            inputs, outputs = _sizes(entry["linear"], child, 2)
            made = nn.Linear(inputs, outputs, bias=bias)
        module.set_submodule(name, made)
        return
    for key, value in entry.items():
        if type(value) is not int or type(vars(child)[key]) is not int or value < 1:
            raise ValueError(f"'{key}' is no size")
        setattr(child, key, value)


def _sizes(given: Any, child: Any, count: int) -> list[int]:
    most = max(child.in_features, child.out_features)
    if len(given) != count or not all(type(size) is int and 1 <= size <= most for size in given):
        raise ValueError(f"{given} are no {count} sizes of at most {most}")
    return list(given)
