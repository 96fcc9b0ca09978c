"""The spans of a request that has ended: its own, and one for each sending to an endpoint.

1. Attributes have the names of OpenTelemetry's HTTP conventions, and where those have none, of
   Istio's metrics and Envoy's access log.
2. A span's name is Istio's: host and port of the service, and `/*`. Paths are not in names: there
   are too many of them.
3. The query is left out: secrets are often in it.
"""

import re
from collections.abc import Iterator
from typing import Final

from mesh.model.address import format_ip
from mesh.model.span import Attribute, Span, SpanKind
from mesh.routing.waypoint import Called
from mesh.wire.http.messages import first
from waypoint.worker.engine import record
from waypoint.worker.engine.destination import Target
from waypoint.worker.engine.failures import code_of, outcome_of
from waypoint.worker.engine.record import Facts
from waypoint.worker.engine.tracing import Sending, Trace

MAX_TEXT: Final = 1024
"""Of a text that a client has written; the rest is cut."""

VERSIONS: Final = {10: "1.0", 11: "1.1", 20: "2"}
SERVER_ERROR: Final = 500
CLIENT_ERROR: Final = 400
GRPC_OK: Final = "0"
_GRPC_STATUS: Final = re.compile(r"[0-9]{1,3}")
GRPC_SERVER_ERRORS: Final = frozenset(("2", "4", "12", "13", "14", "15"))
"""Of gRPC's statuses those that are a server's fault, by OpenTelemetry's conventions."""


def tell(trace: Trace, facts: Facts) -> None:
    """Tell all spans of a request, at its end."""
    now = facts.context.clock()
    flag = record.NO_FLAG if facts.error is None else outcome_of(facts.error).flag
    common = tuple(_common(facts))
    reason = _server_reason(facts)
    trace.tell(
        Span(
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            parent_id=trace.parent_id,
            has_remote_parent=bool(trace.parent_id),
            state=record.text(trace.state),
            name=_name_of_called(facts.peer.called),
            kind=SpanKind.SERVER,
            start_ns=trace.at_ns(facts.began),
            end_ns=trace.at_ns(now),
            attributes=_known(*common, *_server(facts, flag), ("error.type", reason)),
            is_error=bool(reason),
        )
    )
    last = len(trace.sendings) - 1
    for number, sending in enumerate(trace.sendings):
        grpc_status = facts.grpc_status if number == last else ""
        reason = _client_reason(sending, grpc_status)
        own = _client(sending, number, grpc_status, reason)
        trace.tell(
            Span(
                trace_id=trace.trace_id,
                span_id=sending.span_id,
                parent_id=trace.span_id,
                state=record.text(trace.state),
                name=_name_of_target(sending.target),
                kind=SpanKind.CLIENT,
                start_ns=trace.at_ns(sending.began),
                end_ns=trace.at_ns(now if sending.ended is None else sending.ended),
                attributes=_known(*common, *own),
                is_error=bool(reason),
            )
        )


def _known(*attributes: Attribute) -> tuple[Attribute, ...]:
    return tuple(one for one in attributes if one[1] != "")


def _common(facts: Facts) -> Iterator[Attribute]:
    head = facts.head
    yield "http.request.method", _cut(head.method)
    yield "url.scheme", "http"
    yield "url.path", _cut(facts.told_target.partition(b"?")[0])
    yield "user_agent.original", _cut(first(head.fields, b"user-agent") or b"")
    yield "guid:x-request-id", _cut(facts.request_id)
    if facts.is_grpc:
        yield "rpc.system", "grpc"


def _server(facts: Facts, flag: str) -> Iterator[Attribute]:
    caller, called = facts.peer.caller, facts.peer.called
    workload, content = caller.workload, facts.content
    host, _, port = facts.told_authority.rpartition(b":")
    if not (host and port.isdigit()):
        host, port = facts.told_authority, b""
    yield "server.address", _cut(host)
    yield "server.port", int(port[:5] or b"0") or called.port
    yield "client.address", format_ip(caller.address.ip)
    yield "network.protocol.name", "http"
    yield "network.protocol.version", VERSIONS.get(facts.head.version, "")
    yield from _statuses(facts.status, facts.grpc_status)
    yield "http.request.body.size", 0 if content is None else content.octets
    yield "http.response.body.size", facts.response_octets
    yield "response_flags", flag
    yield "route_name", record.route_of(facts.matched)
    yield "source_principal", str(caller.identity) if caller.identity else ""
    yield "source_workload", workload.workload_name if workload else ""
    yield "source_workload_namespace", workload.namespace if workload else ""
    yield "destination_service", called.service.hostname if called.service else ""


def _client(sending: Sending, number: int, grpc_status: str, reason: str) -> Iterator[Attribute]:
    target = sending.target
    workload, service = target.endpoint.workload, target.destination.service
    yield "server.address", service.hostname if service else workload.name
    yield "server.port", target.destination.key[1]
    if workload.addresses:
        yield "network.peer.address", format_ip(workload.addresses[0])
    yield "network.peer.port", target.endpoint.port
    if number:
        yield "http.request.resend_count", number
    yield from _statuses(sending.status, grpc_status)
    yield "destination_service", service.hostname if service else ""
    yield "destination_workload", workload.workload_name
    yield "destination_workload_namespace", workload.namespace
    yield "error.type", reason


def _statuses(status: int, grpc_status: str) -> Iterator[Attribute]:
    if status:
        yield "http.response.status_code", status
    if _GRPC_STATUS.fullmatch(grpc_status):
        yield "rpc.grpc.status_code", int(grpc_status)


def _server_reason(facts: Facts) -> str:
    """Why the server's side has failed, in one word; empty: it has not."""
    error, grpc_status = facts.error, facts.grpc_status
    if error is not None:
        outcome = outcome_of(error)
        ours = outcome.status >= SERVER_ERROR or not outcome.status
        if facts.is_grpc:
            ours = str(outcome.grpc) in GRPC_SERVER_ERRORS
        return code_of(error) if ours else ""
    if facts.is_grpc and grpc_status:
        return grpc_status if grpc_status in GRPC_SERVER_ERRORS else ""
    return str(facts.status) if facts.status >= SERVER_ERROR else ""


def _client_reason(sending: Sending, grpc_status: str) -> str:
    if sending.error:
        return sending.error
    if grpc_status:
        return "" if grpc_status == GRPC_OK else grpc_status[:MAX_TEXT]
    if not sending.status:
        return "cancelled"
    return str(sending.status) if sending.status >= CLIENT_ERROR else ""


def _name_of_called(called: Called) -> str:
    if called.workload is not None:
        return f"{called.workload.name}.{called.workload.namespace}:{called.port}/*"
    return f"{called.service.hostname if called.service else ''}:{called.port}/*"


def _name_of_target(target: Target) -> str:
    service, workload = target.destination.service, target.endpoint.workload
    host = service.hostname if service else f"{workload.name}.{workload.namespace}"
    return f"{host}:{target.destination.key[1]}/*"


def _cut(octets: bytes) -> str:
    return record.text(octets[:MAX_TEXT])
