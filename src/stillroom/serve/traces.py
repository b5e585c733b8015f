"""Traces, where somebody collects them (`OTEL_EXPORTER_OTLP_ENDPOINT`): how long a request stood where, and no text.

The names of spans and attributes stand here alone: the conventions for models are still in development elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stillroom.core.errors import missing_extra

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_ANSWER = "stillroom.answer"
_MODEL, _VERSION = "stillroom.model", "stillroom.version"
_TEXTS, _CHARACTERS = "stillroom.texts", "stillroom.characters"
_WAITED, _ESCALATED = "stillroom.waited_ms", "stillroom.escalated"


def wanted() -> bool:
    """Whether somebody collects traces."""
    return any(os.environ.get(name) for name in _WANTED)


def around(inside: ASGIApp) -> ASGIApp:
    """The application with a span a request, where traces are wanted.

    Raises:
        MissingExtra: they are, and the extra `trace` is not installed.
    """
    if not wanted():
        return inside
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise missing_extra("trace", package=error.name or "opentelemetry", needed_by=_WANTED[0]) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "stillroom"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    traced: Any = OpenTelemetryMiddleware(inside, exclude_spans=["receive", "send"], tracer_provider=provider)
    return traced  # type: ignore[no-any-return]  # its types are its own


@contextlib.contextmanager
def answering(model: str, version: str, texts: Sequence[str]) -> Iterator[Any]:
    """A span around what a student answers; None where nobody collects them."""
    if not wanted():
        yield None
        return
    from opentelemetry import trace

    # Not the current one: what is told piece by piece goes on in the context of whoever fetches the next piece.
    span = trace.get_tracer("stillroom").start_span(_ANSWER)
    span.set_attributes({_MODEL: model, _VERSION: version, _TEXTS: len(texts), _CHARACTERS: sum(map(len, texts))})
    try:
        yield span
    except Exception as error:  # of whatever kind: it is only told, and goes on from here
        span.set_status(trace.StatusCode.ERROR, type(error).__name__)  # its words may be a text's
        raise
    finally:
        span.end()


def note(span: Any, *, waited_s: float, escalated: int) -> None:
    """What only the end of an answer knows."""
    if span is not None:
        span.set_attributes({_WAITED: round(waited_s * 1e3, 3), _ESCALATED: escalated})
