"""By which addresses and names a waypoint is known, now and once it is ready."""

from controlplane.translate.facts import GatewayFacts
from controlplane.translate.gateway_classes import accepts
from controlplane.translate.store import Store
from mesh.model.names import HBONE_PORT
from mesh.model.routes import Waypoint
from mesh.model.workload import GatewayAddress, NamespacedHostname, NetworkAddress


def is_addressed(gateway: GatewayFacts) -> bool:
    """Whether its status says where it is."""
    return bool(gateway.ips or gateway.hostname)


def is_manual(gateway: GatewayFacts) -> bool:
    """Whether somebody else runs it, and only says where: nothing is made for it."""
    kinds = [kind for kind, _ in gateway.asked]
    return kinds == ["Hostname"] or len(kinds) > 1


def host_of(store: Store, gateway: GatewayFacts) -> str:
    """The name of the service in front of it, whether or not that is there yet."""
    namespace, domain = gateway.key.namespace, store.settings.cluster_domain
    named = next((value for kind, value in gateway.asked if kind == "Hostname"), "")
    if is_manual(gateway) and named:
        return named if "." in named else f"{named}.{namespace}.svc.{domain}"
    return f"{gateway.service_name}.{namespace}.svc.{domain}"


def service_at(store: Store, host: str) -> tuple[str, str] | None:
    """Namespace and name of the service that a host name of this cluster means."""
    suffix = f".svc.{store.settings.cluster_domain}"
    name, _, namespace = host.removesuffix(suffix).partition(".")
    return (namespace, name) if host.endswith(suffix) and name and namespace else None


def address_of(store: Store, gateway: GatewayFacts) -> GatewayAddress:
    """Where a Gateway is that has an address; a name is better than a number."""
    if gateway.hostname:
        return _named(store, gateway.key.namespace, gateway.hostname)
    return GatewayAddress(NetworkAddress(store.network, gateway.ips[0][0]), HBONE_PORT)


def future_address(
    store: Store, gateway: GatewayFacts | None, asked: tuple[str, str]
) -> GatewayAddress:
    """Where a waypoint will be when it is ready; nobody is there meanwhile."""
    namespace, name = asked
    host = f"{name}.{namespace}.svc.{store.settings.cluster_domain}"
    return _named(store, namespace, host if gateway is None else host_of(store, gateway))


def _named(store: Store, namespace: str, host: str) -> GatewayAddress:
    service = service_at(store, host)
    return GatewayAddress(
        NamespacedHostname(service[0] if service else namespace, host), HBONE_PORT
    )


def told_waypoint(store: Store, gateway: GatewayFacts) -> Waypoint:
    """What a waypoint is told of itself."""
    of = accepts(store, gateway)
    service = store.services.get(gateway.key.namespace, gateway.service_name)
    ips = tuple(ip for ip, _ in gateway.ips)
    hosts = (host_of(store, gateway), gateway.hostname)
    return Waypoint(
        namespace=gateway.key.namespace,
        name=gateway.key.name,
        addresses=ips or (service.addresses if service else ()),
        hostnames=tuple(dict.fromkeys(host for host in hosts if host)),
        serves_services=of in ("service", "all"),
        serves_workloads=of in ("workload", "all"),
        accounts=(gateway.for_account,) if gateway.for_account else (),
        tells_client_certificate=gateway.tells_client_certificate,
        account=gateway.account,
        path_normalisation=store.settings.path_normalisation,
    )
