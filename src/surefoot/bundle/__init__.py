"""The evidence on disk."""

from surefoot.bundle.environment import changes, environment, environment_key
from surefoot.bundle.read import missing_files, read_bundle, read_verdict_json
from surefoot.bundle.write import Contents, described, write_bundle

__all__ = [
    "Contents",
    "changes",
    "described",
    "environment",
    "environment_key",
    "missing_files",
    "read_bundle",
    "read_verdict_json",
    "write_bundle",
]
