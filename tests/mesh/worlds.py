"""Small worlds for tests: pods by a name and an address, services, and a state that holds them."""

from collections.abc import Iterable

from mesh.model.address import Ip, SocketAddress, parse_ip
from mesh.model.policy import Action, Authorization, Match, PolicyScope, Rule, StringMatch
from mesh.model.policy import StringMatchKind as Kind
from mesh.model.workload import (
    ApplicationTunnel,
    BalanceMode,
    GatewayAddress,
    HealthPolicy,
    IpFamilies,
    LoadBalancing,
    Locality,
    NamespacedHostname,
    NetworkAddress,
    NetworkMode,
    Port,
    Scope,
    Service,
    TunnelProtocol,
    Visibility,
    WeightedWaypoint,
    Workload,
    WorkloadStatus,
)
from mesh.state.world import World
from mesh.wire.feed import StateDelta

Resource = Workload | Service | Authorization


def at(text: str) -> SocketAddress:
    return SocketAddress.parse(text)


def pod(
    name: str,
    *ips: str,
    serves: Iterable[str] | dict[str, tuple[Port, ...]] = (),
    namespace: str = "shop",
    uid: str = "",
    account: str = "",
    protocol: TunnelProtocol = TunnelProtocol.HBONE,
    network: str = "",
    hostname: str = "",
    waypoint: GatewayAddress | None = None,
    gateway: GatewayAddress | None = None,
    tunnel: ApplicationTunnel | None = None,
    policies: tuple[str, ...] = (),
    status: WorkloadStatus = WorkloadStatus.HEALTHY,
    mode: NetworkMode = NetworkMode.STANDARD,
    capacity: int = 1,
    node: str = "node-a",
    locality: Locality | None = None,
    cluster: str = "Kubernetes",
    of_account: GatewayAddress | None = None,
) -> Workload:
    """A pod with its own account, `spiffe://cluster.local/ns/shop/sa/NAME`, unless one is given."""
    return Workload(
        uid=uid or f"{cluster}//Pod/{namespace}/{name}",
        name=name,
        namespace=namespace,
        addresses=tuple(map(parse_ip, ips)),
        service_account=account or name,
        protocol=protocol,
        network=network,
        hostname=hostname,
        waypoint=waypoint,
        network_gateway=gateway,
        application_tunnel=tunnel,
        authorization_policies=policies,
        status=status,
        network_mode=mode,
        capacity=capacity,
        node=node,
        locality=locality or Locality(),
        cluster_id=cluster,
        account_waypoint=of_account,
        services=serves if isinstance(serves, dict) else dict.fromkeys(serves, ()),
    )


def service(
    name: str,
    *vips: str,
    ports: tuple[Port, ...] = (Port(80, 8080),),
    namespace: str = "shop",
    network: str = "",
    hostname: str = "",
    waypoint: GatewayAddress | None = None,
    weighted: tuple[WeightedWaypoint, ...] = (),
    names: tuple[str, ...] = (),
    mode: BalanceMode = BalanceMode.UNSPECIFIED,
    scopes: tuple[Scope, ...] = (),
    health: HealthPolicy = HealthPolicy.ONLY_HEALTHY,
    families: IpFamilies = IpFamilies.AUTOMATIC,
    visibility: Visibility = Visibility.PUBLIC,
    canonical: bool = False,
    by_account: bool = False,
) -> Service:
    """A service whose key is `shop/NAME`; a VIP may be a range such as `10.0.0.0/8`."""
    return Service(
        name=name,
        namespace=namespace,
        hostname=hostname or name,
        addresses=tuple(network_address(vip, network) for vip in vips),
        ports=ports,
        waypoint=waypoint,
        weighted_waypoints=weighted,
        subject_alt_names=names,
        load_balancing=LoadBalancing(mode, scopes, health),
        ip_families=families,
        visibility=visibility,
        canonical=canonical,
        chooses_by_account=by_account,
    )


def network_address(text: str, network: str = "") -> NetworkAddress:
    ip, slash, prefix = text.partition("/")
    return NetworkAddress(network, parse_ip(ip), int(prefix) if slash else None)


def by_name(key: str, port: int = 15008) -> GatewayAddress:
    """A gateway `shop/NAME`."""
    namespace, _, hostname = key.partition("/")
    return GatewayAddress(NamespacedHostname(namespace, hostname), port)


def by_address(ip: str, network: str = "", port: int = 15008) -> GatewayAddress:
    return GatewayAddress(NetworkAddress(network, parse_ip(ip)), port)


def policy(
    name: str,
    *matches: Match,
    namespace: str = "shop",
    action: Action = Action.DENY,
    scope: PolicyScope = PolicyScope.WORKLOAD_SELECTOR,
    rules: tuple[Rule, ...] = (),
    dry_run: bool = False,
) -> Authorization:
    """A policy with one rule of one clause of these matches, unless rules are given."""
    return Authorization(
        name=name,
        namespace=namespace,
        scope=scope,
        action=action,
        rules=rules or (((matches,),) if matches else ()),
        dry_run=dry_run,
    )


def exact(*texts: str) -> tuple[StringMatch, ...]:
    return tuple(StringMatch(Kind.EXACT, text) for text in texts)


def delta(
    *resources: Resource,
    version: int = 1,
    last: bool = True,
    reset: bool = False,
    removed: tuple[str, ...] = (),
    removed_policies: tuple[str, ...] = (),
) -> StateDelta:
    return StateDelta(
        version,
        last,
        reset,
        workloads=tuple(one for one in resources if isinstance(one, Workload)),
        services=tuple(one for one in resources if isinstance(one, Service)),
        policies=tuple(one for one in resources if isinstance(one, Authorization)),
        removed_addresses=removed,
        removed_policies=removed_policies,
    )


def world(*resources: Resource) -> World:
    made = World()
    made.apply(delta(*resources))
    return made


def ip(text: str) -> Ip:
    return parse_ip(text)
