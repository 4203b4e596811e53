"""Spans of requests for OpenTelemetry. The only file that imports it, and only when a place to send them is set.

Knows how a request becomes a span, a child of the caller's `traceparent`; what the span says is what the log says.
"""

from typing import Any

from starlette.types import Scope

from embedhub import __version__
from embedhub.errors import MissingExtraError
from embedhub.server.metrics import Observation


class Tracer:
    """Makes spans and sends them in batches over OTLP (HTTP, protobuf), from a thread of its own.

    Args:
        endpoint: address of a collector, such as `http://127.0.0.1:4318`.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingExtraError(
                "EMBEDHUB_OTLP_ENDPOINT needs OpenTelemetry: pip install 'embedhub[otel]'"
            ) from error
        resource = Resource.create({"service.name": "embedhub", "service.version": __version__})
        # Of our own and never the process's: a library must not find itself traced.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
        self._tracer = self._provider.get_tracer("embedhub.server", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._server = SpanKind.SERVER
        self._failed = StatusCode.ERROR

    def start(self, scope: Scope) -> "RequestSpan":
        """The span of a request that has just come."""
        wanted = (b"traceparent", b"tracestate")
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in wanted}
        context = self._propagator.extract(carrier)
        span = self._tracer.start_span(scope["method"], context=context, kind=self._server)
        return RequestSpan(span, scope["embedhub.request_id"], self._failed)

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request. Names of attributes are OpenTelemetry's for HTTP, ours begin with `embedhub`."""

    def __init__(self, span: Any, request_id: str, failed: Any) -> None:
        self._span = span
        self._id = request_id
        self._failed = failed

    def end(self, seen: Observation) -> None:
        """Say how the request ended."""
        span = self._span
        span.update_name(f"{seen.method} {seen.route}".strip())
        span.set_attribute("http.request.method", seen.method)
        span.set_attribute("http.response.status_code", seen.status)
        span.set_attribute("embedhub.request_id", self._id)
        if seen.route:
            span.set_attribute("http.route", seen.route)
            span.set_attribute("embedhub.dialect", seen.dialect)
        if seen.code:
            span.set_attribute("error.type", seen.code)
        if seen.answer is not None:
            times = seen.answer.timings
            span.set_attribute("embedhub.model", seen.answer.loaded.name)
            span.set_attribute("embedhub.texts", len(seen.answer.tokens))
            span.set_attribute("embedhub.tokens", seen.answer.read_tokens)
            span.set_attribute("embedhub.cached", seen.answer.cached)
            for name in ("load", "tokenization", "queue", "inference"):
                span.set_attribute(f"embedhub.{name}_seconds", getattr(times, name))
        if seen.status >= 500:
            span.set_status(self._failed)
        span.end()
