"""What a waypoint does with a CONNECT, and how it reaches whom it has chosen.

In this order: the method, the authority, what a client in its namespace means by it, whether this
waypoint stands before that, the port. A waypoint forwards to what is bound to it and to nothing
else: it would lend its identity to anybody who asks.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from mesh.model.address import Ip, SocketAddress
from mesh.model.names import OWN_PORTS
from mesh.model.routes import Waypoint
from mesh.model.workload import (
    AppProtocol,
    BalanceMode,
    GatewayAddress,
    NetworkAddress,
    Service,
    Workload,
)
from mesh.routing.balance import Chance, Endpoint, Purpose, pick
from mesh.routing.codes import (
    AUTHORITY_INVALID,
    DESTINATION_UNKNOWN,
    NO_ENDPOINT,
    NO_GATEWAY,
    NO_PORT,
    NO_SERVICE,
    NO_VIP,
    NOT_CONNECT,
    NOT_OURS,
    OFF_LIMITS,
    SELF_CALL,
    WAYPOINT_UNTOLD,
)
from mesh.routing.decisions import Decision, Hbone, Passthrough, PlainTcp, Refused
from mesh.routing.inbound import Refusal, authority_of, forwarded_host, likely_service
from mesh.routing.outbound import reach
from mesh.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a client wants of this waypoint: a port of a service, or of one workload."""

    port: int
    """The service's own number for it; of a workload, where it listens."""
    app_protocol: AppProtocol = AppProtocol.UNKNOWN
    address: SocketAddress | None
    """What was called; None when it was called by its hostname."""
    service: Service | None
    """What was called; of a workload that was called by its address: what it probably serves (for
    logs and metrics only)."""
    workload: Workload | None = None
    """Called by its own address: routes of services do not concern it."""


def admit(
    world: World,
    waypoint: Waypoint | None,
    headers: Mapping[bytes, bytes],
    *,
    network: str,
    namespace: str,
) -> Called | Refusal:
    """Decide about one CONNECT.

    Args:
        world: the state of this moment.
        waypoint: what we know of ourselves; None while the control plane has told nothing.
        headers: the request's.
        network: whose addresses are meant.
        namespace: the client's: which services it can see, and which of several it means.
    """
    if headers.get(b":method") != b"CONNECT" or b":protocol" in headers:
        return Refusal(400, "expected method CONNECT", NOT_CONNECT)
    authority = authority_of(headers.get(b":authority", b""))
    if authority is None:
        return Refusal(400, "the authority is no address with a port", AUTHORITY_INVALID)
    if waypoint is None:
        return Refusal(503, "the control plane has not told what is ours", WAYPOINT_UNTOLD)
    if isinstance(authority, SocketAddress):
        return _by_address(world, waypoint, headers, authority, (network, namespace))
    hostname, port = authority
    service = world.service_named(hostname, namespace)
    if service is None:
        return Refusal(404, f"no service for target address: {hostname}:{port}", NO_SERVICE)
    return _of_service(world, waypoint, service, port, None)


def _by_address(
    world: World,
    waypoint: Waypoint,
    headers: Mapping[bytes, bytes],
    called: SocketAddress,
    view: tuple[str, str],
) -> Called | Refusal:
    network, namespace = view
    # As the client's proxy addresses it: an address that is a workload's own means the workload.
    workload = world.workload_at(network, called.ip)
    if workload is not None:
        hint = forwarded_host(headers)
        return _of_workload(
            world, waypoint, workload, called, likely_service(world, workload, hint)
        )
    service = world.service_at(network, called.ip, namespace)
    if service is None:
        return Refusal(404, f"nobody has the address {called.ip.hex()}", DESTINATION_UNKNOWN)
    return _of_service(world, waypoint, service, called.port, called)


def _of_workload(
    world: World,
    waypoint: Waypoint,
    workload: Workload,
    called: SocketAddress,
    service: Service | None,
) -> Called | Refusal:
    if not _serves_workload(waypoint, workload):
        return Refusal(421, f"not the waypoint of {workload.uid}", NOT_OURS)
    if called.port in OWN_PORTS:
        return Refusal(503, "attempted call to a port of a proxy", SELF_CALL)
    return Called(
        port=called.port,
        app_protocol=spoken_by(world, workload, called.port),
        address=called,
        service=service,
        workload=workload,
    )


def _of_service(
    world: World, waypoint: Waypoint, service: Service, port: int, called: SocketAddress | None
) -> Called | Refusal:
    if not _serves_service(world, waypoint, service):
        return Refusal(421, f"not the waypoint of {service.key}", NOT_OURS)
    listed = next((each for each in service.ports if each.service_port == port), None)
    if listed is None:
        return Refusal(404, f"found no port of {service.key} for {port}", NO_PORT)
    return Called(port=port, app_protocol=listed.app_protocol, address=called, service=service)


def _serves_workload(waypoint: Waypoint, workload: Workload) -> bool:
    if waypoint.accounts:
        return _is_of_accounts(waypoint, workload)
    return waypoint.serves_workloads and _names(waypoint, workload.waypoint)


def _serves_service(world: World, waypoint: Waypoint, service: Service) -> bool:
    # The weighted ones count, too: a share of the callers is sent to each of them.
    bound = (service.waypoint, *(each.destination for each in service.weighted_waypoints))
    is_named = any(_names(waypoint, gateway) for gateway in bound)
    if not waypoint.accounts:
        return waypoint.serves_services and is_named
    endpoints = list(world.endpoints(service.key))
    return (
        service.namespace == waypoint.namespace
        and (is_named or bool(endpoints))
        and all(_is_of_accounts(waypoint, each) for each in endpoints)
    )


def _is_of_accounts(waypoint: Waypoint, workload: Workload) -> bool:
    return (
        workload.namespace == waypoint.namespace and workload.service_account in waypoint.accounts
    )


def _names(waypoint: Waypoint, gateway: GatewayAddress | None) -> bool:
    """Whether this is us."""
    if gateway is None:
        return False
    where = gateway.destination
    if isinstance(where, NetworkAddress):
        return where.ip in waypoint.addresses
    return where.namespace == waypoint.namespace and where.hostname in waypoint.hostnames


def spoken_by(world: World, workload: Workload, port: int) -> AppProtocol:
    """What a workload speaks on a port, as far as its services say."""
    for key, own in workload.services.items():
        service = world.service(key)
        for each in (*own, *(service.ports if service else ())):
            if each.target_port == port and each.app_protocol is not AppProtocol.UNKNOWN:
                return each.app_protocol
    return AppProtocol.UNKNOWN


def choose(world: World, destination: Called, source: Workload, chance: Chance) -> Decision:
    """An endpoint for one connection, and the way to it: what needs no route.

    Args:
        world: the state of this moment.
        destination: as it was admitted.
        source: our own workload: endpoints near to us are near.
        chance: draws among endpoints.
    """
    if destination.workload is not None:
        return way_to(Endpoint(destination.workload, destination.port), source, destination.address)
    service = destination.service
    if service is None:
        return Refused(NO_ENDPOINT, "no healthy upstream")
    if service.load_balancing.mode is BalanceMode.PASSTHROUGH:
        if destination.address is None:
            return Refused(NO_VIP, f"{service.key} leaves the address to its caller, who gave none")
        return PlainTcp(destination.address, None, service)
    endpoint = pick(world, service, source, destination.port, Purpose.FORWARD, chance)
    if endpoint is None:
        return Refused(NO_ENDPOINT, f"no healthy upstream: {service.key}:{destination.port}")
    return way_to(endpoint, source, destination.address)


def way_to(endpoint: Endpoint, source: Workload, called: SocketAddress | None = None) -> Decision:
    """How to reach an endpoint: its own waypoint, if it has one, is not traversed.

    Args:
        endpoint: the workload, and where it listens.
        source: our own workload.
        called: what the client called; the endpoint is reached by an address of the same family.
    """
    workload = endpoint.workload
    if workload.network != source.network:
        return Refused(NO_GATEWAY, f"{workload.uid} is in another network")
    return reach(endpoint, called.ip if called is not None else _any_of(source))


def _any_of(source: Workload) -> Ip:
    return next(iter(source.addresses), Ip(bytes(4)))


def bounded(way: Decision, source: Workload) -> Decision:
    """The same way, unless it leads to where a waypoint must not go.

    Who may write a ServiceEntry, or answer for a name in DNS, would otherwise get at the waypoint's
    own pages, or at what serves its node (metadata, with the node's credentials).

    Args:
        way: with its address, also one that DNS has told.
        source: our own workload; one that lives on the loopback itself may go there.
    """
    match way:
        case Hbone(connect_to=address):
            to = address
        case PlainTcp(destination=address) | Passthrough(destination=address):
            to = address
        case _:
            return way
    if is_off_limits(to.ip) and not any(map(is_off_limits, source.addresses)):
        return Refused(OFF_LIMITS, f"no endpoint of a mesh can be at {to}")
    return way


def is_off_limits(ip: Ip) -> bool:
    """Whether an address means this machine, this link, several, or nobody."""
    found = ipaddress.ip_address(bytes(ip))
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
