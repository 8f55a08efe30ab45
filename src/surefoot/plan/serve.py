"""What is wrong with the `[serve]` table, each problem as `key: what; fix`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from surefoot.core.errors import nearest
from surefoot.core.model import BASELINE
from surefoot.core.plan import EndpointPlan, ServePlan
from surefoot.core.serving import ENDPOINT
from surefoot.plan.numbers import positive_problems
from surefoot.plan.typed import File

NOBODY = "abstain"
"""The fallback that is none."""
LONGEST_MS = 600_000.0
"""Ten minutes: nobody waits longer for one answer."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def serve_problems(file: File) -> Iterator[str]:
    """Shares out of range, models and slices that there are not, and fallbacks that are none."""
    serve, names = file.serve, [candidate.name for candidate in file.candidate]
    if serve.candidate and file.candidate and serve.candidate not in names and not file.search:
        fix = nearest(serve.candidate, names)
        yield f"serve.candidate: no candidate '{serve.candidate}'; {fix}"
    if not 0 <= serve.shadow <= 1:
        yield f"serve.shadow: must be a share from 0 to 1, found {serve.shadow}"
    for key in ("max_error_over_fallback", "delta", "false_alarm"):
        value = getattr(serve, key)
        if not 0 < value < 1:
            yield f"serve.{key}: must be above 0 and below 1, found {value}"
    for i, name in enumerate(serve.slices):
        if name not in file.evaluate.slices:
            known = nearest(name, file.evaluate.slices) if file.evaluate.slices else ""
            fix = known or "name it under evaluate.slices"
            yield f"serve.slices[{i}]: no slice '{name}'; {fix}"
    yield from _between(file, names)
    yield from _fallback(file, names)


def _between(file: File, names: list[str]) -> Iterator[str]:
    """Models between the lean one and the fallback that are not there, or there already."""
    serve = file.serve
    if serve.between and serve.candidate is None:
        yield "serve.between: name serve.candidate too, the model that is asked before them"
    known = [*names, *([] if serve.fallback == BASELINE else [BASELINE])]
    for i, name in enumerate(serve.between):
        key = f"serve.between[{i}]"
        if name in (serve.candidate, *serve.between[:i]):
            yield f"{key}: '{name}' is asked already; leave it out"
        elif name == BASELINE and serve.fallback == BASELINE:
            yield f"{key}: 'baseline' is the fallback; leave it out"
        elif file.candidate and name not in known and not file.search:
            yield f"{key}: no candidate '{name}'; {nearest(name, known)}"


def _fallback(file: File, names: list[str]) -> Iterator[str]:
    """A fallback that is neither a model nor nobody nor an address, and how it is asked."""
    serve = file.serve
    if not serve.remote:
        if serve.fallback not in (BASELINE, NOBODY):
            fix = nearest(serve.fallback, (BASELINE, NOBODY))
            yield f"serve.fallback: '{serve.fallback}' is no model and no http:// address; {fix}"
        if serve.endpoint != EndpointPlan():
            yield "serve.endpoint: is about a fallback at an address; name one, or leave it out"
        return
    if ENDPOINT in names:
        yield f"serve.fallback: an endpoint is called '{ENDPOINT}', as a candidate is; rename that"
    yield from _address(serve)
    yield from _asking(file, serve.endpoint)


def _address(serve: ServePlan) -> Iterator[str]:
    """An address that is none, or that holds a key."""
    try:
        parts = urlsplit(serve.fallback)
        port = parts.port
    except ValueError:
        yield f"serve.fallback: '{serve.fallback}' is no address; write it as http://HOST:PORT"
        return
    if parts.username or parts.password:
        yield "serve.fallback: holds a password; name an environment variable in api_key_env"
        return
    clean = serve.fallback.isascii() and not any(c.isspace() for c in serve.fallback)
    bare = not (parts.query or parts.fragment) and bool(parts.hostname) and port != 0
    if not (clean and bare and parts.scheme in ("http", "https")):
        yield f"serve.fallback: '{serve.fallback}' is no address; write it as http://HOST:PORT"
    if parts.scheme == "http" and serve.endpoint.api_key_env and not _local(parts.hostname):
        yield "serve.endpoint.api_key_env: would be sent in the clear; use an https:// address"
    if "/v2/models/" not in parts.path and serve.endpoint.model is None:
        yield "serve.endpoint.model: missing; say what the model is called there"


def _local(host: str | None) -> bool:
    return host in ("127.0.0.1", "::1", "localhost")


def _asking(file: File, endpoint: EndpointPlan) -> Iterator[str]:
    """How it is asked, as far as that does not fit."""
    key, chat = "serve.endpoint", endpoint.protocol == "openai"
    yield from positive_problems(f"{key}.timeout_ms", endpoint.timeout_ms, LONGEST_MS)
    if chat and file.task.kind != "text-classification":
        yield f"{key}.protocol: 'openai' is asked about texts alone; use 'open_inference'"
    for name in ("prompt", "logprobs") if not chat else ():
        if getattr(endpoint, name):
            yield f"{key}.{name}: only of protocol 'openai'; leave it out"
    if endpoint.prompt is not None and chat:
        lacks = [
            f"{{{name}}}" for name in ("classes", "text") if f"{{{name}}}" not in endpoint.prompt
        ]
        if lacks:
            yield f"{key}.prompt: lacks {' and '.join(lacks)}, which the rows and classes replace"
    if endpoint.api_key_env is not None and not VARIABLE.fullmatch(endpoint.api_key_env):
        yield f"{key}.api_key_env: is no name of an environment variable (nor write the key itself)"
    if endpoint.cost is not None and not 0 <= endpoint.cost < math.inf:
        yield f"{key}.cost: must be a number of at least 0, found {endpoint.cost}"
