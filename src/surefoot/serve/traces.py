"""Spans of OpenTelemetry: one for each request, within it one for each model that is asked.

Nothing here imports OpenTelemetry until traces are asked for. Where they go, how many of them and
under which name its own variables say: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER,
OTEL_SERVICE_NAME and so on. Without them they go to a collector on this machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from surefoot import __version__
from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.serve.flow import HELD, Answered, Stage
from surefoot.serve.lanes import Lane
from surefoot.serve.router import Opened

CLOSE_S = 2.0
"""Seconds that the last spans have to reach their collector."""
MOST_IDS = 16
"""Ids of decisions that a span tells at most."""
_HTTP, _GRPC = "http/protobuf", "grpc"
Done = TypeVar("Done")


class Traces:
    """What is told of requests while they are answered.

    Args:
        model: The lean model's name.
    """

    def __init__(self, model: str) -> None:
        self._api = _library("opentelemetry.trace")
        self._propagator = _library(
            "opentelemetry.trace.propagation.tracecontext"
        ).TraceContextTextMapPropagator()
        told = {"service.version": __version__, "surefoot.model": model}
        if "OTEL_SERVICE_NAME" not in os.environ:
            told["service.name"] = "surefoot"
        resource = _library("opentelemetry.sdk.resources").Resource.create(told)
        sdk = _library("opentelemetry.sdk.trace")
        export = _library("opentelemetry.sdk.trace.export")
        self._provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(export.BatchSpanProcessor(_exporter()))
        self._tracer = self._provider.get_tracer("surefoot.serve", __version__)

    async def request(
        self,
        name: str,
        headers: Mapping[bytes, bytes],
        told: Mapping[str, Any],
        work: Awaitable[Done],
        status: Callable[[Done], int],
    ) -> Done:
        """Do the work of a request within a span; it continues the trace of its `traceparent`.

        Args:
            name: The span's.
            headers: The request's, by name in lower case.
            told: Attributes of the span.
            work: What is to be done.
            status: The status of HTTP of what it gives.

        Returns:
            What the work gives.
        """
        called = headers.get(b"x-request-id")
        if called is not None:
            told = {**told, "surefoot.request": called.decode("latin-1")}
        with self._tracer.start_as_current_span(
            name,
            context=self._context(headers),
            kind=self._api.SpanKind.SERVER,
            attributes=told,
            record_exception=False,
        ) as span:
            done = await work
            code = status(done)
            span.set_attribute("http.response.status_code", code)
            if code >= 500:
                span.set_status(self._api.StatusCode.ERROR)
            return done

    def answered(self, answered: Answered) -> None:
        """Say in the span of the request who answered it, and whether the promise holds.

        Args:
            answered: Its answers.
        """
        void = [promise for promise in answered.promises if promise != HELD]
        self._api.get_current_span().set_attributes(
            {
                "surefoot.rows": len(answered.routes),
                "surefoot.routes": sorted({*answered.routes}),
                "surefoot.void_rows": len(void),
                **({"surefoot.void": void[0]} if void else {}),
                **({"surefoot.decisions": answered.ids[:MOST_IDS]} if answered.ids else {}),
            }
        )

    def opened(self, opened: Opened) -> Opened:
        """The same models, that tell of each time they are asked.

        Args:
            opened: The models.
        """
        stages = tuple(self._stage(stage) for stage in opened.stages)
        fallback = opened.fallback and self._stage(opened.fallback)
        return replace(opened, stages=stages, fallback=fallback)

    def close(self) -> None:
        """Send what is left, for as long as `CLOSE_S` at most."""
        # Its own shutdown waits for a collector that does not answer, whatever it is told.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(CLOSE_S)

    def _stage(self, stage: Stage) -> Stage:
        return replace(stage, lane=cast(Lane, _TracedLane(stage, self._api, self._tracer)))

    def _context(self, headers: Mapping[bytes, bytes]) -> Any:
        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in headers.items()
            if key in (b"traceparent", b"tracestate")
        }
        return self._propagator.extract(carrier) if carrier else None


class _TracedLane:
    """A lane whose calls within a request are spans; in all else it is the lane.

    Args:
        stage: Its model.
        api: OpenTelemetry's.
        tracer: Makes spans.
    """

    def __init__(self, stage: Stage, api: Any, tracer: Any) -> None:
        self._lane, self._name, self._api, self._tracer = stage.lane, stage.name, api, tracer

    async def __call__(
        self, rows: np.ndarray, until: float = np.inf, *, first: bool = False
    ) -> np.ndarray:
        """See `Lane`."""
        # Rows that are asked in the shadow, or by a look at readiness, are nobody's request.
        if not self._api.get_current_span().is_recording():
            return await self._lane(rows, until, first=first)
        told = {"surefoot.model": self._name, "surefoot.rows": len(rows)}
        with self._tracer.start_as_current_span(
            f"ask {self._name}", attributes=told, record_exception=False
        ):
            return await self._lane(rows, until, first=first)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)


def _exporter() -> Any:
    """As OTEL_EXPORTER_OTLP_TRACES_PROTOCOL says, or the one for all signals."""
    every = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", _HTTP)
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", every)
    modules = {_HTTP: "proto.http", _GRPC: "proto.grpc"}
    if protocol not in modules:
        raise BundleError(
            f"traces cannot be sent as '{protocol}'",
            where="OTEL_EXPORTER_OTLP_PROTOCOL",
            fix=f"say {_HTTP} or {_GRPC}",
        )
    module = f"opentelemetry.exporter.otlp.{modules[protocol]}.trace_exporter"
    return _library(module).OTLPSpanExporter()


def _library(name: str) -> Any:
    return require(name, extra="otel", error=BundleError)
