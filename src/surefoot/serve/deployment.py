"""Where and how a service runs, from the file of `--config`; what it promises is the plan's."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from surefoot.core.errors import PlanError, nearest
from surefoot.plan.numbers import WORKERS, count_problems, positive_problems
from surefoot.plugins import in_words

PORTS = 65_535
LARGEST = 1_000_000_000
"""Bytes of a body at most: it is held in memory, once for each request under way."""
HOUR = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The keys of the file, all of which have a default."""

    host: str = "127.0.0.1"
    """The address to listen at."""
    port: int = 8080
    """The port; 0 takes a free one."""
    grpc_port: int | None = None
    """The port of the Open Inference Protocol over gRPC; None for none."""
    workers: int = 1
    """Processes that answer."""
    threads: int = 1
    """Threads inside an operator."""
    log: Path | None = None
    """The folder of the decision log; None for none."""
    log_inputs: Literal["hashes", "rows"] = "hashes"
    """What the log keeps of inputs."""
    tls_certificate: Path | None = None
    """The certificate and those that lead to its root, in PEM."""
    tls_key: Path | None = None
    """Its private key, in PEM."""
    api_key_file: Path | None = None
    """A file of keys, one a line, of which a client must send one."""
    traces: bool = False
    """Whether requests are traced by OpenTelemetry."""
    body_bytes: int = 16_000_000
    """Bytes of a request at most."""
    body_seconds: float = 10.0
    """Seconds within which a body has to be here."""
    grace_seconds: float = 20.0
    """Seconds that requests under way have when the service is told to end."""


_KINDS = typing.get_type_hints(Deployment)


def read_deployment(path: Path | None, said: Mapping[str, Any] | None = None) -> Deployment:
    """Read and check the file.

    Args:
        path: The TOML file; None for the defaults. Paths in it start at its folder.
        said: Keys that win over the file.

    Raises:
        PlanError: Anything is wrong with it; the error lists every problem found.
    """
    tables = _tables(path) if path else {}
    folder = path.resolve().parent if path else Path()
    values, found = dict[str, Any](), []
    for key, value in {**tables, **(said or {})}.items():
        kind = _KINDS.get(key)
        if kind is None:
            found.append(f"{key}: unknown key; {nearest(key, _KINDS)}")
        elif problem := _problem(key, kind, value):
            found.append(problem)
        else:
            values[key] = folder / value if Path in typing.get_args(kind) else value
    deployment = Deployment(**values)
    found += _out_of_range(deployment)
    if found:
        raise PlanError(found, where=str(path) if path else None)
    return deployment


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        here = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise PlanError(f"no such file; {nearest(path.name, here)}", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"not valid TOML: {error}", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"cannot be read: {error}", where=str(path)) from error


def _problem(key: str, kind: Any, value: Any) -> str:
    """What is wrong with the type of a value; empty where nothing is."""
    kinds = [k for k in (typing.get_args(kind) or (kind,)) if k is not types.NoneType]
    if typing.get_origin(kind) is Literal:
        words = typing.get_args(kind)
        wrong = f"{key}: '{value}' is not allowed; {nearest(str(value), words)}"
        return "" if value in words else wrong
    taken = {Path: (str,), float: (float, int)}.get(kinds[0], (kinds[0],))
    if type(value) in taken:  # True is no whole number here
        return ""
    return f"{key}: should be {in_words(kinds[0])}, found {value!r}"


def _out_of_range(found: Deployment) -> Iterator[str]:
    yield from count_problems("port", found.port, PORTS, least=0)
    if found.grpc_port is not None:
        yield from count_problems("grpc_port", found.grpc_port, PORTS)
        if found.grpc_port == found.port:
            yield "grpc_port: is the port of HTTP; choose another"
    yield from count_problems("workers", found.workers, WORKERS)
    yield from count_problems("threads", found.threads, WORKERS)
    yield from count_problems("body_bytes", found.body_bytes, LARGEST)
    yield from positive_problems("body_seconds", found.body_seconds, HOUR)
    yield from positive_problems("grace_seconds", found.grace_seconds, HOUR)
    for one, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if getattr(found, one) and not getattr(found, other):
            yield f"{other}: missing, and {one} is of no use without it"
    for key in ("tls_certificate", "tls_key", "api_key_file"):
        yield from _no_file(key, getattr(found, key))


def _no_file(key: str, path: Path | None) -> Iterator[str]:
    if path is not None and not path.is_file():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        yield f"{key}: no such file {path}; {nearest(path.name, (p.name for p in beside))}"
