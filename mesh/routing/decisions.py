"""What can become of a connection that leaves a pod."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mesh.model.address import Ip, SocketAddress
from mesh.model.identity import Identity
from mesh.model.response_flag import ResponseFlag
from mesh.model.workload import IpFamilies, Service, Workload
from mesh.routing.balance import Chance
from mesh.routing.codes import NO_ADDRESS


@dataclass(frozen=True, slots=True)
class Passthrough:
    """To where the application wanted, as it is: the mesh knows nothing of that address."""

    destination: SocketAddress


@dataclass(frozen=True, slots=True)
class PlainTcp:
    """To a workload outside the mesh, or wherever a service leaves to the application."""

    destination: SocketAddress
    workload: Workload | None = None
    """None when the service chooses no endpoint (its balancing is PASSTHROUGH)."""
    service: Service | None = None


@dataclass(frozen=True, slots=True)
class Hbone:
    """By the tunnel."""

    connect_to: SocketAddress
    authority: str
    """Where the other end shall deliver it: `ip:port`."""
    expected: frozenset[Identity]
    """The other end must be one of these."""
    workload: Workload
    """The other end: the destination, or its waypoint."""
    service: Service | None = None
    """What the application called; None when it called a pod."""


@dataclass(frozen=True, slots=True)
class DoubleHbone:
    """By a tunnel within a tunnel, through the gateway of another network, which cannot read it."""

    connect_to: SocketAddress
    gateway: str
    """The uid of the gateway's workload."""
    expected: frozenset[Identity]
    """The gateway must be one of these."""
    authority: str
    """`hostname:port` of the service, in both tunnels: addresses mean nothing over there."""
    service: Service
    inner_expected: frozenset[Identity]
    """The end of the inner tunnel must be one of these; never empty."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nowhere. `code` is stable, `reason` has Istio's words where it has any."""

    code: str
    reason: str
    flag: ResponseFlag = ResponseFlag.CONNECT


@dataclass(frozen=True, slots=True)
class NeedsResolution:
    """To a workload of which only the hostname is known: ask DNS, then `fitting`."""

    hostname: str
    wanted: Ip
    """The address that the application called; the same family is preferred."""
    families: IpFamilies
    """What the service allows."""
    then: Callable[[Ip], PlainTcp | Hbone | DoubleHbone] = field(compare=False, repr=False)

    def fitting(
        self, addresses: Sequence[Ip], chance: Chance
    ) -> PlainTcp | Hbone | DoubleHbone | Refused:
        """Go on with one of the addresses that DNS gave."""
        allowed = [ip for ip in addresses if accepts(self.families, ip)]
        alike = [ip for ip in allowed if len(ip) == len(self.wanted)] or allowed
        if not alike:
            return Refused(NO_ADDRESS, f"no resolved addresses for workload: {self.hostname}")
        return self.then(alike[chance(len(alike))])


Decision = Hbone | PlainTcp | Passthrough | DoubleHbone | NeedsResolution | Refused


def accepts(families: IpFamilies, ip: Ip) -> bool:
    """Whether a service allows an address's family."""
    match families:
        case IpFamilies.AUTOMATIC | IpFamilies.DUAL:
            return True
        case IpFamilies.IPV4_ONLY:
            return len(ip) == 4
        case IpFamilies.IPV6_ONLY:
            return len(ip) == 16
