"""Takes a user's model from where it lies into a model folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import TaskKind
from surefoot.core.errors import ModelError, nearest
from surefoot.core.model import Model, OutputKind, Signature
from surefoot.core.plan import ModelPlan
from surefoot.models.formats._external import external_files
from surefoot.models.formats._safetensors import check_safetensors
from surefoot.models.formats._structure import STRUCTURE
from surefoot.models.formats.huggingface import HEAD, POOLING
from surefoot.models.formats.skops import TRUSTED, noted
from surefoot.models.formats.skops import trust as trust_types
from surefoot.models.golden import ROWS, write_golden
from surefoot.models.open import Predictor, default_runtime
from surefoot.models.preprocess import read_tokenizer
from surefoot.models.runtimes._common import Run
from surefoot.models.signatures import Source, find_signature, read_json
from surefoot.models.store import GOLDEN, SIGNATURE, TOKENIZER, seal

_RESERVED = (SIGNATURE, GOLDEN, TOKENIZER, TRUSTED, "config.json")
_TEXTS = (
    "A quiet film that stays with you.",
    "no",
    "I would not recommend this to anybody: two hours, and nothing happens!",
    "Where is my card? It was sent 14 days ago, to 3 Mill Lane.",
    "Das war wirklich gut; ça alors, ¡qué bien!",
)


def adopt(
    path: Path,
    folder: Path,
    *,
    name: str,
    kind: TaskKind,
    options: ModelPlan,
    sample: np.ndarray | None = None,
) -> Model:
    """Copy a user's model into a folder, find its signature and see that it runs.

    Args:
        path: A Hugging Face folder, or a file of a known format.
        folder: Where the model is to lie; made where it does not exist.
        name: A name for people.
        kind: The kind of task it is for.
        options: What the plan says about it; its word goes before that of the model's files.
        sample: A few raw inputs to try it on; made up when there are none.

    Returns:
        The sealed model, with golden vectors of the inputs it was tried on.

    Raises:
        ModelError: The model is missing, broken, unsafe, or does not fit its tokenizer or classes.
        DataError: The sample does not fit the model.
    """
    format = _format(path, trust=options.trust)
    tokenizer = _tokenizer(path, options) if kind == "text-classification" else None
    if format == "huggingface":
        if kind != "text-classification":
            raise ModelError(
                f"a Hugging Face folder cannot be used for {kind} yet", where=str(path)
            )
        _check_huggingface(path, tokenizer)
    _weights(path, format)  # before anything opens what they name
    folder.mkdir(parents=True, exist_ok=True)
    weights = path
    if format == "skops" and options.trust:
        weights = folder / _copy(path, folder, format)
        trust_types(weights, folder)
    source = Source(
        path=weights, format=format, tokenizer=tokenizer, sample=sample, trusted=noted(folder)
    )
    signature = find_signature(source, kind, options)
    if tokenizer is not None and signature.max_length is not None:
        _write_tokenizer(tokenizer, folder / TOKENIZER, path, signature.max_length)
    file = _copy(path, folder, format)
    # Sealed only once it has run: a folder that failed must not look like a model.
    trial = Model(
        name=name,
        format=format,
        path=folder,
        file=file,
        fingerprint="",
        size_bytes=0,
        signature=signature,
    )
    return _tried(trial, options.output, _samples(signature) if sample is None else sample[:ROWS])


def source_files(path: Path, options: ModelPlan) -> tuple[Path, ...]:
    """Every file that `adopt` reads: the model is another one when one of them changes.

    Raises:
        ModelError: There is no model, or it may not be loaded.
    """
    files = _weights(path, _format(path, trust=options.trust))
    tokenizer = _tokenizer(path, options)
    return (*files, tokenizer) if tokenizer else tuple(files)


def _format(path: Path, *, trust: bool) -> str:
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ModelError("no such model", where=str(path), fix=nearest(path.name, beside))
    modules = {name: plugins.module("format", name) for name in plugins.names("format")}
    if path.is_dir():
        if (path / "config.json").exists():
            return "huggingface"
        known = {suffix for module in modules.values() for suffix in module.SUFFIXES}
        inside = sorted(p.name for p in path.iterdir() if p.suffix in known)
        hint = (
            f"did you mean '{path / inside[0]}'?" if inside else "name a file, or a folder with one"
        )
        raise ModelError(
            "a folder without config.json is no Hugging Face model", where=str(path), fix=hint
        )
    for name, module in modules.items():
        if path.suffix.lower() in module.SUFFIXES:
            danger = getattr(module, "RUNS_CODE", None)
            if danger and not trust:
                fix = "set trust = true under [model] if you trust its origin"
                raise ModelError(danger, where=str(path), fix=fix)
            return name
    suffixes = ", ".join(sorted(s for module in modules.values() for s in module.SUFFIXES))
    raise ModelError(
        f"unknown suffix '{path.suffix}'",
        where=str(path),
        fix=f"known: a Hugging Face folder, {suffixes}",
    )


def _tokenizer(path: Path, options: ModelPlan) -> Path | None:
    """The tokenizer that the plan names, else the one that lies with the model, if any."""
    if options.tokenizer is None:
        beside = (path if path.is_dir() else path.parent) / TOKENIZER
        return beside if beside.exists() else None
    named = Path(options.tokenizer)
    file = named / TOKENIZER if named.is_dir() else named
    if not file.exists():
        raise ModelError(
            "no such tokenizer", where=str(file), fix="correct tokenizer under [model]"
        )
    return file


def _check_huggingface(path: Path, tokenizer: Path | None) -> None:
    if tokenizer is None:
        raise ModelError(
            "is missing",
            where=str(path / TOKENIZER),
            fix="save the fast tokenizer beside the model, or set tokenizer under [model]",
        )
    files = _huggingface_weights(path)
    if not files:
        raise ModelError(
            "has no model.safetensors",
            where=str(path),
            fix="save the model with save_pretrained, which writes it",
        )
    for file in files:
        check_safetensors(file)


def _huggingface_weights(path: Path) -> list[Path]:
    """The weights, after making sure that no part of them is missing."""
    listed = path / "model.safetensors.index.json"
    shards = read_json(listed).get("weight_map", {})
    if not isinstance(shards, dict):
        raise ModelError("weight_map is no table of files", where=str(listed))
    named = sorted({_named(listed, name, "a shard") for name in shards.values()})
    files = named or [path / "model.safetensors"]
    head = [path / HEAD] if (path / HEAD).exists() else []
    return [*files, *head] if files[0].exists() else []


def _named(by: Path, name: Any, what: str) -> Path:
    """A file that a model's file names, after making sure that it lies in the same folder.

    Raises:
        ModelError: It lies elsewhere, is missing, or would take the place of another file.
    """
    place = PurePosixPath(name if isinstance(name, str) else "")
    # What is hidden would be no part of the seal.
    wrong = place.is_absolute() or any(part.startswith(".") for part in place.parts)
    if wrong or not place.parts or "\\" in name or "\0" in name:
        raise ModelError(f"names {what} outside the folder: {name!r}", where=str(by))
    if place.as_posix().casefold() in _RESERVED or place.as_posix() == f"model{by.suffix.lower()}":
        raise ModelError(f"names {what} '{name}', which is another file's name", where=str(by))
    file = by.parent / place
    if not file.is_file():
        raise ModelError("is missing", where=str(file), fix="copy or download it again")
    return file


def _write_tokenizer(source: Path, target: Path, model: Path, max_length: int) -> None:
    """Write the tokenizer with explicit padding and truncation, whatever it came with."""
    tokenizer = read_tokenizer(source)
    padding = tokenizer.padding
    if model.is_dir():
        # Some models count positions over all that is not their own padding token.
        config = read_json(model / "config.json")
        pad_id = config.get("pad_token_id")
        if isinstance(pad_id, int) and tokenizer.id_to_token(pad_id) is not None:
            padding |= {"pad_id": pad_id, "pad_token": tokenizer.id_to_token(pad_id)}
    kept = ("pad_id", "pad_token", "pad_type_id", "direction")
    tokenizer.enable_padding(**{key: padding[key] for key in kept})
    tokenizer.enable_truncation(max_length)
    tokenizer.save(str(target), pretty=False)


def _copy(path: Path, folder: Path, format: str) -> str:
    """Copy the weights; a link would let whoever writes to the original change a sealed model."""
    file = "." if format == "huggingface" else f"model{path.suffix.lower()}"
    root = path if path.is_dir() else path.parent
    for source in _weights(path, format):
        name = file if source == path else source.relative_to(root).as_posix()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    return file


def _weights(path: Path, format: str) -> list[Path]:
    """The files of a model besides its tokenizer."""
    if format == "huggingface":
        beside = ("config.json", "model.safetensors.index.json", "tokenizer_config.json", POOLING)
        extra = [path / name for name in (*beside, STRUCTURE) if (path / name).exists()]
        return [*_huggingface_weights(path), *extra]
    # Weights outside an ONNX file are named inside it, so they keep their names.
    outside = external_files(path) if format == "onnx" else ()
    return [path, *(_named(path, name, "weights") for name in outside)]


def _tried(model: Model, output: OutputKind | None, inputs: np.ndarray) -> Model:
    """Run the model on a few inputs; what it gives tells logits from probabilities."""
    with plugins.find("runtime", default_runtime(model.format))(model) as run:
        if model.format != "huggingface" and model.signature.max_length is not None:
            _try_tokens(model, run)
        raw = Predictor(model, run).raw_batch(inputs)
        output = output or ("probabilities" if _are_probabilities(raw) else "logits")
        model = seal(
            model.path,
            name=model.name,
            format=model.format,
            file=model.file,
            signature=replace(model.signature, output=output),
        )
        write_golden(model, inputs, Predictor(model, run).run_batch(inputs))
    return model


def _try_tokens(model: Model, run: Run) -> None:
    """Run the highest token and the longest row, which no made-up text may reach."""
    highest = max(read_tokenizer(model.path / TOKENIZER).get_vocab().values(), default=0)
    length = model.signature.max_length or 1
    run(_tokens(model, 0, 2))
    try:
        run(_tokens(model, highest, 2))
    except ModelError as error:
        raise ModelError(
            f"the tokenizer has {highest + 1} tokens, more than the model knows ({error.what})",
            where=str(model.path / TOKENIZER),
            fix="use the tokenizer.json the model was trained with",
        ) from error
    try:
        run(_tokens(model, 0, length))
    except ModelError as error:
        raise ModelError(
            f"cannot take {length} tokens ({error.what})",
            where=str(model.path / model.file),
            fix="set a smaller max_length under [model]",
        ) from error


def _tokens(model: Model, token: int, length: int) -> dict[str, np.ndarray]:
    values = {"input_ids": token, "attention_mask": 1, "token_type_ids": 0}
    return {name: np.full((1, length), values[name], np.int64) for name in model.signature.tensors}


def _samples(signature: Signature) -> np.ndarray:
    rng = np.random.default_rng(0)
    if signature.input == "text":
        return np.array(_TEXTS, np.dtypes.StringDType())
    if signature.input == "image":
        return rng.integers(0, 256, (4, *signature.shape), np.uint8)
    return rng.standard_normal((4, signature.width or 1), np.float32)


def _are_probabilities(raw: np.ndarray) -> bool:
    sums = raw.sum(axis=1, dtype=np.float64)
    return bool((raw >= 0).all() and np.abs(sums - 1).max() < 1e-3)
