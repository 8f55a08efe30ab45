"""The evidence on disk."""

from surefoot.bundle.archive import open_bundle, pack_bundle
from surefoot.bundle.environment import changes, environment, environment_key
from surefoot.bundle.intact import check_files, read_manifest, refuse_changed
from surefoot.bundle.read import (
    bundle_of,
    missing_files,
    open_for_noise,
    read_bundle,
    read_cell,
    read_environment,
    read_plan_json,
    read_verdict_json,
    recorded_environment,
)
from surefoot.bundle.write import Contents, cell_file, described, write_bundle

__all__ = [
    "Contents",
    "bundle_of",
    "cell_file",
    "changes",
    "check_files",
    "described",
    "environment",
    "environment_key",
    "missing_files",
    "open_bundle",
    "open_for_noise",
    "pack_bundle",
    "read_bundle",
    "read_cell",
    "read_environment",
    "read_manifest",
    "read_plan_json",
    "read_verdict_json",
    "recorded_environment",
    "refuse_changed",
    "write_bundle",
]
