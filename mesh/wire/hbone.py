"""HBONE between two proxies: CONNECT and its answers (the classic one, RFC 9113 8.5)."""

from collections.abc import Iterator
from typing import Final

from mesh.errors import PeerError
from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.workload import Locality, Workload, WorkloadType
from mesh.wire.http2.events import Headers

_TYPE_KEYS: Final = {
    WorkloadType.DEPLOYMENT: "k8s.deployment.name",
    WorkloadType.CRONJOB: "k8s.cronjob.name",
    WorkloadType.POD: "k8s.pod.name",
    WorkloadType.JOB: "k8s.job.name",
}

TRACE_BITS: Final = 192
"""A trace id of 128 bits, and a span id of 64."""

_SPAN: Final = 2**64 - 1

ACCEPTED: Final[Headers] = ((b":status", b"200"),)


class ConnectRefusedError(PeerError):
    """The peer proxy answered CONNECT with something else than 200."""

    code = "connect_refused"

    def __init__(self, status: str) -> None:
        """Keep the status."""
        super().__init__(f"http status: {status}")
        self.status = status


class ConnectUnansweredError(PeerError):
    """The peer proxy reset the CONNECT, or gave no answer."""

    code = "connect_unanswered"

    def __init__(self, what: str) -> None:
        """Say what happened instead."""
        super().__init__(f"no answer to CONNECT: {what}")


def baggage(workload: Workload) -> str:
    """Who calls, for logs and metrics of the other side (never for decisions)."""
    pairs = (
        ("k8s.cluster.name", workload.cluster_id),
        ("k8s.namespace.name", workload.namespace),
        (_TYPE_KEYS[workload.workload_type], workload.workload_name),
        ("service.name", workload.canonical_name),
        ("service.version", workload.canonical_revision),
        ("cloud.region", workload.locality.region),
        ("cloud.availability_zone", workload.locality.zone),
    )
    return ",".join(f"{key}={value}" for key, value in pairs if value)


def forwarded(
    source: SocketAddress | None,
    *,
    by: SocketAddress | None = None,
    identity: Identity | None = None,
    service: str = "",
) -> str:
    """Whom a connection is carried for (RFC 7239); empty when there is nothing to tell.

    Args:
        source: The application's own address; None for a connection that many share.
        by: Where a waypoint took it.
        identity: Of the client that a waypoint has authenticated; its name is an extension of ours.
        service: The called service's hostname; empty when a pod was called.
    """
    pairs = (
        ("for", source),
        ("by", by),
        ("identity", identity),
    )
    told = [f'{name}="{value}"' for name, value in pairs if value is not None]
    return ";".join((*told, f"host={service}") if service else told)


def request(
    authority: str,
    source: SocketAddress,
    workload: Workload,
    *,
    trace: int,
    service: str = "",
    network: str | None = None,
) -> Headers:
    """The CONNECT for one connection.

    Args:
        authority: Where the connection goes: `ip:port`, or `hostname:port` across networks.
        source: The application's own address.
        workload: The calling workload.
        trace: TRACE_BITS of chance, the connection's own (`traceparent`, W3C Trace Context
            section 3.2; not sampled).
        service: The called service's hostname; empty when a pod was called.
        network: Our network's name, only on the inner request of a double HBONE.
    """
    headers = carry_on(
        authority, workload, told=forwarded(source, service=service), parent=traceparent(trace)
    )
    if network is not None:
        headers += ((b"x-forwarded-network", network.encode()),)
    return headers


def traceparent(trace: int) -> str:
    """What the other proxies call a connection, of TRACE_BITS of chance."""
    return f"00-{trace >> 64:032x}-{trace & _SPAN:016x}-00"


def carry_on(authority: str, workload: Workload, *, told: str, parent: str) -> Headers:
    """The CONNECT of a proxy that stands between the application and the destination.

    Args:
        authority: Where the connection goes.
        workload: The proxy's own, or the application's.
        told: Of `forwarded`.
        parent: The connection's `traceparent`.
    """
    headers: Headers = (
        (b":method", b"CONNECT"),
        (b":authority", authority.encode()),
        (b"baggage", baggage(workload).encode()),
    )
    if told:
        headers += ((b"forwarded", told.encode()),)
    return (*headers, (b"traceparent", parent.encode()))


def caller(text: str) -> Workload | None:
    """The workload that a `baggage` header describes, as far as it does; None when it does not.

    For logs and metrics only: anybody can write such a header.
    """
    found = dict(_pairs(text))
    kind, name = next(
        ((kind, found[key]) for kind, key in _TYPE_KEYS.items() if key in found),
        (WorkloadType.DEPLOYMENT, ""),
    )
    if not name and "k8s.namespace.name" not in found:
        return None
    return Workload(
        uid="",
        name=name,
        namespace=found.get("k8s.namespace.name", ""),
        workload_name=name,
        workload_type=kind,
        canonical_name=found.get("service.name", ""),
        canonical_revision=found.get("service.version", ""),
        cluster_id=found.get("k8s.cluster.name", ""),
        locality=Locality(found.get("cloud.region", ""), found.get("cloud.availability_zone", "")),
        services={},
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for member in text.split(","):
        name, equals, value = member.partition(";")[0].partition("=")
        if equals:
            yield name.strip(), value.strip()


def accepted(workload: Workload | None) -> Headers:
    """The 200, with `baggage` about who has answered unless that is None."""
    if workload is None:
        return ACCEPTED
    return (*ACCEPTED, (b"baggage", baggage(workload).encode()))


def refused(status: int) -> Headers:
    """Any other answer; it has no body."""
    return ((b":status", str(status).encode()),)


def check_accepted(response: Headers) -> None:
    """Pass a 200.

    Raises:
        ConnectRefusedError: anything else.
    """
    answered = dict(response).get(b":status", b"none").decode("latin-1")
    if answered != "200":
        raise ConnectRefusedError(answered)
