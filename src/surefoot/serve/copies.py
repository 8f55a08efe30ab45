"""A temporary folder for the copy of a bundle, for as long as the bundle is served."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from surefoot.core.errors import BundleError


class Copy:
    """The folder, empty at first.

    A service may run for longer than temporary files are kept. What clears old ones (as
    systemd-tmpfiles does after ten days) leaves a folder alone on which somebody holds a lock.

    Raises:
        BundleError: No folder can be made.
    """

    def __init__(self) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="surefoot-serve-"))
            self._held = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise BundleError(
                f"no folder for a copy of the bundle can be made: {error}",
                fix="set TMPDIR to a folder that can be written",
            ) from error
        with suppress(OSError):  # a file system without locks has no other harm
            fcntl.flock(self._held, fcntl.LOCK_SH)

    def remove(self) -> None:
        """Take it away; a second time does nothing."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
            shutil.rmtree(self.folder, ignore_errors=True)
