"""What exports share: JSON, YAML, names that any system takes, and numbers as texts."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from surefoot.core.release import Figure, Release

PORT = 8080
"""Where a container of the bundle listens."""
_VERSION = re.compile(r"[A-Za-z0-9.!-]+")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Texts that YAML 1.1 takes for something else when they stand without quotes."""
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what a reader of YAML or of the text may stumble over."""


def json_text(value: Any, *, indent: int | None = 1) -> str:
    """JSON that a person can read: what cannot be seen is escaped, and NaN is refused.

    Args:
        value: Tables, lists, texts, finite numbers, true or false, and null.
        indent: Blanks for each level; None for one line.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    hidden = {c for c in set(text) if unicodedata.category(c) in _UNSEEN} - {"\n"}
    return text.translate({ord(c): json.dumps(c)[1:-1] for c in hidden}) + "\n"


def yaml_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """YAML in blocks, every text quoted so that 1.1 and 1.2 read the same.

    Args:
        value: Tables and lists of texts, finite numbers, true or false, and null.
    """
    return "".join(f"{line}\n" for line in _block(value))


def slug(text: str) -> str:
    """A name of ASCII letters, digits and dashes that every tool and file system takes.

    What is lost is told by a few digits of its hash, so that two names never become one.

    Args:
        text: Any text.
    """
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60]
    if kept and kept == text:
        return kept
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept}-{digits}" if kept else digits


def pins(release: Release, names: Iterable[str]) -> str:
    """Libraries as pip takes them, at the versions that the bundle was made with.

    A bundle of others may hold anything as a version: what is none is left out.

    Args:
        release: What is exported.
        names: The libraries, in this order.
    """
    versions = release.environment.get("libraries", {})
    # A local version, as in 2.13.0+cpu, is in no index.
    known = {name: str(versions.get(name) or "").partition("+")[0] for name in names}
    return "".join(
        f"{name}=={version}\n" for name, version in known.items() if _VERSION.fullmatch(version)
    )


def id_of(release: Release, what: str) -> uuid.UUID:
    """A UUID that is the same for the same candidate of the same bundle, and for no other.

    Args:
        release: The candidate.
        what: What it identifies.
    """
    text = f"surefoot {what} {release.key} {release.candidate.name}"
    return uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4)


def basis(figure: Figure) -> str:
    """What a number rests on: `95 % Clopper-Pearson, n 2,530`."""
    e = figure.estimate
    if e.method == "exact":
        return "exact"
    return f"{100 * e.level:.4g} % {e.method}, n {e.n:,}"


def bounded(release: Release) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """The candidate's figures that are numbers with two ends, and a note on each other one."""
    own = release.of(release.candidate)
    left = [f"{f.quantity} {f.where}: its interval has no end" for f in own if not f.bounded]
    left += [f"{what}: the bundle holds no interval" for what in release.without_interval]
    return tuple(f for f in own if f.bounded), tuple(f"left out: {line}" for line in left)


def _block(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entry(f"{_scalar(str(key))}:", inner, "  ")
    else:
        for inner in value:
            yield from _entry("-", inner, "  ", joined=True)


def _entry(head: str, inner: Any, indent: str, *, joined: bool = False) -> Iterator[str]:
    if not isinstance(inner, Mapping | list | tuple) or not inner:
        yield f"{head} {_scalar(inner)}"
        return
    lines = list(_block(inner))
    if joined:  # the first key of a table stands behind its dash
        yield f"{head} {lines[0]}"
        lines = lines[1:]
    else:
        yield head
    yield from (f"{indent}{line}" for line in lines)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("no finite number")
        text = repr(value)
        # Without a point YAML 1.1 takes 1e-05 for a text.
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)
    if isinstance(value, Mapping | list | tuple):
        return "{}" if isinstance(value, Mapping) else "[]"
    text = str(value)
    if isinstance(value, int) or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS):
        return text
    return f'"{"".join(map(_quoted, text))}"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if unicodedata.category(character) not in _UNSEEN:
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:  # half a character, which no file can hold
        return "?"
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
