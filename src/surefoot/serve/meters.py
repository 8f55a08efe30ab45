"""What a service counts, as Prometheus reads it."""

from __future__ import annotations

from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.serve.flow import HELD, Answered

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Where the histogram of times is cut."""


class Meters:
    """Counts of one service; two in one process share nothing."""

    def __init__(self) -> None:
        library = require("prometheus_client", extra="serve", error=BundleError)
        self._page, self._registry = library.generate_latest, library.CollectorRegistry()
        count, registry = library.Counter, {"registry": self._registry}
        self._requests = count(
            "surefoot_requests", "Requests for answers, by HTTP status.", ["status"], **registry
        )
        self._rows = count(
            "surefoot_rows", "Rows, by the model that answered.", ["route"], **registry
        )
        self._void = count("surefoot_void_rows", "Rows whose promise is void.", **registry)
        self._seconds = library.Histogram(
            "surefoot_request_seconds", "From the headers of a request to its answer.",
            buckets=SECONDS, **registry,
        )  # fmt: skip

    def answered(self, is_call: bool, status: int, seconds: float) -> None:
        """Count a request; pages such as this one's are none."""
        if is_call:
            self._requests.labels(str(status)).inc()
            self._seconds.observe(seconds)

    def routed(self, answered: Answered) -> None:
        """Count the rows of a request."""
        for route in answered.routes:
            self._rows.labels(route).inc()
        void = sum(promise != HELD for promise in answered.promises)
        if void:
            self._void.inc(void)

    def page(self) -> bytes:
        """All of it."""
        return bytes(self._page(self._registry))
