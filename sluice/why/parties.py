"""Who calls, and what: from what somebody has typed to a workload and an address."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mesh.errors import MeshError
from mesh.model.address import Ip, SocketAddress, format_ip, parse_ip
from mesh.model.workload import Service, TunnelProtocol, Workload, WorkloadStatus
from mesh.routing.names import V4_OCTETS, V6_OCTETS, Naming, OwnName, resolve
from mesh.state.world import World
from sluice.lab.addresses import EXTERNAL
from sluice.lab.topology import EXTERNAL_PLACE
from sluice.why.errors import QuestionRefusedError

DOMAIN: Final = "cluster.local"
HTTP_PORT: Final = 80
_DEPLOYMENTS: Final = frozenset(("deploy", "deployment", "deployments"))
_SERVICES: Final = frozenset(("svc", "service", "services"))
MOST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    word: str
    workload: Workload
    """A stand-in, when it is an address that no workload has."""
    is_known: bool = True

    @property
    def is_captured(self) -> bool:
        """Whether what it sends goes by its node's proxy: a waypoint's goes by itself."""
        return (
            self.is_known
            and self.workload.protocol is TunnelProtocol.HBONE
            and not self.workload.native_tunnel
        )


@dataclass(frozen=True, slots=True)
class Callee:
    """What is called."""

    word: str
    host: str
    """What a client puts into a request's `host`."""
    port: int
    name: str = ""
    """To be resolved; empty when it was given by its address."""
    addresses: tuple[Ip, ...] = ()

    @property
    def authority(self) -> str:
        """Of a request."""
        return self.host if self.port == HTTP_PORT else f"{self.host}:{self.port}"


def find_caller(world: World, word: str) -> Caller:
    """Who is meant.

    Raises:
        QuestionRefusedError: nobody is.
    """
    ip = _ip(EXTERNAL.v4 if word == EXTERNAL_PLACE else word)
    if ip is not None:
        found = next((each for each in world.workloads() if ip in each.addresses), None)
        if found is not None:
            return Caller(word, found)
        stranger = Workload(
            uid="", name=word, namespace="", addresses=(ip,), network=_network(world), services={}
        )
        return Caller(word, stranger, is_known=False)
    if "/" in word:
        return Caller(word, _workload(world, word))
    service = _service_of(world, word, "")
    if service is None:
        raise QuestionRefusedError((f"{word}: no such service: {_HOW}",))
    return Caller(word, _first(list(world.endpoints(service.key)), word))


_HOW: Final = "write NS/POD, NS/deploy/NAME, a service's host, or an address"


def find_callee(world: World, caller: Caller, word: str, *, is_http: bool) -> Callee:
    """What is meant, by this caller.

    Raises:
        QuestionRefusedError: nothing is, or the port is not clear.
    """
    host, port = _split(word)
    ip = _ip(host.strip("[]"))
    if ip is not None:
        return Callee(word, host, port or _only_port((), host, is_http=is_http), "", (ip,))
    match host.split("/"):
        case [namespace, sort, name] if sort in _SERVICES:
            host = f"{name}.{namespace}.svc.{DOMAIN}"
        case [_, _] | [_, _, _]:
            workload = _workload(world, host)
            if not workload.addresses:
                raise QuestionRefusedError((f"{host}: no address is known of it",))
            first = format_ip(workload.addresses[0])
            given = port or _only_port((), host, is_http=is_http)
            return Callee(word, first, given, "", workload.addresses[:1])
        case _:
            pass
    host = host.lower().removesuffix(".")
    if port == 0:
        service = _service_of(world, host, caller.workload.namespace)
        ports = () if service is None else tuple(each.service_port for each in service.ports)
        port = _only_port(ports, host, is_http=is_http)
    return Callee(word, host, port, host, _addresses(world, caller, host))


def name_is_ours(world: World, name: str) -> bool:
    """Whether nobody but the cluster could know a name: its domain, or `NAME.NAMESPACE`."""
    match name.split("."):
        case [_]:
            return True
        case [_, namespace]:
            return any(each.namespace == namespace for each in world.services())
        case _:
            return name.endswith((f".{DOMAIN}", ".svc"))


def _split(word: str) -> tuple[str, int]:
    host, colon, written = word.rpartition(":")
    if not (host if colon else word).strip("[]."):
        raise QuestionRefusedError((f"{word!r}: {_HOW}",))
    if not colon or word.endswith("]") or (":" in host and not host.startswith("[")):
        return word, 0  # a bare IPv6 address has no port
    if not (written.isascii() and written.isdecimal() and 0 < int(written) <= MOST_PORT):
        raise QuestionRefusedError((f"{word}: the port must be a number up to {MOST_PORT}",))
    return host, int(written)


def _only_port(ports: tuple[int, ...], host: str, *, is_http: bool) -> int:
    if len(ports) == 1:
        return ports[0]
    if is_http and (not ports or HTTP_PORT in ports):
        return HTTP_PORT
    known = f" (it has {', '.join(map(str, ports))})" if ports else ""
    raise QuestionRefusedError((f"{host}: which port{known}? Write {host}:PORT",))


def _addresses(world: World, caller: Caller, host: str) -> tuple[Ip, ...]:
    """As its resolver answers, IPv4 first; what has none, nobody of the mesh knows."""
    client = caller.workload
    naming = Naming(domain=DOMAIN, network=client.network)
    both = (resolve(world, naming, client, host, family) for family in (V4_OCTETS, V6_OCTETS))
    found = (ip for own in both if isinstance(own, OwnName) for ip in own.addresses)
    if caller.is_captured:
        return tuple(found)
    # Only node proxies know more names than the cluster's DNS.
    return tuple(
        ip
        for ip in found
        if world.service_at(client.network, ip) is None
        or cluster_service(world, client, ip) is not None
    )


def cluster_service(world: World, client: Workload, ip: Ip) -> Service | None:
    """The Service at an address, for who has no node proxy: entries of the mesh are none."""
    found = world.service_at(client.network, ip, client.namespace)
    return found if found is not None and found.hostname.endswith(f".svc.{DOMAIN}") else None


def _service_of(world: World, host: str, namespace: str) -> Service | None:
    names = (host, f"{host}.{namespace}.svc.{DOMAIN}", f"{host}.svc.{DOMAIN}", f"{host}.{DOMAIN}")
    found = (world.service_named(name, namespace) for name in names)
    return next((service for service in found if service is not None), None)


def _workload(world: World, word: str) -> Workload:
    match word.split("/"):
        case [namespace, sort, name] if sort in _DEPLOYMENTS:
            return _first([*_made_by(world, namespace, name)], word)
        case [namespace, name]:
            named = (
                each
                for each in world.workloads()
                if each.namespace == namespace and each.name == name
            )
            found = [*named] or [*_made_by(world, namespace, name)]
            return _first(found, word)
        case _:
            raise QuestionRefusedError((f"{word}: {_HOW}",))


def _made_by(world: World, namespace: str, name: str) -> Iterator[Workload]:
    for each in world.workloads():
        if each.namespace == namespace and each.workload_name == name:
            yield each


def _first(found: list[Workload], word: str) -> Workload:
    if not found:
        raise QuestionRefusedError((f"{word}: no such pod, or none with an address: {_HOW}",))
    return min(found, key=lambda each: (each.status is not WorkloadStatus.HEALTHY, each.uid))


def _network(world: World) -> str:
    return next((each.network for each in world.workloads()), "")


def _ip(word: str) -> Ip | None:
    try:
        return parse_ip(word)
    except MeshError:
        return None


def called(callee: Callee, ip: Ip) -> SocketAddress:
    """One of its addresses, with the port."""
    return SocketAddress(ip, callee.port)
