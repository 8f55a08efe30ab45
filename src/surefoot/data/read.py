"""Reads one data set through the source that the plan names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from surefoot import plugins
from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, nearest
from surefoot.data.fingerprint import fingerprint


def read(use: str, options: Mapping[str, Any], *, name: str, slices: Mapping[str, str]) -> Dataset:
    """Read a data set: `use = "csv"` and the options of that source.

    Args:
        use: A plugin of `data/sources/`.
        options: Its keyword arguments; its own `slices` go before the plan's of the same name.
        name: The name the data set has in the plan.
        slices: Slice name to an SQL expression over the columns.

    Raises:
        DataError: A file, column, row, slice or option is at fault.
        PluginError: There is no such source.
    """
    source = plugins.find("source", use)
    _check_options(use, options, name)
    own = options.get("slices") or {}
    try:
        dataset: Dataset = source(**{**options, "name": name, "slices": {**slices, **own}})
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot be read: {reason}", where=error.filename or name) from error
    return replace(dataset, fingerprint=dataset.fingerprint or fingerprint(dataset))


def _check_options(use: str, options: Mapping[str, Any], name: str) -> None:
    known = plugins.options("source", use)
    for key in options:
        if key not in known:
            raise DataError(
                f"source '{use}' has no option '{key}'", where=name, fix=nearest(key, known)
            )
    for option in known.values():
        if option.default is inspect.Parameter.empty and option.name not in options:
            raise DataError(f"source '{use}' needs the option '{option.name}'", where=name)
