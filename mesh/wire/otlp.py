"""Spans as a collector hears them: OpenTelemetry's protocol (OTLP 1.x), its trace service."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from mesh.errors import PeerError
from mesh.model.span import Attribute, Span
from mesh.proto.otlp_common_pb2 import AnyValue, InstrumentationScope, KeyValue
from mesh.proto.otlp_resource_pb2 import Resource
from mesh.proto.otlp_trace_pb2 import ResourceSpans, ScopeSpans, Status
from mesh.proto.otlp_trace_pb2 import Span as SpanMessage
from mesh.proto.otlp_trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SCOPE: Final = "sluice"
SAMPLED: Final = 0x001
KNOWS_PARENT: Final = 0x100
"""Set beside REMOTE_PARENT or without it: it is known where the parent is."""
REMOTE_PARENT: Final = 0x200
MAX_NS: Final = 2**64 - 1


class ExportAnswerInvalidError(PeerError):
    """A collector's answer that cannot be read."""

    code = "export_answer_invalid"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("the collector's answer is none of OTLP's")


@dataclass(frozen=True, slots=True)
class Source:
    """Who tells spans."""

    resource: tuple[Attribute, ...]
    """The program: `service.name` and more."""
    common: tuple[Attribute, ...] = ()
    """What every span has beside its own attributes."""
    version: str = ""


def export_request(source: Source, spans: Iterable[Span]) -> bytes:
    """The octets of a request that tells these spans."""
    common = _key_values(source.common)
    told = ScopeSpans(
        scope=InstrumentationScope(name=SCOPE, version=source.version),
        spans=[_message(span, common) for span in spans],
    )
    resource = Resource(attributes=_key_values(source.resource))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[told])]
    ).SerializeToString()


def _message(span: Span, common: list[KeyValue]) -> SpanMessage:
    flags = SAMPLED
    if span.parent_id:
        flags |= KNOWS_PARENT | (REMOTE_PARENT if span.has_remote_parent else 0)
    return SpanMessage(
        trace_id=span.trace_id,
        span_id=span.span_id,
        trace_state=span.state,
        parent_span_id=span.parent_id,
        name=span.name,
        kind=f"SPAN_KIND_{span.kind.name}",
        start_time_unix_nano=min(max(span.start_ns, 0), MAX_NS),
        end_time_unix_nano=min(max(span.end_ns, 0), MAX_NS),
        attributes=[*_key_values(span.attributes), *common],
        status=Status(code=Status.STATUS_CODE_ERROR) if span.is_error else None,
        flags=flags,
    )


def _key_values(attributes: Iterable[Attribute]) -> list[KeyValue]:
    return [
        KeyValue(
            key=name,
            value=AnyValue(int_value=value)
            if isinstance(value, int)
            else AnyValue(string_value=value),
        )
        for name, value in attributes
    ]


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """What a collector has made of a request."""

    rejected: int
    """How many spans it has not taken, and will not."""
    reason: str


def read_export_answer(octets: bytes) -> ExportAnswer:
    """A collector's answer.

    Raises:
        ExportAnswerInvalidError: it is none.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(octets).partial_success
    except DecodeError:
        raise ExportAnswerInvalidError from None
    return ExportAnswer(max(0, partial.rejected_spans), partial.error_message)
