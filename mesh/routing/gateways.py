"""Waypoints and network gateways: whom an address or a hostname of one means."""

from mesh.errors import MeshError
from mesh.model.address import Ip
from mesh.model.identity import Identity
from mesh.model.workload import (
    BalanceMode,
    GatewayAddress,
    NetworkAddress,
    Service,
    Workload,
)
from mesh.routing.balance import Chance, Endpoint, Purpose, pick, weighted
from mesh.state.world import World


def waypoint_of(service: Service, chance: Chance) -> GatewayAddress | None:
    """Draw one of the weighted waypoints; without any that counts, the single one (or none)."""
    weights = [waypoint.weight for waypoint in service.weighted_waypoints]
    drawn = weighted(weights, chance)
    return service.waypoint if drawn is None else service.weighted_waypoints[drawn].destination


def find_gateway(
    world: World, gateway: GatewayAddress, source: Workload, purpose: Purpose, chance: Chance
) -> Endpoint | None:
    """The workload behind a gateway that a caller gets; None when there is none just now."""
    port = gateway.hbone_mtls_port
    where = gateway.destination
    service = _service_at(world, gateway, source.namespace)
    if isinstance(where, NetworkAddress):
        workload = world.workload_at(where.network, where.ip)
    else:
        workload = world.workload_named(where.namespace, where.hostname)
    # A PASSTHROUGH service chooses nobody, and its range may well hold the gateway's address.
    if service is not None and service.load_balancing.mode is not BalanceMode.PASSTHROUGH:
        return pick(world, service, source, port, purpose, chance)
    return None if workload is None else Endpoint(workload, port)


def wanted_ip(gateway: GatewayAddress, called: Ip) -> Ip:
    """Which address to prefer among the gateway's: its own, else one like the called one."""
    return gateway.destination.ip if isinstance(gateway.destination, NetworkAddress) else called


def is_gateway(world: World, gateway: GatewayAddress, workload: Workload) -> bool:
    """Whether a workload is (one of those) behind a gateway's address or hostname."""
    where = gateway.destination
    service = _service_at(world, gateway, workload.namespace)
    if isinstance(where, NetworkAddress):
        holders = world.workloads_at(where.network, where.ip)
    else:
        holders = world.workloads_named(where.namespace, where.hostname)
    if service is not None and world.is_endpoint(service.key, workload.uid):
        return True
    return any(holder.uid == workload.uid for holder in holders)


def _service_at(world: World, gateway: GatewayAddress, namespace: str) -> Service | None:
    where = gateway.destination
    if isinstance(where, NetworkAddress):
        return world.service_at(where.network, where.ip, namespace)
    return world.service(f"{where.namespace}/{where.hostname}")


def identities_of(service: Service | None) -> frozenset[Identity]:
    """Whom a service's endpoints may also be; names that are no identity of a mesh are left out."""
    names = service.subject_alt_names if service else ()
    return frozenset(identity for name in names if (identity := _parsed(name)) is not None)


def _parsed(name: str) -> Identity | None:
    try:
        return Identity.parse(name)
    except MeshError:
        return None
