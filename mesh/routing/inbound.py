"""What becomes of a CONNECT that reaches a pod's tunnel port.

In this order (Istio's): the method, the authority, our own workload, whether the authority may be
meant for it, the port, the proxy's own ports. Policies are judged after this, by `destination`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh.errors import MeshError
from mesh.model.address import Ip, SocketAddress
from mesh.model.names import OWN_PORTS
from mesh.model.workload import GatewayAddress, Service, TunnelHeader, Workload
from mesh.routing.codes import (
    AUTHORITY_INVALID,
    MISMATCH,
    NO_PORT,
    NO_SERVICE,
    NO_VIP,
    NOT_CONNECT,
    NOT_OFFERED,
    SELF_CALL,
    WORKLOAD_UNKNOWN,
)
from mesh.routing.gateways import is_gateway
from mesh.state.world import World

LOOPBACK_V4: Final = Ip(bytes((127, 0, 0, 1)))
LOOPBACK_V6: Final = Ip(bytes(15) + b"\x01")
HOSTNAME_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*"
)


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to the application, if the policies agree."""

    destination: SocketAddress
    """Where the application is, as policies and logs see it."""
    connect_to: SocketAddress
    """Where to dial: the same, or the loopback when a PROXY header says who calls."""
    service: Service | None = None
    """What was called, as far as one can know; for logs and metrics."""
    proxy_target: SocketAddress | None = None
    """Send a PROXY header first, with this as the destination; None: send none."""
    from_gateway: bool = False
    """From another network: the caller's address says nothing about who called."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer CONNECT with this HTTP status."""

    status: int
    reason: str
    code: str


def admit(
    world: World,
    local: Workload | None,
    headers: Mapping[bytes, bytes],
    near: SocketAddress,
    *,
    loopback: bool = True,
    only_port: int = 0,
) -> Dial | Refusal:
    """Decide about one CONNECT.

    Args:
        world: the state of this moment.
        local: the workload of the pod that was reached; None while the state has none.
        headers: the request's.
        near: the address that the peer's TCP connection came to.
        loopback: whether an application behind a PROXY header is dialled at the loopback.
        only_port: the only port that is offered; 0 offers all.
    """
    if headers.get(b":method") != b"CONNECT" or b":protocol" in headers:
        return Refusal(400, "expected method CONNECT", NOT_CONNECT)
    authority = authority_of(headers.get(b":authority", b""))
    if authority is None:
        return Refusal(400, "the authority is no address with a port", AUTHORITY_INVALID)
    if local is None:
        return Refusal(503, "the control plane does not know this pod", WORKLOAD_UNKNOWN)
    if isinstance(authority, SocketAddress):
        found = _by_address(world, local, authority, near)
    else:
        found = _by_hostname(world, local, *authority)
    if isinstance(found, Refusal):
        return found
    decision = _behind_tunnel(_Request(world, local, headers, near, loopback), found)
    if only_port and isinstance(decision, Dial) and decision.connect_to.port != only_port:
        return Refusal(403, f"only port {only_port} is offered here", NOT_OFFERED)
    return decision


@dataclass(frozen=True, slots=True)
class _Request:
    world: World
    local: Workload
    headers: Mapping[bytes, bytes]
    near: SocketAddress
    loopback: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """The port to dial and what was called."""

    port: int
    service: Service | None
    called: SocketAddress | None
    """The called address and port; None for a hostname without an address."""


def authority_of(octets: bytes) -> SocketAddress | tuple[str, int] | None:
    """`ip:port`, `[v6]:port` or `hostname:port`."""
    text = octets.decode("latin-1")
    try:
        address = SocketAddress.parse(text)
    except MeshError:
        pass
    else:
        return address if address.port else None
    host, _, port = text.rpartition(":")
    valid = port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) <= 65535
    # A name that ends in a digit would be a mistyped address: no top-level domain does.
    if not valid or not host or host[-1].isdigit() or not HOSTNAME_CHARACTERS.issuperset(host):
        return None
    return host, int(port)


def _by_address(
    world: World, local: Workload, authority: SocketAddress, near: SocketAddress
) -> _Target | Refusal:
    meant = (
        authority.ip == near.ip
        or local.application_tunnel is not None
        or _is_attached(world, local, authority.ip)
    )
    if not meant:
        return Refusal(400, f"ip mismatch: {near} != {authority}", MISMATCH)
    return _Target(authority.port, None, authority)


def _is_attached(world: World, local: Workload, ip: Ip) -> bool:
    """Whether this workload is the waypoint of whoever has an address."""
    workload = world.workload_at(local.network, ip)
    if workload is not None:
        attached: list[GatewayAddress | None] = [workload.waypoint]
    else:
        service = world.service_at(local.network, ip, local.namespace)
        if service is None:
            return False
        # Also the weighted ones: a share of the callers is sent to each of them.
        attached = [service.waypoint, *(each.destination for each in service.weighted_waypoints)]
    return any(gateway is not None and is_gateway(world, gateway, local) for gateway in attached)


def _by_hostname(world: World, local: Workload, hostname: str, port: int) -> _Target | Refusal:
    service = world.service_named(hostname, local.namespace)
    if service is None:
        return Refusal(503, f"no service for target address: {hostname}:{port}", NO_SERVICE)
    own = local.services.get(service.key, ())
    listed = next((each.target_port for each in own if each.service_port == port), 0) or next(
        (each.target_port for each in service.ports if each.service_port == port), 0
    )
    if not listed and local.application_tunnel is not None:
        listed = port
    if not listed:
        return Refusal(503, f"found no port of {service.key} for {port}", NO_PORT)
    vip = _best_vip(service, local.network)
    return _Target(listed, service, None if vip is None else SocketAddress(vip, port))


def _best_vip(service: Service, network: str) -> Ip | None:
    """Of the own network first, then IPv4 first."""
    addresses = [address for address in service.addresses if address.prefix is None]
    best = min(
        addresses,
        key=lambda address: (address.network != network, len(address.ip)),
        default=None,
    )
    return None if best is None else best.ip


def _behind_tunnel(request: _Request, target: _Target) -> Dial | Refusal:
    tunnel = request.local.application_tunnel
    port = tunnel.port if tunnel is not None and tunnel.port else target.port
    if target.port in OWN_PORTS or port in OWN_PORTS:
        return Refusal(503, "attempted recursive call to ourselves", SELF_CALL)
    destination = connect_to = SocketAddress(request.near.ip, port)
    proxy_target: SocketAddress | None = None
    if tunnel is not None and tunnel.protocol is TunnelHeader.PROXY:
        proxy_target = target.called
        if proxy_target is None:
            return Refusal(503, "the called service has no address to tell of", NO_VIP)
        if request.loopback:
            ip = LOOPBACK_V4 if len(request.near.ip) == 4 else LOOPBACK_V6
            connect_to = SocketAddress(ip, port)
    service = target.service or likely_service(
        request.world, request.local, forwarded_host(request.headers)
    )
    return Dial(destination, connect_to, service, proxy_target, _is_from_gateway(request))


def _is_from_gateway(request: _Request) -> bool:
    network = request.headers.get(b"x-forwarded-network")
    return (
        network is not None and network.decode("latin-1").lower() != request.local.network.lower()
    )


def forwarded_host(headers: Mapping[bytes, bytes]) -> str:
    """The service that the caller says it called: a hint, and no more."""
    for part in headers.get(b"forwarded", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "host":
            return value.strip('"')
    return ""


def likely_service(world: World, local: Workload, hint: str = "") -> Service | None:
    """Which of a workload's services was called: the hinted one, else the first by name.

    A hint is believed only if the workload serves it. For logs and metrics, never for decisions.
    """
    services = (world.service(key) for key in sorted(local.services))
    known = [service for service in services if service is not None]
    hinted = (service for service in known if service.hostname == hint)
    return next(hinted, known[0] if known else None)
