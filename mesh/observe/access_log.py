"""One line for each connection, at its end, in the fields of Istio's node proxy.

Octets are counted from the client's side whatever side we are on; the log turns them: `bytes_sent`
is what this proxy's own peer of the application's connection sent (client to server on the source
side, server to client on the destination side).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.response_flag import ResponseFlag
from mesh.model.workload import Service, Workload

__all__ = [
    "COMPLETE",
    "REFUSED",
    "ConnectionRecord",
    "ConnectionSecurity",
    "Direction",
    "Field",
    "ResponseFlag",
    "access_fields",
    "access_line",
    "one_line",
    "plain_line",
    "refusal_fields",
    "refusal_line",
]


class Direction(StrEnum):
    """From the pod's view."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    WAYPOINT = "waypoint"
    """Neither: from a client to an endpoint, through a waypoint."""


class ConnectionSecurity(StrEnum):
    """How the part between the proxies was protected."""

    UNKNOWN = "unknown"
    MUTUAL_TLS = "mutual_tls"


@dataclass(slots=True, kw_only=True)
class ConnectionRecord:
    """All that is told of a connection. Filled in as it becomes known."""

    direction: Direction
    source_address: SocketAddress
    destination_address: SocketAddress
    hbone_address: str = ""
    """Inside the tunnel: the authority, or what it resolved to."""

    source: Workload | None = None
    destination: Workload | None = None
    service: Service | None = None
    service_hostname: str = ""
    """A hint (`forwarded: host=`), for when the service itself is not known."""

    source_identity: Identity | None = None
    destination_identity: Identity | None = None
    security: ConnectionSecurity = ConnectionSecurity.UNKNOWN
    client_octets: int = 0
    """From client to server."""

    server_octets: int = 0
    """From server to client."""

    duration_s: float = 0.0
    error: str = ""
    flag: ResponseFlag = ResponseFlag.NONE


Field = str | int | SocketAddress


def access_fields(record: ConnectionRecord) -> Iterator[tuple[str, Field]]:
    """The fields of the line, in order; what is not known is left out."""
    named = {
        "src.addr": record.source_address,
        **_workload_fields("src", record.source, record.source_identity),
        "dst.addr": record.destination_address,
        "dst.hbone_addr": record.hbone_address,
        "dst.service": record.service.hostname if record.service else record.service_hostname,
        **_workload_fields("dst", record.destination, record.destination_identity),
        "direction": record.direction.value,
    }
    yield from ((name, value) for name, value in named.items() if value != "")
    octets = (record.client_octets, record.server_octets)
    sent, received = octets if record.direction is Direction.OUTBOUND else reversed(octets)
    yield "bytes_sent", sent
    yield "bytes_recv", received
    yield "duration", f"{round(record.duration_s * 1000)}ms"
    if record.error:
        yield "error", record.error


def _workload_fields(
    side: str, workload: Workload | None, identity: Identity | None
) -> dict[str, Field]:
    return {
        f"{side}.workload": workload.name if workload else "",
        f"{side}.namespace": workload.namespace if workload else "",
        f"{side}.identity": str(identity) if identity else "",
        f"{side}.cluster": workload.cluster_id if workload else "",
    }


def refusal_fields(record: ConnectionRecord) -> Iterator[tuple[str, Field]]:
    """The fields when a connection was turned away before anything was known of its ends."""
    yield "src.addr", record.source_address
    yield "dst.addr", record.destination_address
    yield "direction", record.direction.value
    yield "error", record.error


COMPLETE = "connection complete"
"""Also of a connection that failed: then there is an `error`, and the level is ERROR."""

REFUSED = "connection failed"
"""Turned away early: level WARN, and not counted."""


def access_line(record: ConnectionRecord) -> str:
    """Message and fields of a plain line; the log adds time, level and target before it."""
    return plain_line(COMPLETE, access_fields(record))


def refusal_line(record: ConnectionRecord) -> str:
    """The same for a connection that was turned away early."""
    return plain_line(REFUSED, refusal_fields(record))


def plain_line(message: str, named: Iterable[tuple[str, Field]]) -> str:
    """A message and its fields: texts quoted, numbers and addresses bare."""
    return f"{message}\t" + " ".join(_written(name, value) for name, value in named)


# As addresses can hold neither a quote nor a blank, they are written bare.
BARE = frozenset({"dst.hbone_addr"})


def one_line(text: str) -> str:
    """A text that cannot end a line, nor speak to the terminal of who reads it."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _written(name: str, value: Field) -> str:
    if not isinstance(value, str):
        return f"{name}={value}"
    quoted = one_line(value.replace("\\", "\\\\").replace('"', '\\"'))
    if name in BARE and quoted == value and " " not in value:
        return f"{name}={value}"
    return f'{name}="{quoted}"'
