"""What a bundle is made of, as the tests of bundles have it, and a finished run to serve."""

import subprocess

import pytest
from tests.bundle.conftest import contents
from tests.cli.test_cascade import write_plan
from tests.serve.live import COMMAND

__all__ = ["contents", "run"]


@pytest.fixture(scope="session")
def run(tmp_path_factory, linear):
    """A finished run whose candidate is the baseline once more, and passed."""
    folder = tmp_path_factory.mktemp("served")
    write_plan(folder, linear)
    subprocess.run([*COMMAND, "run"], cwd=folder, check=True, capture_output=True)
    return folder
