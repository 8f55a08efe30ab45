"""What a bundle is made of, what its calibration rows show, and a finished run to serve."""

import subprocess
from dataclasses import replace

import pytest
from tests.bundle.conftest import contents
from tests.cli.test_cascade import write_plan
from tests.serve.live import COMMAND, served

from surefoot.core.estimate import Estimate
from surefoot.core.serving import Cascade, Tradeoff

__all__ = ["a_cascade", "contents", "run"]

NOTHING = Estimate(value=0, low=0, high=0, level=0.9, method="none", n=1)


def a_cascade(**changes):
    """A lean model named `lean`, whose answers may all stand."""
    chosen = Tradeoff(threshold=0, share=NOTHING, lost=NOTHING, accuracy=1, shown=True)
    one = Cascade(
        lean="lean", fallback="baseline", max_error=0.02, delta=0.1, slices=(), rows=500,
        needed=114, chosen=chosen, curve=(), fallback_accuracy=0.9, lean_ms=0.1, fallback_ms=1.0,
        fallback_slow_ms=2.0,
    )  # fmt: skip
    return replace(one, **changes)


@pytest.fixture(scope="session")
def run(tmp_path_factory, linear):
    """A finished run whose candidate is the baseline once more, and passed."""
    folder = tmp_path_factory.mktemp("served")
    write_plan(folder, linear)
    subprocess.run([*COMMAND, "run"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def port(run):
    """Where it is served."""
    with served(run) as (_, port, _):
        yield port
