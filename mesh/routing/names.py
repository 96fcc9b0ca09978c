"""Which names the mesh answers for, and with which addresses; all others are somebody else's.

1. Only addresses (A, AAAA). Names of the mesh that have other records are in the cluster's DNS.
2. A name is tried as it is, then as Kubernetes would complete it, then without a search domain of
   the client's; each also by the wildcards above it. The first that is a service's decides.
3. A name that is ours, but has no address of the family that was asked for, exists all the same:
   the answer is empty. Nothing here ever says that a name does not exist; that is for those to say
   who know all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mesh.model.address import Ip
from mesh.model.workload import (
    HealthPolicy,
    IpFamilies,
    Service,
    Visibility,
    Workload,
    WorkloadStatus,
)
from mesh.state.world import World

V4_OCTETS: Final = 4
V6_OCTETS: Final = 16
_FAMILIES: Final = {
    IpFamilies.AUTOMATIC: (V4_OCTETS, V6_OCTETS),
    IpFamilies.DUAL: (V4_OCTETS, V6_OCTETS),
    IpFamilies.IPV4_ONLY: (V4_OCTETS,),
    IpFamilies.IPV6_ONLY: (V6_OCTETS,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What a proxy's settings say about names."""

    domain: str = "cluster.local"
    """The cluster's."""
    network: str = ""
    preferred_namespace: str = ""
    """Whose service is meant where several others have the same host."""
    ipv6: bool = True
    search: tuple[str, ...] = ()
    """The search domains of every client; empty: those that Kubernetes gives to a pod."""


@dataclass(frozen=True, slots=True)
class OwnName:
    """The answer to a name that is ours."""

    alias: str
    """Not empty: the name for which the one that was asked stands (a CNAME)."""
    addresses: tuple[Ip, ...]
    """Of the family that was asked for, in no special order; none: the name has no such address."""


@dataclass(frozen=True, slots=True)
class _Spelling:
    name: str
    is_stripped: bool = False


def resolve(
    world: World, naming: Naming, client: Workload, name: str, octets: int
) -> OwnName | None:
    """The addresses of a name, or None when it is not ours.

    Args:
        world: what is known.
        naming: the settings.
        client: who asks; it sees what its namespace may see.
        name: in lower case, without the last dot.
        octets: how many an address of the family has that is asked for.
    """
    for spelling in _spellings(naming, client.namespace, name):
        alias = spelling.name if spelling.is_stripped else ""
        if (service := _best(world, naming, client, spelling.name)) is not None:
            return OwnName(alias, _addresses(world, naming, client, service, octets))
        if (found := _headless_pod(world, naming, client, spelling.name)) is not None:
            ips = found.addresses if octets == V4_OCTETS or naming.ipv6 else ()
            return OwnName(alias, tuple(ip for ip in ips if len(ip) == octets))
        for wildcard in _wildcards(spelling.name):
            if (service := _best(world, naming, client, wildcard)) is not None:
                return OwnName("", _addresses(world, naming, client, service, octets))
    return None


def _spellings(naming: Naming, namespace: str, name: str) -> Iterator[_Spelling]:
    if not name:
        return
    domain = naming.domain
    yield _Spelling(name)
    match name.split("."):
        case [_]:
            yield _Spelling(f"{name}.{namespace}.svc.{domain}")
        case [_, _]:
            yield _Spelling(f"{name}.svc.{domain}")
            yield _Spelling(f"{name}.{namespace}.svc.{domain}")
        case [_, _, "svc"] | [_, _, _, "svc"]:
            yield _Spelling(f"{name}.{domain}")
        case [_, _, _]:
            yield _Spelling(f"{name}.svc.{domain}")
        case _:
            pass
    for search in naming.search or (f"{namespace}.svc.{domain}", f"svc.{domain}", domain):
        stripped = name.removesuffix(f".{search}")
        if stripped != name:
            yield _Spelling(stripped, is_stripped=True)


def _wildcards(name: str) -> Iterator[str]:
    """`*.b.c` and `*.c` for `a.b.c`."""
    _, _, rest = name.partition(".")
    while rest:
        yield f"*.{rest}"
        _, _, rest = rest.partition(".")


def _best(world: World, naming: Naming, client: Workload, host: str) -> Service | None:
    """The one that a client means: its own namespace's, a canonical one, the preferred one's."""
    seen = (
        service
        for service in world.services_named(host)
        if service.visibility is Visibility.PUBLIC or service.namespace == client.namespace
    )
    return min(
        (service for service in seen if _is_answered(naming, service)),
        key=lambda service: (
            service.namespace != client.namespace,
            not service.canonical,
            service.namespace != naming.preferred_namespace,
        ),
        default=None,
    )


def _is_answered(naming: Naming, service: Service) -> bool:
    """Whether it has addresses to answer with: ranges are none, outside hosts have their own."""
    return _is_headless(naming, service) or any(
        address.prefix is None for address in service.addresses
    )


def _is_headless(naming: Naming, service: Service) -> bool:
    return not service.addresses and service.hostname.endswith(f".svc.{naming.domain}")


def _addresses(
    world: World, naming: Naming, client: Workload, service: Service, octets: int
) -> tuple[Ip, ...]:
    if octets not in _FAMILIES[service.ip_families] or (octets == V6_OCTETS and not naming.ipv6):
        return ()
    if _is_headless(naming, service):
        return tuple(_of_endpoints(_reachable(world, service), octets))
    network = client.network or naming.network
    return tuple(
        address.ip
        for address in service.addresses
        if address.prefix is None and address.network == network and len(address.ip) == octets
    )


def _reachable(world: World, service: Service) -> Iterator[Workload]:
    takes_all = service.load_balancing.health_policy is HealthPolicy.ALLOW_ALL
    for endpoint in world.endpoints(service.key):
        if takes_all or endpoint.status is WorkloadStatus.HEALTHY:
            yield endpoint


def _of_endpoints(endpoints: Iterable[Workload], octets: int) -> Iterator[Ip]:
    for endpoint in endpoints:
        first = next((ip for ip in endpoint.addresses if len(ip) == octets), None)
        if first is not None:
            yield first


def _headless_pod(world: World, naming: Naming, client: Workload, name: str) -> Workload | None:
    """The pod of a headless service that `POD.SERVICE.NAMESPACE.svc.DOMAIN` names.

    A StatefulSet's pods are called as their hostnames; a hostname that a pod has been given
    otherwise is not known here, and so is for the cluster's DNS.
    """
    pod, _, host = name.partition(".")
    if not host.endswith(f".svc.{naming.domain}"):
        return None
    service = _best(world, naming, client, host)
    if service is None or not _is_headless(naming, service):
        return None
    return next((each for each in _reachable(world, service) if each.name == pod), None)
