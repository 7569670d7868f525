"""Traces by configuration (OpenTelemetry, OTLP over HTTP): spans of requests and delivery attempts, ids and nothing else.

What leaves is decided in one place, the exporter: attributes outside the allow-list, messages of exceptions, descriptions of
states and links are dropped there, whoever wrote them. So no instrumentation can leak a payload, a URL or a query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

from hub.errors import ConfigurationError, Text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

#: Everything that a span may say: identifiers of the hub, names of operations, numbers.
ALLOWED = frozenset(
    {
        "hub.adapter",
        "hub.attempt",
        "hub.delivery_id",
        "hub.destination_id",
        "hub.operation",
        "hub.outcome",
        "hub.problem",
        "hub.submission_id",
        "http.request.method",
        "http.response.status_code",
        "error.type",
    }
)
_PREFIX = "hub."
#: A value longer than this is no identifier.
_LONGEST = 100
#: Names of spans; any other is written as "other", for a library may put a path into one.
_DELIVER = "deliver"
_REQUEST = "request"


class Span(Protocol):
    """One piece of work that is being traced."""

    def tell(self, **facts: str | int) -> None:
        """Add facts; names as in :data:`ALLOWED`, without prefix and with ``_`` for dots."""


class Traces(Protocol):
    """Where spans go."""

    def deliver(self, **facts: str | int) -> Any:
        """Trace a delivery attempt: a context manager that gives the :class:`Span`."""

    def request(self, operation: str, parent: str | None, /, **facts: str | int) -> Any:
        """Trace a request; ``parent`` is the caller's ``traceparent`` (W3C Trace Context)."""

    def close(self) -> None:
        """Send what waits."""


class _Nobody:
    """A span that nobody looks at."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tell(self, **_: str | int) -> None:
        pass


class NoTraces:
    """Nothing is traced: the default."""

    _nobody = _Nobody()

    def deliver(self, **_: str | int) -> _Nobody:
        """Trace nothing."""
        return self._nobody

    def request(self, _operation: str, _parent: str | None, /, **_: str | int) -> _Nobody:
        """Trace nothing."""
        return self._nobody

    def close(self) -> None:
        """Do nothing."""


class _SpanFacts:
    def __init__(self, span: Any) -> None:
        self._span = span

    def tell(self, **facts: str | int) -> None:
        for name, value in facts.items():
            key = _named(name)
            if key in ALLOWED:
                self._span.set_attribute(key, value)


class OpenTelemetry:
    """Sends spans to ``exporter``, by way of the allow-list."""

    def __init__(self, exporter: SpanExporter, *, node: str, version: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource({"service.name": "rathaus-hub", "service.version": version, "service.instance.id": node})
        self.provider = TracerProvider(resource=resource)
        self.provider.add_span_processor(BatchSpanProcessor(_allowing(exporter)))
        self.tracer = self.provider.get_tracer("hub")

    def deliver(self, **facts: str | int) -> Any:
        """Trace a delivery attempt."""
        return self._span(_DELIVER, None, facts)

    def request(self, operation: str, parent: str | None, /, **facts: str | int) -> Any:
        """Trace a request."""
        return self._span(f"{_REQUEST} {operation}", parent, facts)

    def close(self) -> None:
        """Send what waits."""
        self.provider.shutdown()

    @contextmanager
    def _span(self, name: str, parent: str | None, facts: Mapping[str, str | int]) -> Iterator[Span]:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # The caller's trace is joined; its tracestate and baggage, which may say anything, are not even read.
        carrier = {} if parent is None else {"traceparent": parent}
        context = TraceContextTextMapPropagator().extract(carrier)
        with self.tracer.start_as_current_span(name, context, set_status_on_exception=False) as span:
            facts_of = _SpanFacts(span)
            facts_of.tell(**facts)
            yield facts_of


def open_traces(endpoint: str, *, node: str, version: str) -> Traces:
    """Return the traces that go to ``endpoint`` (an OTLP address such as ``http://localhost:4318/v1/traces``); "" for none.

    Raises:
        ConfigurationError: the packages of the extra ``otel`` are not installed.
    """
    if not endpoint:
        return NoTraces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as exc:
        raise ConfigurationError(
            Text(
                "Für otel_endpoint fehlen Pakete. Installieren Sie rathaus-hub[otel], oder nehmen Sie die Einstellung weg.",
                "otel_endpoint needs packages. Install rathaus-hub[otel], or remove the setting.",
            )
        ) from exc
    return OpenTelemetry(OTLPSpanExporter(endpoint=endpoint), node=node, version=version)


def _named(fact: str) -> str:
    known = {"method": "http.request.method", "status": "http.response.status_code", "error": "error.type"}
    return known.get(fact, f"{_PREFIX}{fact}")


def _allowing(exporter: SpanExporter) -> SpanExporter:
    """Return an exporter that hands on only what is on the allow-list."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Allowing(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return exporter.export([_reduced(span) for span in spans])

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return Allowing()


def _reduced(span: ReadableSpan) -> ReadableSpan:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Status

    kept = {name: value for name, value in (span.attributes or {}).items() if name in ALLOWED and _is_short(value)}
    known = span.name == _DELIVER or span.name.startswith(f"{_REQUEST} ")
    return ReadableSpan(
        name=span.name if known else "other",
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _is_short(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and len(value) <= _LONGEST)
