"""Croissant metadata of the data sets: what a bundle knows of them, and never a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from surefoot.core.errors import DataError
from surefoot.core.hashing import hash_file
from surefoot.core.printable import printable
from surefoot.core.release import ColumnKind, DataUsed, Export, Release
from surefoot.report.exports._written import json_text, slug

_TYPES: dict[ColumnKind, str] = {
    "text": "sc:Text",
    "number": "sc:Float",
    "label": "sc:Text",
    "id": "sc:Text",
    "group": "sc:Text",
}
_MEDIA = {"csv": "text/csv", "jsonl": "application/jsonlines", "parquet": "application/x-parquet"}
"""Sources that are one table file, and what it is called."""
_SPLITS = {"test": "cr:TestSplit", "train": "cr:TrainingSplit", "selection": "cr:ValidationSplit"}
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The context of Croissant 1.0."""


def croissant(release: Release, *, data: str | None = None) -> Export:
    """Croissant 1.0 metadata of every data set that the plan names.

    A file's checksum is known only if `data` says where the files lie. Without it the data set is
    marked as live, which in Croissant means that checksums are not given.

    Args:
        release: The candidate.
        data: The folder of the plan, from which its paths are seen; the files are hashed there.
    """
    tables = [used for used in release.data if used.source in _MEDIA]
    others = [used for used in release.data if used.source not in _MEDIA]
    folder = None if data is None else Path(data)
    once = {used.path: used for used in tables}
    meta = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": slug(release.task),
        "description": "\n".join(_described(used) for used in release.data),
        **({} if folder else {"isLiveDataset": True}),
        "distribution": [_file(used, folder) for used in once.values()],
        "recordSet": [_splits(release.data), *map(_records, tables)],
    }
    notes = [
        f"'{used.name}' is no table file, so its fields are left out" for used in others
    ]  # images and arrays: Croissant describes those file by file
    if folder is None:
        notes.append("checksums of the files are left out; --set data=FOLDER gives them")
    return Export(files={"": json_text(meta)}, notes=tuple(notes))


def _described(used: DataUsed) -> str:
    """A line on one data set."""
    told = [f"{used.name}: {used.role} data, read as {used.source}"]
    told += [] if used.rows is None else [f"{used.rows:,} rows"]
    told += [f"surefoot's fingerprint {used.fingerprint}"] if used.fingerprint else []
    return printable(", ".join(told))


def _file(used: DataUsed, folder: Path | None) -> dict[str, Any]:
    known = {}
    if folder is not None:
        path = folder / used.path
        try:
            digest = hash_file(path)
        except (OSError, ValueError) as error:  # a path of others may hold a NUL
            fix = "--set data=FOLDER names the folder of the plan"
            why = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{why}", where=printable(str(path)), fix=fix) from error
        known = {"contentSize": f"{path.stat().st_size} B", "sha256": digest}
    return {
        "@type": "cr:FileObject",
        "@id": _file_id(used),
        "name": slug(PurePosixPath(used.path).name),
        "contentUrl": printable(used.path),
        "encodingFormat": _MEDIA[used.source],
        **known,
    }


def _file_id(used: DataUsed) -> str:
    return f"file-{slug(used.path)}"


def _records(used: DataUsed) -> dict[str, Any]:
    """The columns of one data set."""
    name = f"{used.role}-{slug(used.name)}" if used.role == "test" else slug(used.name)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": _described(used),
        "field": list(_fields(used, name)),
    }


def _fields(used: DataUsed, records: str) -> Iterator[dict[str, Any]]:
    # A path of JSON names a key between quotes, which JSON itself escapes.
    for column, kind in used.columns.items():
        by_path = {"jsonPath": f"$[{json.dumps(column)}]"}
        yield {
            "@type": "cr:Field",
            "@id": f"{records}/{slug(column)}",
            "name": slug(column),
            "description": printable(f"{column}: {kind}"),
            "dataType": _TYPES[kind],
            "source": {
                "fileObject": {"@id": _file_id(used)},
                "extract": by_path if used.source == "jsonl" else {"column": column},
            },
        }


def _splits(data: tuple[DataUsed, ...]) -> dict[str, Any]:
    """Which splits there are, in the words of Croissant."""
    rows = [
        {"splits/name": name, "splits/url": url}
        for name, url in _SPLITS.items()
        if any(used.role == name for used in data)
    ]
    fields = (("name", "sc:Text"), ("url", "sc:URL"))
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits that there are.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"splits/{name}", "name": name, "dataType": kind}
            for name, kind in fields
        ],
        "data": rows,
    }
