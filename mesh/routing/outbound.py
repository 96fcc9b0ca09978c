"""Where a connection that leaves a pod goes.

In this order (Istio's):

1. to a port of the proxy itself: refused;
2. to a service with a waypoint: to the waypoint; to one that chooses by account: an endpoint is
   chosen first, and if its account has a waypoint, it is asked for that endpoint;
3. to a service: to one of its endpoints, or where the application wanted (PASSTHROUGH);
4. to a workload's own address: to its waypoint, unless the caller is that waypoint; else to it;
5. to an address that nobody here has: as it is.

An address that is both a workload's and a service's is *addressed* as the workload (its waypoint
counts), and *routed* as the service. What is known and cannot be reached is refused, never passed
through: a waypoint without an endpoint, a service without one, a network without a gateway.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.model.address import Ip, SocketAddress
from mesh.model.names import HBONE_PORT, OWN_PORTS
from mesh.model.workload import (
    BalanceMode,
    GatewayAddress,
    IpFamilies,
    NamespacedHostname,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.routing.balance import Chance, Endpoint, Purpose, pick
from mesh.routing.codes import (
    GATEWAY_UNKNOWN,
    NO_ADDRESS,
    NO_ENDPOINT,
    NO_GATEWAY,
    NO_IDENTITY,
    NOT_BY_SERVICE,
    SELF_CALL,
    WAYPOINT_UNKNOWN,
)
from mesh.routing.decisions import (
    Decision,
    DoubleHbone,
    Hbone,
    NeedsResolution,
    Passthrough,
    PlainTcp,
    Refused,
    accepts,
)
from mesh.routing.gateways import find_gateway, identities_of, is_gateway, wanted_ip, waypoint_of
from mesh.state.world import World

__all__ = [
    "Decision",
    "DoubleHbone",
    "Hbone",
    "NeedsResolution",
    "Passthrough",
    "PlainTcp",
    "Refused",
    "choose",
    "reach",
]


def choose(
    world: World,
    source: Workload,
    destination: SocketAddress,
    *,
    network: str,
    chance: Chance,
) -> Decision:
    """Decide about one connection.

    Args:
        world: the state of this moment.
        source: the workload that calls.
        destination: where the application wants to go.
        network: the network of this node, whose addresses are meant.
        chance: draws among endpoints.
    """
    if _is_proxy(destination):
        return Refused(SELF_CALL, "attempted recursive call to ourselves")
    return _Choice(world, source, destination, network, chance).decide()


def _is_proxy(destination: SocketAddress) -> bool:
    ip = destination.ip
    local = ip[0] == 127 if len(ip) == 4 else int.from_bytes(ip, "big") == 1
    return destination.port in OWN_PORTS and (local or not any(ip))


@dataclass(frozen=True, slots=True)
class _Choice:
    world: World
    source: Workload
    destination: SocketAddress
    network: str
    chance: Chance

    def decide(self) -> Decision:
        ip = self.destination.ip
        service = self.world.service_at(self.network, ip, self.source.namespace)
        workload = self.world.workload_at(self.network, ip)
        addressed = service if workload is None else None
        if addressed is not None and addressed.chooses_by_account:
            return self._by_account(addressed)
        if addressed is not None:
            waypoint = waypoint_of(addressed, self.chance)
            if waypoint is not None:
                return self._to_waypoint(waypoint, addressed)
        if service is not None:
            return self._to_service(service, addressed)
        if workload is not None:
            return self._to_endpoint(Endpoint(workload, self.destination.port), None)
        return Passthrough(self.destination)

    def _by_account(self, service: Service) -> Decision:
        """By the waypoint of the chosen endpoint's account, else as the service's other ones go."""
        endpoint = self._pick(service)
        if endpoint is None:
            return Refused(NO_ENDPOINT, f"no healthy upstream: {self.destination}")
        waypoint = endpoint.workload.account_waypoint
        if waypoint is not None and endpoint.workload.network == self.source.network:
            ip = _own_address(endpoint, self.destination.ip)
            if ip is None:
                return Refused(NO_ADDRESS, f"no address is known of {endpoint.workload.uid}")
            return self._to_waypoint(waypoint, service, SocketAddress(ip, endpoint.port))
        others = waypoint_of(service, self.chance)
        if others is not None:
            return self._to_waypoint(others, service)
        # No other draw: it might fall on an endpoint before which a waypoint stands.
        return self._to_endpoint(endpoint, service)

    def _pick(self, service: Service) -> Endpoint | None:
        port = self.destination.port
        return pick(self.world, service, self.source, port, Purpose.DESTINATION, self.chance)

    def _to_service(self, service: Service, addressed: Service | None) -> Decision:
        if service.load_balancing.mode is BalanceMode.PASSTHROUGH:
            return PlainTcp(self.destination, None, service)
        endpoint = self._pick(service)
        if endpoint is None:
            return Refused(NO_ENDPOINT, f"no healthy upstream: {self.destination}")
        return self._to_endpoint(endpoint, addressed)

    def _to_endpoint(self, endpoint: Endpoint, addressed: Service | None) -> Decision:
        workload = endpoint.workload
        if workload.network != self.source.network:
            return self._to_network(endpoint, addressed)
        waypoint = workload.waypoint
        if (
            addressed is None
            and waypoint is not None
            and not is_gateway(self.world, waypoint, self.source)
        ):
            return self._to_waypoint(waypoint, None)
        return reach(endpoint, self.destination.ip)

    def _to_waypoint(
        self,
        waypoint: GatewayAddress,
        addressed: Service | None,
        target: SocketAddress | None = None,
    ) -> Decision:
        """To a waypoint, which is asked for `target`; by default for what was called."""
        authority = str(target or self.destination)
        found = find_gateway(self.world, waypoint, self.source, Purpose.WAYPOINT, self.chance)
        if found is None:
            reason = f"unknown waypoint: waypoint {_written(waypoint)} not found"
            return Refused(WAYPOINT_UNKNOWN, reason)
        if found.workload.network != self.source.network:
            return self._to_network(found, addressed)
        expected = identities_of(found.service) | {found.workload.identity}

        def by_waypoint(ip: Ip) -> Hbone:
            tunnel = SocketAddress(ip, found.port)
            return Hbone(tunnel, authority, expected, found.workload, addressed)

        return _at_address(found, wanted_ip(waypoint, self.destination.ip), by_waypoint)

    def _to_network(self, endpoint: Endpoint, addressed: Service | None) -> Decision:
        """To an endpoint (or waypoint) of another network, where only names mean something."""
        workload = endpoint.workload
        if addressed is None:
            return Refused(NOT_BY_SERVICE, f"no service for target address: {self.destination}")
        if workload.network_gateway is None:
            return Refused(NO_GATEWAY, f"no valid destination for workload: {workload.uid}")
        found = find_gateway(
            self.world, workload.network_gateway, self.source, Purpose.DESTINATION, self.chance
        )
        if found is None:
            reason = f"unknown network gateway: {_written(workload.network_gateway)} not found"
            return Refused(GATEWAY_UNKNOWN, reason)
        inner = identities_of(endpoint.service)
        if not inner:
            reason = f"no identity is known for the endpoints of {addressed.key} over there"
            return Refused(NO_IDENTITY, reason)
        outer = identities_of(found.service) | {found.workload.identity}
        authority = f"{addressed.hostname}:{self.destination.port}"

        def by_gateway(ip: Ip) -> DoubleHbone:
            gateway = SocketAddress(ip, found.port)
            return DoubleHbone(gateway, found.workload.uid, outer, authority, addressed, inner)

        wanted = wanted_ip(workload.network_gateway, self.destination.ip)
        return _at_address(found, wanted, by_gateway)


def reach(endpoint: Endpoint, wanted: Ip) -> Decision:
    """To an endpoint of our own network, as it wants to be reached, with no waypoint before it.

    Args:
        endpoint: the workload, and where it listens.
        wanted: the address that was called: it is taken if it is the endpoint's, else one like it.
    """
    workload = endpoint.workload
    expected = identities_of(endpoint.service) | {workload.identity}

    def directly(ip: Ip) -> PlainTcp | Hbone:
        target = SocketAddress(ip, endpoint.port)
        match workload.protocol:
            case TunnelProtocol.HBONE:
                tunnel = SocketAddress(ip, HBONE_PORT)
                return Hbone(tunnel, str(target), expected, workload, endpoint.service)
            case TunnelProtocol.NONE:
                return PlainTcp(target, workload, endpoint.service)

    return _at_address(endpoint, wanted, directly)


def _at_address(
    endpoint: Endpoint, wanted: Ip, build: Callable[[Ip], PlainTcp | Hbone | DoubleHbone]
) -> Decision:
    """At one of its addresses, which DNS may have to tell."""
    workload = endpoint.workload
    ip = _own_address(endpoint, wanted)
    if ip is not None:
        return build(ip)
    families = _families_of(endpoint)
    if not workload.hostname:
        return Refused(NO_ADDRESS, f"no valid destination for workload: {workload.uid}")
    return NeedsResolution(workload.hostname, wanted, families, build)


def _own_address(endpoint: Endpoint, wanted: Ip) -> Ip | None:
    """Which of its addresses: the called one, else one like it, else the first allowed."""
    workload = endpoint.workload
    if wanted in workload.addresses:
        return wanted
    families = _families_of(endpoint)
    allowed = [ip for ip in workload.addresses if accepts(families, ip)]
    alike = (ip for ip in allowed if len(ip) == len(wanted))
    return next(alike, allowed[0] if allowed else None)


def _families_of(endpoint: Endpoint) -> IpFamilies:
    return endpoint.service.ip_families if endpoint.service else IpFamilies.AUTOMATIC


def _written(gateway: GatewayAddress) -> str:
    match gateway.destination:
        case NamespacedHostname(namespace=namespace, hostname=hostname):
            return f"{namespace}/{hostname}:{gateway.hbone_mtls_port}"
        case address:
            return f"{address.network}/{SocketAddress(address.ip, gateway.hbone_mtls_port)}"
