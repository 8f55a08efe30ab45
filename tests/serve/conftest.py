"""What a bundle is made of, as the tests of bundles have it, and what its calibration rows show."""

from dataclasses import replace

from tests.bundle.conftest import contents

from surefoot.core.estimate import Estimate
from surefoot.core.serving import Cascade, Tradeoff

__all__ = ["a_cascade", "contents"]

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
