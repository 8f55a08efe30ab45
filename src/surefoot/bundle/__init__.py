"""The evidence on disk."""

from surefoot.bundle.environment import environment, environment_key
from surefoot.bundle.read import missing_files, read_bundle, read_environment, read_verdict_json
from surefoot.bundle.write import Contents, cell_file, write_bundle

__all__ = [
    "Contents",
    "cell_file",
    "environment",
    "environment_key",
    "missing_files",
    "read_bundle",
    "read_environment",
    "read_verdict_json",
    "write_bundle",
]
