from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.model.span import Span, SpanKind
from mesh.proto.otlp_trace_pb2 import Span as SpanMessage
from mesh.proto.otlp_trace_pb2 import Status
from mesh.proto.otlp_trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from mesh.wire.otlp import (
    ExportAnswer,
    ExportAnswerInvalidError,
    Source,
    export_request,
    read_export_answer,
)
from mesh.wire.pack import pack
from mesh.wire.spans import SpanInvalidError, pack_span, read_spans

TRACE_ID, SPAN_ID, PARENT_ID = b"t" * 16, b"s" * 8, b"p" * 8
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SPANS = st.builds(
    Span,
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=st.binary(min_size=8, max_size=8),
    parent_id=st.just(b"") | st.binary(min_size=8, max_size=8),
    has_remote_parent=st.booleans(),
    state=TEXTS,
    name=TEXTS,
    kind=st.sampled_from(SpanKind),
    start_ns=st.integers(0, 2**63),
    end_ns=st.integers(0, 2**63),
    attributes=st.lists(
        st.tuples(TEXTS, TEXTS | st.integers(-(2**63) + 1, 2**63 - 1)), max_size=4
    ).map(tuple),
    is_error=st.booleans(),
)
SPAN = Span(
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    parent_id=PARENT_ID,
    has_remote_parent=True,
    state="vendor=1",
    name="web.shop.svc.cluster.local:80/*",
    kind=SpanKind.SERVER,
    start_ns=1_000,
    end_ns=3_000,
    attributes=(("http.request.method", "GET"), ("http.response.status_code", 503)),
    is_error=True,
)


@given(st.lists(SPANS, max_size=4))
def test_what_a_worker_tells_is_what_control_hears(spans: list[Span]) -> None:
    assert read_spans(b"".join(map(pack_span, spans))) == tuple(spans)


@given(st.binary(max_size=200))
def test_any_octets_are_spans_or_an_error_of_ours(octets: bytes) -> None:
    with suppress(MeshError):
        export_request(Source(()), read_spans(octets))
    with suppress(MeshError):
        read_export_answer(octets)


@given(SPANS, st.data())
def test_a_damaged_span_is_a_span_or_an_error_of_ours(span: Span, data: st.DataObject) -> None:
    octets = bytearray(pack_span(span))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MeshError):
        export_request(Source(()), read_spans(bytes(octets)))


@pytest.mark.parametrize(
    "ids",
    [
        (TRACE_ID[1:], SPAN_ID, PARENT_ID, True, ""),
        (TRACE_ID, b"", PARENT_ID, True, ""),
        (TRACE_ID, SPAN_ID, b"p", True, ""),
        (TRACE_ID, SPAN_ID, PARENT_ID, 1, ""),
        (TRACE_ID, SPAN_ID, PARENT_ID, True, b""),
    ],
)
def test_ids_have_their_length(ids: tuple[object, ...]) -> None:
    with pytest.raises(SpanInvalidError):
        read_spans(pack((ids, "n", 2, (1, 2), (), False)))


@pytest.mark.parametrize("kind", [0, 1, 4])
def test_only_calls_are_told(kind: int) -> None:
    ids = TRACE_ID, SPAN_ID, PARENT_ID, True, ""
    with pytest.raises(SpanInvalidError):
        read_spans(pack((ids, "n", kind, (1, 2), (), False)))


def test_a_number_that_no_collector_can_hear_is_no_attribute() -> None:
    ids = TRACE_ID, SPAN_ID, PARENT_ID, True, ""
    with pytest.raises(SpanInvalidError):
        read_spans(pack((ids, "n", 2, (1, 2), (("a", 2**63),), False)))


def told(span: Span, source: Source) -> tuple[ExportTraceServiceRequest, SpanMessage]:
    request = ExportTraceServiceRequest.FromString(export_request(source, [span]))
    return request, request.resource_spans[0].scope_spans[0].spans[0]


def test_a_collector_hears_who_tells_and_what() -> None:
    source = Source((("service.name", "edge.town"),), (("istio.namespace", "town"),), "1.2")
    request, span = told(SPAN, source)
    resource = request.resource_spans[0].resource.attributes
    assert [(one.key, one.value.string_value) for one in resource] == [
        ("service.name", "edge.town")
    ]
    scope = request.resource_spans[0].scope_spans[0].scope
    assert (scope.name, scope.version) == ("sluice", "1.2")
    assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE_ID, SPAN_ID, PARENT_ID)
    assert (span.name, span.trace_state) == (SPAN.name, "vendor=1")
    assert span.kind == SpanMessage.SPAN_KIND_SERVER
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000, 3_000)
    assert {one.key: one.value.string_value or one.value.int_value for one in span.attributes} == {
        "http.request.method": "GET",
        "http.response.status_code": 503,
        "istio.namespace": "town",
    }
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.flags == 0x301


@pytest.mark.parametrize(
    ("parent", "is_remote", "flags"),
    [(b"", False, 0x001), (PARENT_ID, False, 0x101), (PARENT_ID, True, 0x301)],
)
def test_the_flags_say_where_the_parent_is(parent: bytes, is_remote: bool, flags: int) -> None:
    span = Span(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_id=parent,
        has_remote_parent=is_remote,
        name="n",
        kind=SpanKind.CLIENT,
        start_ns=0,
        end_ns=0,
    )
    message = told(span, Source(()))[1]
    assert message.flags == flags
    assert not message.HasField("status")


def test_a_collector_may_take_a_part() -> None:
    partial = ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
    answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    assert read_export_answer(answer) == ExportAnswer(3, "too old")
    assert read_export_answer(b"") == ExportAnswer(0, "")
    with pytest.raises(ExportAnswerInvalidError):
        read_export_answer(b"\xff")
