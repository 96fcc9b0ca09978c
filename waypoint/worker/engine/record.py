"""What is told of a request at its end: a line in the log, in Envoy's words, and its counts."""

import logging
from typing import Final, Protocol

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.model.workload import Workload
from mesh.observe.access_log import Field
from mesh.observe.request_metrics import Side
from mesh.policy.requests import RequestVerdict
from mesh.routing.http.entries import Matched
from mesh.wire.http.messages import RequestHead, first
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Context, Peer
from waypoint.worker.engine.destination import Target
from waypoint.worker.engine.failures import UNKNOWN, RequestInvalidError, code_of, outcome_of

COMPLETE: Final = "request complete"
NO_FLAG: Final = "-"
PROTOCOLS: Final = {10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2"}

MOST_OF_PATH: Final = 1024
MOST_OF_TEXT: Final = 256
"""Octets of what a client says that are written down, of its path and of anything else: a line that
the log has to cut would be no JSON any more, and a request that nobody finds in it."""
CUT: Final = "..."

access_log = logging.getLogger("access")


class Facts(Protocol):
    """An exchange that has ended, as far as it is told."""

    began: float
    content: Body | None
    context: Context
    error: MeshError | None
    grpc_status: str
    head: RequestHead
    is_grpc: bool
    matched: Matched | None
    peer: Peer
    request_id: bytes
    response_octets: int
    status: int
    target: Target | None
    told_authority: bytes
    told_target: bytes
    verdict: RequestVerdict | None

    @property
    def tries(self) -> int:
        """How often it was sent."""


def tell(facts: Facts) -> None:
    """Count a request, and write its line."""
    context, error = facts.context, facts.error
    seconds = context.clock() - facts.began
    target, content = facts.target, facts.content
    flag = NO_FLAG if error is None else outcome_of(error).flag
    asked = 0 if content is None else content.octets
    context.metrics.observe(
        facts.peer.side,
        facts.peer.side_there if target is None else _side_of(context, target),
        is_grpc=facts.is_grpc,
        status=facts.status,
        grpc_status=label_of(facts.grpc_status),
        flag=flag,
        duration_ms=seconds * 1000,
        request_octets=asked,
        response_octets=facts.response_octets,
    )
    level = logging.INFO if error is None else logging.WARNING
    if access_log.isEnabledFor(level):
        access_log.log(level, COMPLETE, extra=_fields(facts, seconds, flag, asked))


def tell_unread(peer: Peer, error: RequestInvalidError) -> None:
    """Count and write down what was no request that could be read."""
    status, flag = error.status, outcome_of(error).flag
    peer.context.metrics.observe(
        peer.side,
        peer.side_there,
        is_grpc=False,
        status=status,
        grpc_status="",
        flag=flag,
        duration_ms=0.0,
        request_octets=0,
        response_octets=0,
    )
    if access_log.isEnabledFor(logging.WARNING):
        fields: dict[str, Field] = {
            "response_code": status,
            "response_flags": flag,
            **_workload("src", peer.caller.workload),
            **_ends(peer),
            "error": str(error),
            "code": code_of(error),
        }
        access_log.warning(COMPLETE, extra={k: v for k, v in fields.items() if v != ""})


def label_of(grpc_status: str) -> str:
    """A label of metrics: not whatever an endpoint may write, or each would be a set of its own."""
    is_known = grpc_status.isdecimal() and grpc_status.isascii() and len(grpc_status) <= 2
    return grpc_status if is_known or not grpc_status else str(UNKNOWN)


def _side_of(context: Context, target: Target) -> Side:
    side = target.side
    if side is None:
        workload, service = target.endpoint.workload, target.destination.service
        side = target.side = context.metrics.destination(workload, service)
    return side


def _fields(facts: Facts, seconds: float, flag: str, asked: int) -> dict[str, Field]:
    head, peer, target, error = facts.head, facts.peer, facts.target, facts.error
    matched = facts.matched
    fields: dict[str, Field] = {
        "method": brief(head.method),
        "path": brief(facts.told_target, MOST_OF_PATH),
        "protocol": PROTOCOLS.get(head.version, str(head.version)),
        "response_code": facts.status,
        "response_flags": flag,
        "grpc_status": facts.grpc_status[:MOST_OF_TEXT],
        "authority": brief(facts.told_authority),
        "bytes_received": asked,
        "bytes_sent": facts.response_octets,
        "duration": f"{round(seconds * 1000)}ms",
        "request_id": brief(facts.request_id),
        "user_agent": brief(first(head.fields, b"user-agent") or b""),
        "route_name": route_of(matched),
        "upstream_host": "" if target is None else _address(target),
        "attempts": facts.tries,
        **_workload("src", peer.caller.workload),
        **_ends(peer),
        **_workload("dst", None if target is None else target.endpoint.workload),
        "error": "" if error is None else str(error),
        "code": "" if error is None else code_of(error),
        **({} if facts.verdict is None else _policies(facts.verdict)),
    }
    return {
        name: value for name, value in fields.items() if value not in {"", 0} or name in _ALWAYS
    }


def _ends(peer: Peer) -> dict[str, Field]:
    caller, called = peer.caller, peer.called
    return {
        "src.addr": caller.address,
        "src.identity": str(caller.identity) if caller.identity else "",
        "dst.addr": called.address or "",
        "dst.service": called.service.hostname if called.service else "",
    }


def _policies(verdict: RequestVerdict) -> dict[str, Field]:
    """Which policy has refused, and which matched and only watch, or are only tried."""
    return {
        "policy": "" if verdict.allowed else verdict.policy,
        "audited": ",".join(verdict.audited),
        "dry_run": ",".join(verdict.dry_run),
    }


_ALWAYS: Final = frozenset(("response_code", "bytes_received", "bytes_sent"))


def _workload(side: str, workload: Workload | None) -> dict[str, Field]:
    if workload is None:
        return {}
    return {f"{side}.workload": workload.name, f"{side}.namespace": workload.namespace}


def route_of(matched: Matched | None) -> str:
    """`namespace/route/rule`; empty when none has matched."""
    if matched is None:
        return ""
    route, rule = matched.route, matched.rule
    return f"{route.namespace}/{route.name}/{rule.name or matched.rule_index}"


def _address(target: Target) -> str:
    addresses = target.endpoint.workload.addresses
    if not addresses:
        return f"{target.endpoint.workload.hostname}:{target.endpoint.port}"
    return str(SocketAddress(addresses[0], target.endpoint.port))


def brief(octets: bytes, most: int = MOST_OF_TEXT) -> str:
    """Octets of a head, as they are written down: not more than so many."""
    return text(octets) if len(octets) <= most else text(octets[:most]) + CUT


def text(octets: bytes) -> str:
    """Octets of a head, as they are written."""
    return octets.decode("latin-1")
