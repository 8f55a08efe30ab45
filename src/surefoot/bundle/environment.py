"""What a measurement was made with: versions, processor, threads."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import surefoot
from surefoot.core.cpus import usable_cpus
from surefoot.core.drift import Change
from surefoot.core.hashing import hash_file, hash_json

LIBRARIES = (
    "duckdb", "numpy", "onnx", "onnxruntime", "openvino", "pillow", "scikit-learn", "scipy",
    "skl2onnx", "skops", "surefoot", "tokenizers", "torch", "transformers",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """The fingerprint of this machine and its libraries, as JSON-able data."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpu_flags": _cpu_flags(),
        "cpus": usable_cpus(),
        "threads": {k: v for k, v in sorted(os.environ.items()) if k.endswith("_NUM_THREADS")},
        "libraries": {name: _version(name) for name in LIBRARIES},
        "surefoot": _own_source(),
    }


def changes(there: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs between two environments that `environment` gave, in its order.

    Args:
        there: The earlier one, of a bundle.
        here: The other one.
    """
    old, new = _flat(there), _flat(here)
    return tuple(
        Change(what=key, there=old.get(key, "none"), here=new.get(key, "none"))
        for key in dict.fromkeys([*old, *new])
        if old.get(key, "none") != new.get(key, "none")
    )


def _flat(found: Mapping[str, Any]) -> dict[str, str]:
    """Each library, setting and instruction set by a name of its own."""
    flat: dict[str, str] = {}
    for key, value in found.items():
        if isinstance(value, Mapping):
            prefix = "" if key in ("libraries", "threads") else f"{key} "
            flat |= {prefix + name: str(part or "none") for name, part in value.items()}
        elif isinstance(value, list):
            flat |= {f"instruction set {name}": "yes" for name in value}
        else:
            name, width = ("surefoot's code", 12) if key == "surefoot" else (key, None)
            flat[name] = str(value)[:width]
    return flat


def environment_key() -> str:
    """A hash of the parts of the environment that an answer or a latency can depend on."""
    return hash_json(environment())


@cache
def _own_source() -> str:
    """A hash of this package's code: an answer may change with it though its version does not."""
    root = Path(surefoot.__file__).parent
    files = sorted(root.rglob("*.py"))
    return hash_json([(str(file.relative_to(root)), hash_file(file)) for file in files])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    lines = _cpuinfo()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    """The instruction sets that integer and half-precision kernels choose between."""
    lines = [line for line in _cpuinfo() if line.startswith(("flags", "Features"))]
    flags = set(lines[0].partition(":")[2].split()) if lines else set()
    wanted = ("avx", "amx", "sse4", "fma", "f16c", "neon", "asimd", "sve", "i8mm", "bf16")
    return sorted(flag for flag in flags if flag.startswith(wanted))


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
