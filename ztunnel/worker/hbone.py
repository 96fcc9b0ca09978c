"""HBONE between two node proxies: the CONNECT request and its answers (classic CONNECT, RFC 9113 8.5)."""

from typing import Final

from mesh.errors import PeerError
from mesh.model.address import SocketAddress
from mesh.model.workload import Workload, WorkloadType
from mesh.wire.http2.events import Headers

_TYPE_KEYS: Final = {
    WorkloadType.DEPLOYMENT: "k8s.deployment.name",
    WorkloadType.CRONJOB: "k8s.cronjob.name",
    WorkloadType.POD: "k8s.pod.name",
    WorkloadType.JOB: "k8s.job.name",
}


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

    def __init__(self, seconds: float, reset: int | None) -> None:
        """Keep the reset's code, None when there was just silence."""
        what = f"none within {seconds:g} s" if reset is None else f"reset with code {reset}"
        super().__init__(f"no answer to CONNECT: {what}")
        self.reset = reset


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


def request(
    authority: str,
    source: SocketAddress,
    workload: Workload,
    *,
    service: str = "",
    network: str | None = None,
) -> Headers:
    """The CONNECT for one connection.

    Args:
        authority: Where the connection goes: `ip:port`, or `hostname:port` across networks.
        source: The application's own address.
        workload: The calling workload.
        service: The called service's hostname; empty when a pod was called.
        network: Our network's name, only on the inner request of a double HBONE.
    """
    host = f";host={service}" if service else ""
    headers: Headers = (
        (b":method", b"CONNECT"),
        (b":authority", authority.encode()),
        (b"baggage", baggage(workload).encode()),
        (b"forwarded", f'for="{source}"{host}'.encode()),
    )
    if network is not None:
        headers += ((b"x-forwarded-network", network.encode()),)
    return headers


def status(code: int) -> Headers:
    """A response's head."""
    return ((b":status", str(code).encode()),)


def check_accepted(response: Headers) -> None:
    """Pass a 200.

    Raises:
        ConnectRefusedError: anything else.
    """
    answered = dict(response).get(b":status", b"none").decode("latin-1")
    if answered != "200":
        raise ConnectRefusedError(answered)
