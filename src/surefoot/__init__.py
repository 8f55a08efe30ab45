"""Make models lean, and prove that they hold up."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Budget": "surefoot.core.evidence",
    "SurefootError": "surefoot.core.errors",
    "compress_model": "surefoot.api",
    "diff_bundles": "surefoot.diff",
    "evaluate_candidates": "surefoot.api",
    "gate_evidence": "surefoot.gate",
    "open_bundle": "surefoot.bundle",
    "open_task": "surefoot.api",
    "read_bundle": "surefoot.bundle",
    "read_plan": "surefoot.plan",
    "run_plan": "surefoot.run",
    "step": "surefoot.plan",
}
"""Where the public names live; each is loaded on its first use."""

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  all of them are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surefoot' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
