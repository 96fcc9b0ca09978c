"""Services and EndpointSlices, each by itself."""

from sys import intern
from typing import Final

from controlplane.translate.facts import Endpoint, ServiceFacts, ServicePort, SliceFacts
from controlplane.translate.labels import CANARY_WEIGHT, SERVICE_NAME, TRAFFIC_DISTRIBUTION
from controlplane.translate.protocols import app_protocol
from controlplane.translate.settings import Settings
from mesh.model.address import AddressInvalidError, Ip, parse_ip
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.workload import (
    NO_BALANCING,
    AppProtocol,
    BalanceMode,
    HealthPolicy,
    IpFamilies,
    LoadBalancing,
    Port,
    Scope,
    Service,
)

_ZONE: Final = (Scope.NETWORK, Scope.REGION, Scope.ZONE)
_NODE: Final = (*_ZONE, Scope.SUBZONE, Scope.NODE)
_DISTRIBUTIONS: Final = {
    "preferclose": LoadBalancing(BalanceMode.FAILOVER, _ZONE),
    "prefersamezone": LoadBalancing(BalanceMode.FAILOVER, _ZONE),
    "prefersamenode": LoadBalancing(BalanceMode.FAILOVER, _NODE),
    "any": NO_BALANCING,
}


def ip_at(part: Part, name: str, text: str) -> Ip:
    """An address that a field holds.

    Raises:
        FieldInvalidError: it holds none.
    """
    try:
        return parse_ip(text)
    except AddressInvalidError:
        raise part.invalid(name, f"{text!r} is no address: write one such as 10.0.0.1") from None


def port_at(part: Part, name: str) -> int:
    """A port number that a field holds; 0 when the field is absent.

    Raises:
        FieldInvalidError: it holds something else.
    """
    number = part.number(name)
    if part.has(name) and not 1 <= number <= 65535:
        raise part.invalid(name, f"{number} is no port: write a number from 1 to 65535")
    return number


def balancing_by_note(found: KubernetesObject) -> tuple[LoadBalancing | None, tuple[str, ...]]:
    """What the traffic-distribution annotation asks for, None when there is none."""
    note = found.annotations.get(TRAFFIC_DISTRIBUTION)
    return (
        (None, ())
        if note is None
        else _distribution(note, f"metadata.annotations[{TRAFFIC_DISTRIBUTION}]")
    )


def _distribution(value: str, field: str) -> tuple[LoadBalancing, tuple[str, ...]]:
    known = _DISTRIBUTIONS.get(value.lower())
    if known is not None:
        return known, ()
    mend = "write PreferSameZone, PreferSameNode or PreferClose"
    return NO_BALANCING, (f"{field}: {value!r} is unknown and means no preference: {mend}",)


def read_service(found: KubernetesObject, settings: Settings) -> ServiceFacts:
    """A Service.

    Raises:
        FieldInvalidError: a wrong type, port or address.
    """
    spec = found.at("spec")
    key = found.key
    selector = spec.strings("selector")
    if spec.text("type") == "ExternalName":
        return ServiceFacts(key, found.labels, {}, (), None, (), None, None)
    ports = [_port(part) for part in spec.parts("ports")]
    addresses = _cluster_ips(spec)
    balancing, problems = _balancing(found, spec)
    service = Service(
        name=key.name,
        namespace=intern(key.namespace),
        hostname=f"{key.name}.{key.namespace}.svc.{settings.cluster_domain}",
        ports=tuple(Port(port.number, port.target, speaks) for port, speaks in ports),
        load_balancing=_health(spec),
        ip_families=_families(spec, addresses),
        canonical=True,
    )
    return ServiceFacts(
        key,
        found.labels,
        selector,
        tuple(port for port, _ in ports),
        _fixed([port for port, _ in ports]),
        addresses,
        balancing,
        service,
        problems,
        found.annotations.get(CANARY_WEIGHT, ""),
    )


def _port(part: Part) -> tuple[ServicePort, AppProtocol]:
    number = port_at(part, "port")
    if not number:
        raise part.invalid("port", "must be a port: write a number from 1 to 65535")
    protocol, name = part.text("protocol", "TCP"), part.text("name")
    target, target_name = _target(part, number)
    speaks = app_protocol(protocol, name, part.text("appProtocol"), number)
    says = part.text("appProtocol")
    return ServicePort(name, protocol, number, target, target_name, says), speaks


def _fixed(ports: list[ServicePort]) -> tuple[Port, ...] | None:
    if any(port.target_name for port in ports):
        return None
    return tuple(Port(port.number, port.target) for port in ports)


def _target(part: Part, number: int) -> tuple[int, str]:
    named = part.body.get("targetPort")
    if isinstance(named, str):
        if not named or named.isdecimal():
            raise part.invalid("targetPort", f"{named!r} is no port name: a number goes unquoted")
        return 0, named
    # The API server writes the port's own number where the manifest says nothing.
    return port_at(part, "targetPort") or number, ""


def _cluster_ips(spec: Part) -> tuple[Ip, ...]:
    texts = spec.texts("clusterIPs") or [spec.text("clusterIP")]
    return tuple(ip_at(spec, "clusterIPs", text) for text in texts if text not in ("", "None"))


def _families(spec: Part, addresses: tuple[Ip, ...]) -> IpFamilies:
    named = set(spec.texts("ipFamilies")) or {
        "IPv4" if len(address) == 4 else "IPv6" for address in addresses
    }
    match sorted(named):
        case ["IPv4"]:
            return IpFamilies.IPV4_ONLY
        case ["IPv6"]:
            return IpFamilies.IPV6_ONLY
        case ["IPv4", "IPv6"]:
            return IpFamilies.DUAL
        case []:
            return IpFamilies.AUTOMATIC
        case _:
            raise spec.invalid("ipFamilies", "must hold IPv4, IPv6 or both")


def _health(spec: Part) -> LoadBalancing:
    if spec.flag("publishNotReadyAddresses"):
        return LoadBalancing(health_policy=HealthPolicy.ALLOW_ALL)
    return NO_BALANCING


def _balancing(found: KubernetesObject, spec: Part) -> tuple[LoadBalancing | None, tuple[str, ...]]:
    if spec.text("internalTrafficPolicy") == "Local":
        return LoadBalancing(BalanceMode.STRICT, (Scope.NODE,)), ()
    if wanted := spec.text("trafficDistribution"):
        return _distribution(wanted, spec.field("trafficDistribution"))
    return balancing_by_note(found)


def read_slice(found: KubernetesObject) -> SliceFacts:
    """An EndpointSlice.

    Raises:
        FieldInvalidError: a wrong type, port or address.
    """
    root = found.root
    service = found.labels.get(SERVICE_NAME, "")
    ports = {
        part.text("name"): port_at(part, "port")
        for part in root.parts("ports")
        if part.text("protocol", "TCP") == "TCP" and part.has("port")
    }
    endpoints: list[Endpoint] = []
    pods: dict[tuple[str, str], str] = {}
    if root.text("addressType") != "FQDN":
        for part in root.parts("endpoints"):
            target = part.at("targetRef")
            if target.text("kind") == "Pod":
                where = (target.text("namespace") or found.key.namespace, target.text("name"))
                pods[where] = target.text("uid")
            else:
                endpoints.append(_endpoint(part))
    problems = () if service else (f"metadata.labels[{SERVICE_NAME}]: names no service: add it",)
    return SliceFacts(found.key, service, ports, tuple(endpoints), pods, problems)


def _endpoint(part: Part) -> Endpoint:
    texts = part.texts("addresses")
    if not texts:
        raise part.invalid("addresses", "must hold an address")
    addresses = tuple(ip_at(part, "addresses", text) for text in texts)
    ready = part.at("conditions").flag("ready", default=True)
    return Endpoint(addresses, texts[0], ready)
