"""Hugging Face folders: sequence classification, or an encoder with `head.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.nested import from_json
from surefoot.models.formats._structure import STRUCTURE, read_structured, write_structure

SUFFIXES: tuple[str, ...] = ()
HEAD = "head.safetensors"
POOLING = "1_Pooling/config.json"


def huggingface(path: Path) -> Any:
    """Read a Hugging Face folder.

    Returns:
        A `torch.nn.Module` in evaluation mode with `forward(input_ids, attention_mask,
        token_type_ids=None) -> logits`: an `EncoderClassifier` where the folder has
        `head.safetensors`, else a `SequenceClassifier`.

    Raises:
        ModelError: Weights are missing or cannot be read.
    """
    require("torch", extra="compress", error=ModelError)
    transformers = require("transformers", extra="compress", error=ModelError)
    from surefoot.models.formats import _classifiers

    if not (path / HEAD).exists():
        model = _pretrained(transformers.AutoModelForSequenceClassification, path)
        return _classifiers.SequenceClassifier(model).eval()
    encoder = _pretrained(transformers.AutoModel, path)
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # a second head that nothing reads
    return _classifiers.EncoderClassifier(encoder, _head(path / HEAD), pooling(path)).eval()


def save(module: Any, path: Path) -> None:
    """Write an `EncoderClassifier` or a `SequenceClassifier` as a Hugging Face folder."""
    from safetensors.torch import save_file

    body = module.model if hasattr(module, "model") else module.encoder
    with _quiet():
        body.save_pretrained(path)
        write_structure(body, path)
    if hasattr(module, "model"):
        return
    head = {"weight": module.head.weight.detach(), "bias": module.head.bias.detach()}
    save_file({key: value.contiguous() for key, value in head.items()}, path / HEAD)
    (path / POOLING).parent.mkdir(exist_ok=True)
    mode = {"mean": "mean_tokens", "cls": "cls_token"}[module.pooling]
    (path / POOLING).write_text(json.dumps({f"pooling_mode_{mode}": True}) + "\n")


def pooling(path: Path) -> Any:
    """How an encoder's tokens become one vector: `mean` or `cls`, from `1_Pooling/config.json`.

    Raises:
        ModelError: The file asks for another pooling.
    """
    if not (path / POOLING).exists():
        return "mean"
    try:
        config = dict(from_json((path / POOLING).read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError("is no JSON object", where=str(path / POOLING)) from error
    # Older sentence-transformers write one flag per mode, newer ones the mode itself.
    modes = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    mode = config.get("pooling_mode") or "+".join(modes) or "mean"
    for known in ("mean", "cls"):
        if mode in (known, f"pooling_mode_{known}_tokens", f"pooling_mode_{known}_token"):
            return known
    raise ModelError(
        f"pooling '{mode}' is not supported", where=str(path / POOLING), fix="known: cls, mean"
    )


def _pretrained(kind: Any, path: Path) -> Any:
    """Load offline, in float32, and refuse weights that transformers would draw at random."""
    import torch
    from safetensors import SafetensorError

    try:
        with _quiet():
            if (path / STRUCTURE).exists():
                return read_structured(kind, _config(path), path)
            model, report = kind.from_pretrained(
                path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        line = str(error).strip().partition("\n")[0]
        raise ModelError(f"cannot be loaded by transformers: {line}", where=str(path)) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ModelError(
            f"{len(missing)} weights are missing, the first is '{missing[0]}'",
            where=str(path),
            fix=f"fine-tune it for classification, or put a head beside it as {HEAD}",
        )
    return model


def _config(path: Path) -> Any:
    transformers = require("transformers", extra="compress", error=ModelError)
    return transformers.AutoConfig.from_pretrained(
        path, local_files_only=True, trust_remote_code=False
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing; whoever uses surefoot reads its own messages."""
    logging = require("transformers.utils.logging", extra="compress", error=ModelError)
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _head(path: Path) -> Any:
    from safetensors.torch import load_file

    from surefoot.models.formats._classifiers import linear

    tensors = load_file(path)
    if set(tensors) != {"weight", "bias"}:
        raise ModelError(
            f"holds {', '.join(sorted(tensors))}; needs weight and bias", where=str(path)
        )
    return linear(tensors["weight"].float(), tensors["bias"].float())
