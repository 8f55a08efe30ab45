"""How a model wants to be run: `runtime.json` beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

from surefoot import plugins
from surefoot.core.errors import ModelError, nearest
from surefoot.core.model import GraphLevel, Settings

FILE = "runtime.json"


def write(settings: Settings, folder: Path) -> None:
    """Leave what is set, and nothing else, beside a model's weights."""
    given = {key: value for key, value in asdict(settings).items() if value is not None}
    (folder / FILE).write_text(json.dumps(given, indent=1) + "\n")


def read(folder: Path) -> Settings:
    """What a model's folder says of how to run it; nothing where there is no such file.

    Raises:
        ModelError: The file holds anything else, or names a runtime that is not there.
    """
    path = folder / FILE
    if not path.exists():
        return Settings()
    try:
        given = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError("not valid JSON", where=str(path)) from error
    if not _is_sound(given):
        raise ModelError("not settings of a runtime", where=str(path), fix="make the model again")
    settings = Settings(**given)
    known = plugins.names("runtime")
    if settings.runtime is not None and settings.runtime not in known:
        raise ModelError(
            f"no runtime called '{settings.runtime}'",
            where=str(path),
            fix=nearest(settings.runtime, known),
        )
    return settings


def _is_sound(given: Any) -> bool:
    if not isinstance(given, dict) or not given.keys() <= {
        field.name for field in fields(Settings)
    }:
        return False
    threads = given.get("threads")
    return (
        isinstance(given.get("runtime"), str | None)
        and (threads is None or (type(threads) is int and threads > 0))
        and given.get("graph_level") in (None, *get_args(GraphLevel))
    )
