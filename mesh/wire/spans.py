"""Spans on their way from a worker to its control process: a sequence of msgpack arrays.

Workers write them with the least work; what a collector wants to hear is made in control
(`mesh.wire.otlp`).
"""

from typing import Final

from mesh.errors import PeerError
from mesh.model.span import Attribute, Span, SpanKind
from mesh.wire.pack import Packed, pack, unpack_all

KINDS: Final = {kind.value: kind for kind in SpanKind}
TRACE_ID_OCTETS: Final = 16
SPAN_ID_OCTETS: Final = 8
MAX_NUMBER: Final = 2**63 - 1


class SpanInvalidError(PeerError):
    """Octets of a worker that are no spans."""

    code = "span_invalid"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("not a span")


def pack_span(span: Span) -> bytes:
    """The octets of one span; those of several are put together."""
    ids = span.trace_id, span.span_id, span.parent_id, span.has_remote_parent, span.state
    times = span.start_ns, span.end_ns
    return pack((ids, span.name, span.kind.value, times, span.attributes, span.is_error))


def read_spans(octets: bytes) -> tuple[Span, ...]:
    """The spans of a sequence.

    Raises:
        PeerError: the octets are no such sequence.
    """
    return tuple(_span(value) for value in unpack_all(octets))


def _span(value: Packed) -> Span:
    match value:
        case (
            (bytes(trace_id), bytes(span_id), bytes(parent_id), bool(is_remote), str(state)),
            str(name),
            int(kind),
            (int(start_ns), int(end_ns)),
            tuple(attributes),
            bool(is_error),
        ) if (
            len(trace_id) == TRACE_ID_OCTETS
            and len(span_id) == SPAN_ID_OCTETS
            and len(parent_id) in {0, SPAN_ID_OCTETS}
            and kind in KINDS
        ):
            return Span(
                trace_id=trace_id,
                span_id=span_id,
                parent_id=parent_id,
                has_remote_parent=is_remote,
                state=state,
                name=name,
                kind=KINDS[kind],
                start_ns=start_ns,
                end_ns=end_ns,
                attributes=tuple(map(_attribute, attributes)),
                is_error=is_error,
            )
        case _:
            raise SpanInvalidError


def _attribute(value: Packed) -> Attribute:
    match value:
        case (str(name), str(told)):
            return name, told
        case (str(name), int(told)) if -MAX_NUMBER <= told <= MAX_NUMBER:
            return name, told
        case _:
            raise SpanInvalidError
