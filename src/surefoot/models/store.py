"""A model on disk: a folder that is sealed once and never changes again.

The folder holds the weights, `signature.json` (what goes in, what comes out, and the SHA-256 of the
other files), `tokenizer.json` for text, and `golden.npz` (a few inputs with their probabilities).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from surefoot import plugins
from surefoot.core.errors import ModelError
from surefoot.core.hashing import hash_file, hash_json
from surefoot.core.model import Model, Signature
from surefoot.models import settings
from surefoot.models.formats.skops import TRUSTED
from surefoot.store import whole_file

SIGNATURE = "signature.json"
GOLDEN = "golden.npz"
TIMINGS = "timings.json"
"""What a step timed while it worked: of this machine and this hour, and no part of the model."""
TOKENIZER = "tokenizer.json"


def seal(
    folder: Path,
    *,
    name: str,
    format: str,
    file: str,
    signature: Signature,
    parent: str | None = None,
) -> Model:
    """Make a folder of files a model: write its `signature.json` and take its fingerprint.

    Args:
        folder: The folder with the weights, and the tokenizer where there is one.
        name: A name for people; it does not enter the fingerprint.
        format: The plugin in `models/formats/` that reads the weights.
        file: The weights inside the folder, or `.` when the folder itself is the model.
        signature: Inputs and outputs.
        parent: The fingerprint of the model it was made from; does not enter the fingerprint.
    """
    if not (folder / file).exists():
        raise ModelError("the model's weights are missing", where=str(folder / file))
    files = _file_hashes(folder)
    record = {
        "name": name,
        "format": format,
        "file": file,
        "parent": parent,
        "signature": asdict(signature),
        "files": files,
    }
    record["fingerprint"] = _fingerprint(record)
    with whole_file(folder / SIGNATURE) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")
    return _model(folder, record)


def read_model(folder: Path, *, trust: bool = False) -> Model:
    """Read a sealed folder, and make sure that no file of it has changed since.

    A seal says that the folder is whole, not who made it: anybody can seal a pickle.

    Args:
        folder: The folder.
        trust: Whether opening the model may run code that it holds, as the user said in the plan.

    Raises:
        ModelError: No model there; a file that was changed, added or lost; or, without `trust`, one
            that can run code.
    """
    record = _record(folder)
    if not trust:
        _refuse_code(folder, record["format"])
    _compare(folder, record["files"], _file_hashes(folder))
    if record["fingerprint"] != _fingerprint(record):
        raise ModelError(
            "was edited after the model was sealed",
            where=str(folder / SIGNATURE),
            fix="make the model again",
        )
    return _model(folder, record)


def moved(model: Model, path: Path) -> Model:
    """The same model at another place, after its folder was renamed or copied."""
    return replace(model, path=path)


def copy_preprocessing(model: Model, folder: Path) -> None:
    """Copy what turns raw inputs into tensors (the tokenizer) into the folder of a new model.

    How the model wants to be run goes with it.
    """
    for name in (TOKENIZER, settings.FILE):
        if (model.path / name).exists():
            shutil.copyfile(model.path / name, folder / name)


def _model(folder: Path, record: Mapping[str, Any]) -> Model:
    return Model(
        name=record["name"],
        format=record["format"],
        path=folder,
        file=record["file"],
        fingerprint=record["fingerprint"],
        size_bytes=sum((folder / name).stat().st_size for name in [*record["files"], SIGNATURE]),
        signature=_signature(record["signature"]),
        parent=record["parent"],
        settings=settings.read(folder),
    )


def _record(folder: Path) -> dict[str, Any]:
    path = folder / SIGNATURE
    try:
        record = json.loads(path.read_text())
    except OSError as error:
        raise ModelError("no model here: no readable signature.json", where=str(folder)) from error
    except ValueError as error:
        raise ModelError("not valid JSON", where=str(path), fix="make the model again") from error
    known = {"name", "format", "file", "parent", "signature", "files", "fingerprint"}
    if not isinstance(record, dict) or set(record) != known or not _is_sound(record):
        raise ModelError("not a signature of surefoot", where=str(path), fix="make the model again")
    return record


def _is_sound(record: Mapping[str, Any]) -> bool:
    """Whether a record names a format that there is, and weights inside its folder."""
    files, signature = record["files"], record["signature"]
    return (
        isinstance(files, dict)
        and isinstance(signature, dict)
        and signature.keys() <= {field.name for field in fields(Signature)}
        and {"input", "classes"} <= signature.keys()
        and record["format"] in plugins.names("format")
        and record["file"] in (".", *files)
    )


def _refuse_code(folder: Path, format: str) -> None:
    danger = getattr(plugins.module("format", format), "RUNS_CODE", None)
    if danger is None and (folder / TRUSTED).exists():
        danger = "holds types that were trusted once, which may run code when loaded"
    if danger is not None:
        fix = "set trust = true under [model] if you trust its origin"
        raise ModelError(danger, where=str(folder), fix=fix)


def _signature(values: Mapping[str, Any]) -> Signature:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Signature(**given)


def _file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that decides an answer, by its path inside the folder."""
    return {
        name: hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _counts(name := path.relative_to(folder).as_posix())
    }


def _counts(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and name not in (GOLDEN, SIGNATURE, TIMINGS)


def _fingerprint(record: Mapping[str, Any]) -> str:
    return hash_json({key: record[key] for key in ("format", "file", "signature", "files")})


def _compare(folder: Path, sealed: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in sorted(sealed.keys() | found.keys()):
        if sealed.get(name) != found.get(name):
            what = (
                "is missing"
                if name not in found
                else "was added"
                if name not in sealed
                else "changed"
            )
            raise ModelError(
                f"{what} after the model was sealed",
                where=str(folder / name),
                fix="make the model again, or put the file back",
            )
